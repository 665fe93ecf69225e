// The review of groups of requests that were found in logs: accept, rename, merge, split, drop, write, take back.

import { find, make, makeButton, percent, plain, showNotice } from "/static/page.js";
import { call } from "/static/server.js";
import { onLanguage, say } from "/static/words.js";

const PAGE = 20;
const SHOWN_WORDINGS = 4;
const USES = ["intent", "rows", "known_question", "article"];
const KEYS = { a: accept, d: drop, s: split, x: select };

let overview = null; // how far the review is
let status = "open"; // which groups are shown
let groups = []; // those that were fetched, the largest first
let next = null; // `skip` of the next page
const chosen = new Set(); // ids of groups to merge

/** Show the groups that wait for a person. */
export async function loadLearning() {
  try {
    overview = await call("/v1/learning");
    await loadGroups();
  } catch (error) {
    showNotice(find("learn-error"), error.message);
  }
}

async function loadGroups(limit = PAGE) {
  const wanted = status;
  const page = await call(`/v1/learning/groups?status=${wanted}&limit=${Math.min(limit, 50)}`);
  if (wanted !== status) return; // others were chosen meanwhile
  ({ groups, next } = page);
  draw();
}

async function loadMore() {
  const page = await call(`/v1/learning/groups?status=${status}&limit=${PAGE}&skip=${next}`);
  const known = new Set(groups.map(({ id }) => id));
  groups.push(...page.groups.filter(({ id }) => !known.has(id)));
  next = page.next;
  draw();
}

// ---------------------------------------------------------------- drawing

function draw() {
  drawOverview();
  const focused = document.activeElement?.closest("#learn-groups article")?.dataset.id;
  const cards = groups.map(drawGroup);
  const nothing = status === "open" && !overview.num_conversations ? "learnNothing" : "learnNone";
  find("learn-groups").replaceChildren(...(cards.length ? cards : [make("p", "faint", say(nothing))]));
  if (focused) (cards.find((card) => card.dataset.id === focused) ?? cards[0])?.focus();
  find("learn-more").hidden = next === null;
}

function drawOverview() {
  const counts = overview.groups;
  for (const button of find("learn-status").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(button.value === status));
    button.textContent = `${say(`learn_${button.value}`)} ${counts[button.value]}`;
  }
  const numPrivate = Object.values(overview.private).reduce((total, count) => total + count, 0);
  const figures = { n: overview.num_conversations, requests: overview.num_requests, private: numPrivate };
  find("learn-overview").textContent = overview.num_conversations ? say("learnOverview", figures) : "";
  find("learn-undo").hidden = !overview.can_undo;
  find("learn-publish").hidden = !counts.accepted;
  find("learn-merge").hidden = status !== "open" || chosen.size < 2;
}

function drawGroup(group) {
  const { draft } = group;
  const card = make("article", "card group");
  card.dataset.id = group.id;
  card.tabIndex = 0;
  card.setAttribute("aria-label", plain(draft.name));
  card.append(drawHead(group), drawWordings(draft), drawAnswers(group), drawTemplate(group));
  if (group.status === "open") card.append(drawActions(group));
  else card.append(make("p", "faint", say(`learnDone_${group.status}`, { use: group.use ? say(`use_${group.use}`) : "" })));
  return card;
}

function drawHead({ id, status: state, draft }) {
  const field = make("input", "name");
  field.value = draft.name;
  field.maxLength = 80;
  field.disabled = !["open", "accepted"].includes(state) || Boolean(draft.intent);
  field.setAttribute("aria-label", say("learnName"));
  field.addEventListener("change", () => decide({ kind: "rename", group: id, name: field.value.trim() }));
  const figures = { n: draft.num_requests, people: draft.num_customers, share: percent(draft.confidence) };
  const head = make("div", "group-head", field, make("span", "faint", say("learnSize", figures)));
  if (draft.intent) head.append(make("span", "badge", say("learnFits", { intent: draft.intent })));
  if (state === "open") head.prepend(drawChoice(id));
  return head;
}

function drawChoice(id) {
  const box = make("input", "choose");
  box.type = "checkbox";
  box.checked = chosen.has(id);
  box.setAttribute("aria-label", say("learnChoose"));
  box.addEventListener("change", () => {
    if (box.checked) chosen.add(id);
    else chosen.delete(id);
    drawOverview();
  });
  return box;
}

function drawWordings({ wordings }) {
  const line = (text) => make("li", "", text);
  const list = make("ul", "wordings", ...wordings.slice(0, SHOWN_WORDINGS).map(line));
  if (wordings.length <= SHOWN_WORDINGS) return list;
  const rest = make("ul", "wordings", ...wordings.slice(SHOWN_WORDINGS).map(line));
  const more = make("summary", "", say("learnMoreWordings", { n: wordings.length - SHOWN_WORDINGS }));
  return make("div", "", list, make("details", "", more, rest));
}

