// Answers as a person would want them: a number, class bars, a table; and what a linear model's number is made of.

function showAnswer(answer, raw, asked) {
  const { spoken, nodes } = answerView(answer, asked.method);
  const made = formulaView(asked, answer);
  const json = el("pre", { tabindex: 0, "aria-label": "The answer as JSON" }, raw);
  const details = el("details", {}, el("summary", {}, "As JSON"), json);
  putAnswer(spoken, ...nodes, ...(made ? [made] : []), details);
}

function answerView(answer, method) {
  const { prediction } = answer;
  if (method.outputs.length > 1) return severalView(prediction, method);
  const rank = method.outputs[0].rank;
  if (depth(prediction) > rank) return rowsView(prediction, answer.classes || null);
  if (rank === 0) return scalarView(prediction, outputName(method));
  const classes = answer.classes;
  if (classes && classes.length === prediction.length) return classesView(prediction, classes, method);
  return arrayView(prediction);
}

function outputName(method) {
  const formula = state.model.formula;
  if (method.name === "predict" && formula && formula.outputs.length === 1) return formula.outputs[0];
  return method.outputs[0].name;
}

function scalarView(value, name) {
  const shown = value === null ? "not a number" : short(value);
  const exact = text(value);
  const nodes = [el("p", { class: "called" }, name), el("p", { class: shown.length > 14 ? "big long" : "big" }, shown)];
  if (typeof value === "number" && exact !== shown) nodes.push(el("p", { class: "exact" }, el("code", {}, exact)));
  return { spoken: `${name}: ${shown}`, nodes };
}

function classesView(numbers, classes, method) {
  const shares = method.name === "predict_proba";
  const items = classes.map((label, index) => ({ label: text(label), value: numbers[index] }));
  items.sort((one, other) => other.value - one.value);
  const figure = shares ? percent : (value) => short(value);
  const best = items[0];
  const bars = barTable(items, { title: shares ? "Probability" : "Score", figure, signed: !shares, most: 12 });
  const nodes = [
    el("p", { class: "called" }, shares ? `most likely, at ${percent(best.value)}` : "highest score"),
    el("p", { class: best.label.length > 14 ? "big long" : "big" }, best.label),
    el("div", { class: "part" }, bars),
  ];
  return { spoken: `${best.label}, ${figure(best.value)}`, nodes };
}

function arrayView(value) {
  if (depth(value) > 1) {
    return { spoken: "An array", nodes: [el("pre", { tabindex: 0 }, JSON.stringify(value, null, 1))] };
  }
  const rows = value.map((number, index) => [index, number]);
  return { spoken: `${value.length} numbers`, nodes: [table(["#", "Value"], rows)] };
}

function severalView(columns, method) {
  const names = method.outputs.map((output) => output.name);
  const many = method.outputs.some((output) => depth(columns[output.name]) > output.rank);
  if (!many) {
    const pairs = names.map((name) => [name, columns[name]]);
    return { spoken: `${names.length} outputs`, nodes: [table(["Output", "Value"], pairs)] };
  }
  const rows = columns[names[0]].map((_, index) => [index, ...names.map((name) => columns[name][index])]);
  return { spoken: `${rows.length} rows`, nodes: [table(["Row", ...names], rows)] };
}

function rowsView(rows, classes) {
  const wide = Array.isArray(rows[0]) && depth(rows[0]) === 1;
  const titles = wide ? rows[0].map((_, index) => (classes ? text(classes[index]) : String(index))) : ["Prediction"];
  const cells = rows.map((row, index) => [index, ...(wide ? row : [row])]);
  return { spoken: `${rows.length} predictions`, nodes: [table(["Row", ...titles], cells)] };
}

