// The same call as a command and as Python, to take elsewhere.

function shellQuote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

function curlText(body) {
  return [
    `curl ${shellQuote(root + route())}`,
    ...(data.auth ? ['-H "Authorization: Bearer $SHIPWAY_API_KEY"'] : []),
    "-H 'Content-Type: application/json'",
    `-d ${shellQuote(body)}`,
  ].join(" \\\n  ");
}

// JSON's text as a Python expression: only three words differ, and a few escapes in strings.
function pythonLiteral(json) {
  const words = { true: "True", false: "False", null: "None" };
  const tokens = /"(?:[^"\\]|\\.)*"|true|false|null/g;
  return json.replace(tokens, (token) => words[token] || JSON.stringify(JSON.parse(token)));
}

function pythonText(body) {
  const server = JSON.stringify(root.replace(/\/$/, ""));
  const key = data.auth ? ', api_key=os.environ["SHIPWAY_API_KEY"]' : "";
  const name = state.method.name;
  const call = ["predict", "predict_proba"].includes(name) ? `${name}(` : `call(${JSON.stringify(name)}, `;
  return [
    ...(data.auth ? ["import os", ""] : []),
    "import shipway",
    "",
    `client = shipway.Client(${server}${key})`,
    `rows = ${pythonLiteral(body)}`,
    `print(client.${call}rows, model=${JSON.stringify(state.model.name)}))`,
  ].join("\n");
}

function showCalls() {
  const body = state.mode === "json" ? byId("raw-body").value.trim() : readForm().body;
  byId("curl").textContent = curlText(body);
  try {
    byId("python").textContent = pythonText(body);
  } catch {
    byId("python").textContent = "# waits for the JSON to be whole";
  }
}

async function copy(button) {
  const source = byId(button.dataset.copies);
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    // Browsers give the clipboard to secure pages only; what is selected can still be copied by hand.
    getSelection().selectAllChildren(source);
    said = "Selected";
  }
  button.textContent = said;
  setTimeout(() => (button.textContent = "Copy"), 1500);
}
