"use strict";
const MESSAGES = /*MESSAGES*/;
const byId = id => document.getElementById(id);
let lang = new URLSearchParams(location.search).get("lang") || (navigator.language.startsWith("zh") ? "zh_CN" : "en");
if (!(lang in MESSAGES)) lang = "en";
let schema = null, last = null;
const say = (key, values = {}) => MESSAGES[lang][key].replace(/\{(\w+)\}/g, (_, name) => values[name]);
function node(tag, text, parent, cls) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  if (cls) made.className = cls;
  if (parent) parent.append(made);
  return made;
}
function input(field, label) {
  const choices = field.categories.length && field.kind !== "numeric" && !field.file && !field.more;
  let box;
  if (field.file) { box = node("input", null, label); box.type = "file"; box.accept = "image/*"; }
  else if (choices) {
    box = node("select", null, label);
    node("option", say("missing"), box).value = "";
    for (const one of field.categories) node("option", one, box).value = one;
  } else if (field.kind === "text") { box = node("textarea", null, label); label.className = "wide"; }
  else {
    box = node("input", null, label);
    if (field.kind === "numeric") box.inputMode = "decimal";
    else if (field.more) {
      const known = node("datalist", null, label);
      known.id = "known" + boxes.size;
      box.setAttribute("list", known.id);
      for (const one of field.categories) node("option", null, known).value = one;
    }
  }
  if (field.example !== null && !field.file) {
    const want = String(field.example);
    if (!choices || field.categories.includes(want)) box.value = want;
  }
  return box;
}
let boxes = new Map();
function build() {
  const kept = new Map([...boxes].map(([name, box]) => [name, box]));
  boxes = new Map();
  byId("fields").replaceChildren();
  for (const field of schema.fields) {
    const label = node("label", null, byId("fields"));
    node("b", field.name, label);
    if (field.kind === "numeric" && field.low !== null)
      node("span", say("seen", {low: +field.low.toPrecision(4), high: +field.high.toPrecision(4)}), label);
    const box = input(field, label);
    if (kept.has(field.name) && !field.file) box.value = kept.get(field.name).value;
    boxes.set(field.name, box);
  }
}
function words() {
  document.documentElement.lang = lang.replace("_", "-");
  for (const id of ["language", "docs", "send"]) byId(id).textContent = say(id);
  if (schema) {
    document.title = schema.model;
    byId("title").textContent = schema.model;
    byId("about").textContent = say("about", {problem: MESSAGES[lang][schema.problem] ? say(schema.problem) : schema.problem, target: schema.target.join(", "), version: (schema.number === null ? "" : schema.number + " · ") + schema.version.slice(0, 12)});
    build();
  }
  if (last) show(...last);
}
function table(parent, heads, rows) {
  const made = node("table", null, parent), head = node("tr", null, node("thead", null, made));
  heads.forEach(one => node("th", one, head));
  const body = node("tbody", null, made);
  for (const row of rows) {
    const line = node("tr", null, body);
    for (const cell of row) cell instanceof Node ? node("td", null, line).append(cell) : node("td", cell, line);
  }
}
function show(ok, value) {
  last = [ok, value];
  const out = byId("answer");
  out.hidden = false;
  out.replaceChildren();
  if (!ok) {
    node("p", value.error, out, "bad");
    const detail = value.detail || [];
    for (const one of detail.length > 1 ? detail : []) node("p", `${one.field}: ${one.must} (${one.got})`, out, "bad");
    return;
  }
  node("h2", say("result"), out);
  const found = "label" in value ? value.label : value.value;
  node("p", Array.isArray(found) ? found.join(", ") || say("none") : found, out, "big");
  if (value.threshold !== undefined && value.threshold !== null) node("p", say("threshold", {value: value.threshold}), out);
  if (value.probabilities) {
    const rows = Object.entries(value.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 20).map(([name, p]) => {
      const bar = document.createElement("meter");
      bar.value = p;
      return [name, p.toFixed(4), bar];
    });
    table(out, [say("class"), say("probability"), ""], rows);
  }
  if (value.reasons && value.reasons.length) {
    node("h2", say("reasons"), out);
    node("p", say("why"), out);
    table(out, [say("field"), say("value"), say("reference"), say("effect")],
      value.reasons.map(r => [r.field, r.value ?? say("missing"), r.reference ?? say("missing"), (r.effect > 0 ? "+" : "") + r.effect.toPrecision(3)]));
  }
}
const read = file => new Promise((done, fail) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result);
  reader.onerror = () => fail(reader.error);
  reader.readAsDataURL(file);
});
byId("form").addEventListener("submit", async event => {
  event.preventDefault();
  const record = {};
  try {
    for (const field of schema.fields) {
      const box = boxes.get(field.name);
      if (field.file) record[field.name] = box.files.length ? await read(box.files[0]) : null;
      else record[field.name] = box.value === "" ? null : box.value;
    }
    const answer = await fetch("predict?reasons=5", {method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(record)});
    show(answer.ok, await answer.json());
  } catch (error) {
    show(false, {error: say("failed")});
  }
});
byId("language").addEventListener("click", () => { lang = lang === "en" ? "zh_CN" : "en"; words(); });
words();
fetch("schema").then(answer => answer.json()).then(found => { schema = found; words(); })
  .catch(() => show(false, {error: say("failed")}));