function table(titles, rows, most = 200) {
  const numeric = titles.map((_, index) => rows.every((row) => typeof row[index] === "number" || row[index] === null));
  const kind = (index) => ({ class: numeric[index] ? "number" : null });
  const head = el("tr", {}, ...titles.map((title, index) => el("th", { scope: "col", ...kind(index) }, title)));
  const cells = (row) => row.map((cell, index) => el("td", kind(index), short(cell)));
  const body = rows.slice(0, most).map((row) => el("tr", {}, ...cells(row)));
  const more = `The first ${most} of ${rows.length}; all are in the JSON below`;
  const rest = rows.length > most ? el("caption", {}, more) : null;
  const whole = el("table", {}, rest, el("thead", {}, head), el("tbody", {}, ...body));
  return el("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Answer as a table" }, whole);
}

// Bars with their numbers beside them: the bar is for the eye, the table is what is read out.
function barTable(items, { title, figure, signed, most }) {
  const reach = signed ? Math.max(...items.map((item) => Math.abs(item.value)), Number.MIN_VALUE) : 1;
  const rows = items.slice(0, most).map((item, index) => {
    const detail = item.detail ? el("small", {}, item.detail) : null;
    const track = el("div", { class: "track" }, bar(item.value / reach, signed));
    return el(
      "tr",
      { class: index === 0 && !signed ? "first" : null },
      el("th", { scope: "row" }, item.label, detail),
      el("td", { class: "strip", "aria-hidden": "true" }, track),
      el("td", { class: "number" }, figure(item.value)),
    );
  });
  const rest = items.length > most ? el("caption", {}, `The ${most} largest of ${items.length}`) : null;
  const titles = ["Name", title].map((name) => el("th", { scope: "col" }, name));
  const gap = el("td", { "aria-hidden": "true" });
  const head = el("thead", { class: "unseen" }, el("tr", {}, titles[0], gap, titles[1]));
  return el("table", { class: signed ? "bars signed" : "bars" }, rest, head, el("tbody", {}, ...rows));
}

function bar(share, signed) {
  const node = el("i", { class: share < 0 ? "minus" : null });
  const size = Math.min(Math.abs(share), 1) * (signed ? 50 : 100);
  // By property: the page's content security policy lets no style attribute in.
  node.style.width = `${size}%`;
  node.style.left = `${signed ? (share < 0 ? 50 - size : 50) : 0}%`;
  return node;
}

function formulaView({ model, method, body }, answer) {
  const formula = model.formula;
  if (!formula || !["predict", "predict_proba", "decision_function"].includes(method.name)) return null;
  const record = JSON.parse(body);
  if (Array.isArray(record) || Object.values(record).some((value) => typeof value !== "number")) return null;
  const which = formulaOutput(formula, method, answer);
  const terms = model.inputs.map((column, index) => {
    const coefficient = formula.coefficients[which][index];
    const value = record[column.name];
    return { label: column.name, value: coefficient * value, detail: `${short(coefficient, 4)} × ${short(value, 4)}` };
  });
  terms.push({ label: "intercept", value: formula.intercepts[which] });
  const sum = terms.reduce((total, term) => total + term.value, 0);
  terms.sort((one, other) => Math.abs(other.value) - Math.abs(one.value));
  const near = 1e-6 * (1 + Math.abs(sum));
  const exact = typeof answer.prediction === "number" && Math.abs(sum - answer.prediction) <= near;
  const title = exact ? "What it is made of" : `The linear score of ${formula.outputs[which]}: ${short(sum)}`;
  const bars = barTable(terms, { title: "Part", figure: (value) => short(value, 4), signed: true, most: 16 });
  return el("div", { class: "part" }, el("h3", {}, title), bars);
}

// Which of the formula's outputs the answer is about: the class that was predicted, where there are several.
function formulaOutput(formula, method, answer) {
  const numbers = answer.prediction;
  if (formula.coefficients.length === 1) return 0;
  if (method.name === "predict") return Math.max(0, formula.outputs.indexOf(text(numbers)));
  if (!Array.isArray(numbers)) return 0;
  return Math.min(numbers.indexOf(Math.max(...numbers)), formula.coefficients.length - 1);
}
