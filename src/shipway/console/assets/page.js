// Asking, choosing a model and method, and the start of it all.

function route() {
  return `models/${state.model.name}/${encodeURIComponent(state.method.name)}`;
}

function authorization() {
  const key = byId("key").value.trim();
  return key ? { Authorization: `Bearer ${key}` } : {};
}

async function ask(event) {
  event.preventDefault();
  const body = readBody();
  if (body === null) return;
  if (state.pending) state.pending.abort();
  const pending = new AbortController();
  const asked = { method: state.method, model: state.model, body };
  state.pending = pending;
  byId("ask").setAttribute("aria-busy", "true");
  try {
    const started = performance.now();
    const headers = { "Content-Type": "application/json", ...authorization() };
    const response = await fetch(root + route(), { method: "POST", headers, body, signal: pending.signal });
    const raw = await response.text();
    byId("took").textContent = `${formatSeconds((performance.now() - started) / 1000)} there and back`;
    showResponse(response, raw, asked);
  } catch (fault) {
    if (fault.name === "AbortError") return;
    showBanner("The server did not answer", "See whether it still runs, and ask again", "");
  } finally {
    if (state.pending === pending) {
      state.pending = null;
      byId("ask").removeAttribute("aria-busy");
    }
  }
}

function showResponse(response, raw, asked) {
  let answer;
  try {
    answer = JSON.parse(raw);
  } catch {
    const why = "Something between here and the server answered instead";
    showBanner(`The answer (${response.status}) is not JSON`, why, "");
    return;
  }
  if (response.ok && answer && answer.prediction !== undefined) showAnswer(answer, raw, asked);
  else showError(response.status, (answer && answer.error) || {});
}

function showError(status, error) {
  const message = error.message || `The server answered ${status}`;
  const id = error.request_id ? `${status} · request ${error.request_id}` : String(status);
  const field = state.mode === "form" && state.fields.find(({ column }) => column.name === error.column);
  if (status === 401) {
    byId("key-line").hidden = false;
    byId("key").focus();
  }
  showBanner(message, error.fix || "", id);
  if (!field) return;
  // Beside the field its name and the row say nothing new.
  const fault = message.replace(/^column .*?, row \d+: /, "");
  showFieldError(field, error.fix ? `${fault}. ${error.fix}` : fault);
  field.control.focus();
}

function showBanner(message, fix, detail) {
  const parts = [el("strong", {}, message), fix ? el("p", {}, fix) : null, detail ? el("small", {}, detail) : null];
  putAnswer(`Not answered: ${message}. ${fix}`, el("div", { class: "banner" }, ...parts));
}

function putAnswer(spoken, ...nodes) {
  byId("answer").replaceChildren(...nodes);
  byId("spoken").textContent = spoken;
  byId("answer-card").scrollIntoView({ block: "nearest" });
}

function choice(name, value, checked, ...content) {
  return el("label", {}, el("input", { type: "radio", name, value, checked }), el("span", {}, ...content));
}

function showModels() {
  byId("models").hidden = data.models.length < 2;
  const choices = data.models.map((model, index) => {
    const facts = el("small", {}, `version ${model.version} · ${model.kind}`);
    return choice("model", index, false, el("strong", {}, model.name), facts);
  });
  byId("model-choices").replaceChildren(...choices);
  byId("model-choices").addEventListener("change", (event) => chooseModel(data.models[event.target.value]));
  byId("method-choices").addEventListener("change", (event) => chooseMethod(state.model.methods[event.target.value]));
}

function chooseModel(model, method = model.methods[0]) {
  state.model = model;
  byId("model-choices").querySelectorAll("input")[data.models.indexOf(model)].checked = true;
  byId("model-name").textContent = model.name;
  const form = model.compiled ? "compiled" : "original";
  const why = model.compiled ? "Its compiled form (ONNX) answers" : "The original model answers";
  byId("model-facts").replaceChildren(
    el("span", {}, `version ${model.version}`),
    el("span", {}, model.kind),
    el("span", { class: `tag ${form}`, title: why }, form),
    el("code", { title: model.digest }, model.digest.slice(0, 19)),
  );
  state.fields = model.inputs.map(makeField);
  byId("fields").classList.toggle("many", state.fields.length > 24);
  byId("fields").replaceChildren(...state.fields.map((field) => field.node));
  showRawError("");
  byId("raw-body").value = prettyRecord();
  const choices = model.methods.map((one, index) => choice("method", index, one === method, one.name));
  byId("method-choices").replaceChildren(...choices);
  byId("methods").hidden = choices.length < 2;
  chooseMethod(method);
}

function chooseMethod(method) {
  state.method = method;
  byId("submit").textContent = method.name === "transform" ? "Transform" : "Predict";
  byId("took").textContent = "";
  byId("spoken").textContent = "";
  const idle = "The form holds an example. Change it as you like, and ask.";
  byId("answer").replaceChildren(el("p", { class: "idle" }, idle));
  history.replaceState(null, "", `#${state.model.name}/${encodeURIComponent(method.name)}`);
  showCalls();
}

// Each column on its own line, so that a person can edit it.
function prettyRecord() {
  const cells = state.fields.map((field) => {
    let value;
    try {
      value = cellText(field);
    } catch {
      value = "null";
    }
    return `  ${JSON.stringify(field.column.name)}: ${value}`;
  });
  return `{\n${cells.join(",\n")}\n}`;
}

function chooseMode(mode) {
  if (mode === "json" && state.mode === "form") byId("raw-body").value = prettyRecord();
  state.mode = mode;
  byId("fields").hidden = mode === "json";
  byId("raw").hidden = mode === "form";
  clearErrors();
  showCalls();
}

function backToExample(event) {
  event.preventDefault(); // a plain reset would also put the choice of form or JSON back
  for (const { control } of state.fields) {
    if (control instanceof HTMLSelectElement) {
      for (const option of control.options) option.selected = option.defaultSelected;
    } else control.value = control.defaultValue;
  }
  byId("raw-body").value = prettyRecord();
  clearErrors();
  showCalls();
}

// `#name/method` points at a model and a method, for links that people send each other.
function chosenByAddress() {
  const [name, method] = location.hash.slice(1).split("/");
  const model = data.models.find((one) => one.name === name) || data.models[0];
  const wanted = model.methods.find((one) => encodeURIComponent(one.name) === method);
  return [model, wanted || model.methods[0]];
}

function start() {
  for (const code of document.querySelectorAll("#reference pre code")) {
    code.textContent = code.textContent.replace(data.base + "/", root);
  }
  byId("health").hidden = byId("live").hidden = false;
  byId("key-line").hidden = !data.auth;
  if (data.models.length) {
    byId("ask").hidden = false;
    showModels();
    chooseModel(...chosenByAddress());
  }
  byId("form").addEventListener("submit", ask);
  byId("form").addEventListener("reset", backToExample);
  byId("raw-body").addEventListener("input", () => (showRawError(""), showCalls()));
  for (const radio of document.querySelectorAll("[name=mode]")) {
    radio.addEventListener("change", () => chooseMode(radio.value));
  }
  document.querySelectorAll(".copy").forEach((button) => button.addEventListener("click", () => copy(button)));
  addEventListener("hashchange", () => {
    if (data.models.length && location.hash.includes("/")) chooseModel(...chosenByAddress());
  });
  poll();
}

start();