function drawAnswers(group) {
  const { answers } = group.draft;
  if (!answers.length) return make("p", "faint", say("learnNoAnswers"));
  const rows = answers.map((answer) => {
    const worked = answer.worked === null ? "" : ` · ${say("learnWorked", { share: percent(answer.worked) })}`;
    const row = make("li", "", make("p", "text", answer.text), make("span", "faint", `${say("learnGiven", { n: answer.count })}${worked}`));
    if (group.status === "open") row.append(makeButton("quiet", say("learnTake"), () => decide({ kind: "template", group: group.id, template: answer.text })));
    return row;
  });
  return make("details", "", make("summary", "", say("learnAnswers", { n: answers.length })), make("ul", "answers", ...rows));
}

function drawTemplate({ id, status: state, draft }) {
  const box = make("textarea", "");
  box.value = draft.template;
  box.rows = 3;
  box.maxLength = 4000;
  box.disabled = !["open", "accepted"].includes(state) || Boolean(draft.intent);
  box.addEventListener("change", () => decide({ kind: "template", group: id, template: box.value.trim() }));
  const slots = overview.slots.map((slot) => `{${slot}}`).join(" ");
  const hint = slots ? say("learnSlots", { slots }) : "";
  return make("label", "template", make("span", "faint", `${say("learnTemplate")} ${hint}`), box);
}

function drawActions(group) {
  const use = make("select", "use");
  use.setAttribute("aria-label", say("learnUse"));
  for (const value of USES) {
    if ((value === "rows") !== Boolean(group.draft.intent)) continue;
    const option = make("option", "", say(`use_${value}`));
    option.value = value;
    use.append(option);
  }
  const actions = make("div", "row group-actions", use, makeButton("accept", say("learnAccept"), () => accept(group)));
  if (group.can_split) actions.append(makeButton("quiet", say("learnSplit"), () => split(group)));
  actions.append(makeButton("quiet", say("learnDrop"), () => drop(group)));
  return actions;
}

// ---------------------------------------------------------------- decisions

const cardOf = ({ id }) => [...find("learn-groups").children].find((card) => card.dataset.id === id);

function accept(group) {
  return decide({ kind: "accept", group: group.id, use: cardOf(group).querySelector(".use").value });
}

function drop(group) {
  return decide({ kind: "drop", group: group.id });
}

function split(group) {
  return group.can_split ? decide({ kind: "split", group: group.id }) : null;
}

function select(group) {
  cardOf(group).querySelector(".choose").click();
}

async function decide(decision) {
  const place = groups.findIndex(({ id }) => id === decision.group);
  await act(async () => {
    const reply = await call("/v1/learning/decisions", { decision });
    ({ overview } = reply);
    for (const name of decision.groups ?? [decision.group]) chosen.delete(name);
    return say(`learnSaid_${decision.kind}`, { name: plain(reply.groups[0].draft.name) });
  });
  if (["accept", "drop", "split"].includes(decision.kind)) find("learn-groups").querySelectorAll("article")[Math.max(place, 0)]?.focus();
}

/** Do something, say what was done, and show the groups as they are then. */
async function act(work) {
  find("learn-error").replaceChildren();
  let said = "";
  try {
    said = await work();
  } catch (error) {
    showNotice(find("learn-error"), error.message);
  }
  await loadGroups(Math.max(groups.length, PAGE)).catch((error) => showNotice(find("learn-error"), error.message));
  find("learn-said").textContent = said; // last: whoever hears it finds the groups as it says
}

function merge() {
  const order = groups.map(({ id }) => id).filter((id) => chosen.has(id));
  return decide({ kind: "merge", groups: order });
}

function undo() {
  return act(async () => {
    const reply = await call("/v1/learning/undo", {});
    ({ overview } = reply);
    return say(reply.undone ? "learnUndone" : "learnNothingToUndo", { step: say(`step_${reply.undone}`) });
  });
}

function publish() {
  return act(async () => {
    const reply = await call("/v1/learning/publish", {});
    ({ overview } = reply);
    return say("learnPublished", { n: reply.publication.num_groups, files: reply.publication.files.join(", ") });
  });
}

function pressKey(event) {
  const card = event.target.closest("article");
  if (!card || event.target !== card || event.ctrlKey || event.metaKey || event.altKey) return;
  const group = groups.find(({ id }) => id === card.dataset.id);
  const step = { ArrowDown: card.nextElementSibling, ArrowUp: card.previousElementSibling }[event.key];
  if (step) step.focus();
  else if (event.key === "u") undo();
  else if (event.key === "m" && chosen.size > 1) merge();
  else if (event.key in KEYS && group.status === "open") KEYS[event.key](group);
  else return;
  event.preventDefault();
}

for (const button of find("learn-status").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    status = button.value;
    chosen.clear();
    find("learn-said").textContent = "";
    loadGroups().catch((error) => showNotice(find("learn-error"), error.message));
  });
}
find("learn-groups").addEventListener("keydown", pressKey);
find("learn-merge").addEventListener("click", merge);
find("learn-undo").addEventListener("click", undo);
find("learn-publish").addEventListener("click", publish);
find("learn-more").addEventListener("click", () => loadMore().catch((error) => showNotice(find("learn-error"), error.message)));
onLanguage(() => overview && draw());
