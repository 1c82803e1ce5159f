// What the page is made from, and the helpers that build it. The files of this folder are joined into one strict
// function, in the order that page.py names.

const data = JSON.parse(byId("data").textContent);
const state = { model: null, method: null, fields: [], mode: "form", pending: null };
// Relative to the page, so that it also works behind a prefix and mounted in another app.
const root = new URL(".", document.baseURI).href;

function byId(id) {
  return document.getElementById(id);
}

// Children that are strings become text nodes: nothing that a model or a caller named is ever parsed as markup.
function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function el(tag, attributes = {}, ...children) {
  return build(document.createElement(tag), attributes, children);
}

function svg(tag, attributes = {}, ...children) {
  return build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function short(number, digits = 6) {
  if (typeof number !== "number") return text(number);
  return Number.isInteger(number) ? String(number) : String(Number(number.toPrecision(digits)));
}

function text(value) {
  if (value === null || value === undefined) return "none";
  return typeof value === "string" ? value : JSON.stringify(value);
}

function percent(share) {
  return `${(share * 100).toFixed(share > 0 && share < 0.0995 ? 2 : 1)} %`;
}

// How many lists are nested; decides, with the output's rank, whether an answer is for one record or for rows.
function depth(value) {
  return Array.isArray(value) ? 1 + (value.length ? depth(value[0]) : 0) : 0;
}
