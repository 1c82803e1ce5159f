// A form made from a signature, and the request's body read from it.

function makeField(column, index) {
  const id = `field-${index}`;
  const control = makeControl(column, id);
  control.setAttribute("aria-describedby", `${id}-takes ${id}-error`);
  control.addEventListener("input", () => {
    showFieldError(field, "");
    showCalls();
  });
  const error = el("p", { class: "error", id: `${id}-error`, hidden: true });
  const wide = column.kind === "text" || column.shape.length > 0;
  const parts = [el("label", { for: id }, column.name), control];
  // A bare number says so itself.
  const takes = el("span", { class: "takes", id: `${id}-takes` }, column.takes === "number" ? "" : column.takes);
  const node = el("div", { class: wide ? "field wide" : "field" }, ...parts, takes, error);
  const field = { column, control, error, node };
  if (column.categories.length && column.dtype !== "bool") {
    const options = column.categories.map((category) => el("option", { value: category }));
    control.setAttribute("list", `${id}-list`);
    field.node.append(el("datalist", { id: `${id}-list` }, ...options));
    takes.textContent += `; ${column.categories.length} known, others allowed`;
  }
  return field;
}

function makeControl(column, id) {
  const common = { id, name: id, autocomplete: "off" };
  if (column.shape.length) {
    const area = el("textarea", { ...common, class: "code", rows: 4, spellcheck: "false", placeholder: "[ … ]" });
    area.defaultValue = column.example;
    return area;
  }
  if (column.dtype === "bool") {
    const values = column.nullable ? ["", "true", "false"] : ["true", "false"];
    const option = (value) => el("option", { value, selected: value === column.example }, value);
    return el("select", common, ...values.map(option));
  }
  if (column.dtype === "string") {
    if (column.kind !== "text") return el("input", { ...common, type: "text", value: column.example });
    const area = el("textarea", { ...common, rows: 3 });
    area.defaultValue = column.example;
    return area;
  }
  const whole = !column.dtype.startsWith("float");
  return el("input", { ...common, type: "number", step: whole ? 1 : "any", value: column.example });
}

// A cell as JSON text. Numbers stay as written, since JavaScript would round whole numbers past 2^53.
function cellText({ column, control }) {
  const raw = control.value;
  if (control.validity.badInput) throw new Error("needs a number");
  if (raw.trim() === "" && column.nullable) return "null";
  if (column.shape.length) return arrayText(raw);
  if (column.dtype === "string") return JSON.stringify(raw);
  if (raw === "") throw new Error("needs a value");
  if (column.dtype === "bool") return raw;
  return /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/.test(raw) ? raw : String(Number(raw));
}

function arrayText(raw) {
  try {
    if (!Array.isArray(JSON.parse(raw))) throw new SyntaxError();
  } catch {
    throw new Error("needs an array in JSON, such as [1, 2]");
  }
  return raw.trim().replace(/\s*\n\s*/g, " ");
}

// The request's body as JSON text, or the fields that stand in its way.
function readForm() {
  const cells = [];
  const faults = [];
  for (const field of state.fields) {
    try {
      cells.push(`${JSON.stringify(field.column.name)}: ${cellText(field)}`);
    } catch (fault) {
      faults.push([field, fault.message]);
    }
  }
  return { body: `{${cells.join(", ")}}`, faults };
}

function showFieldError(field, message) {
  field.error.textContent = message;
  field.error.hidden = message === "";
  if (message) field.control.setAttribute("aria-invalid", "true");
  else field.control.removeAttribute("aria-invalid");
}

function showRawError(message) {
  byId("raw-error").textContent = message;
  byId("raw-error").hidden = message === "";
  if (message) byId("raw-body").setAttribute("aria-invalid", "true");
  else byId("raw-body").removeAttribute("aria-invalid");
}

function clearErrors() {
  state.fields.forEach((field) => showFieldError(field, ""));
  showRawError("");
}

// The body to send, or null after showing what is wrong and going there.
function readBody() {
  clearErrors();
  if (state.mode === "json") {
    try {
      JSON.parse(byId("raw-body").value);
      return byId("raw-body").value.trim();
    } catch (fault) {
      showRawError(`This is not JSON yet: ${fault.message}`);
      byId("raw-body").focus();
      return null;
    }
  }
  const { body, faults } = readForm();
  faults.forEach(([field, message]) => showFieldError(field, message));
  if (!faults.length) return body;
  faults[0][0].control.focus();
  return null;
}
