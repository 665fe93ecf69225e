// The desk of the staff: who waits, what was said and why, and an answer.

import { loadLearning } from "/static/learning.js";
import { ago, find, fit, make, makeButton, newId, onSubmit, plain, sendByEnter, showNotice } from "/static/page.js";
import { call } from "/static/server.js";
import { drawTurn } from "/static/turns.js";
import { onLanguage, say } from "/static/words.js";

const POLL_MS = 5000;
const LATEST_MS = 60_000; // the list of all conversations is long, and old ones do not wait for anybody

let me = null;
let shown = null; // { owner, id } of the conversation on the right
let last = null; // its view, as it was fetched last
let numDrawn = 0; // turns of it
let lists = { waiting: [], conversations: [] };
let latestAt = 0; // when the conversations were fetched
let budget = null; // of wrong answers, and the bound that held-out messages prove
let unsent = null; // an answer that may have arrived although the network failed: { to, text, close, id }

/** Let staff choose between the customer's view, their own, and the review of what was learnt from logs. */
export function openDesk(identity) {
  me = identity;
  find("views").hidden = false;
  update();
  setInterval(() => !document.hidden && update(), POLL_MS);
}

function showView(view) {
  for (const button of find("views").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === view));
  for (const name of ["customer", "staff", "learning"]) find(`${name}-view`).hidden = view !== name;
  latestAt = 0;
  if (view === "staff") {
    update();
    showBudget();
  }
  if (view === "learning") loadLearning();
}

// ---------------------------------------------------------------- how many answers may be wrong

async function showBudget() {
  try {
    budget = (await call("/v1/answer-budget")).budget;
  } catch {
    budget = null; // the inbox says what is wrong with the server
  }
  drawBudget();
}

function drawBudget() {
  const percent = (share) => `${(100 * share).toFixed(1)} %`;
  find("answer-budget").hidden = budget === null;
  if (budget) find("answer-budget").textContent = say("answerBudget", { budget: percent(budget.budget), bound: percent(budget.wrong_bound), threshold: budget.threshold.toFixed(2) });
}

// ---------------------------------------------------------------- lists

async function update() {
  try {
    const isOpen = !find("staff-view").hidden;
    const inbox = await call("/v1/inbox");
    lists.waiting = inbox.waiting;
    if (isOpen && Date.now() - latestAt > LATEST_MS) {
      lists.conversations = (await call("/v1/conversations?everyone=true&limit=20")).conversations;
      latestAt = Date.now();
    }
    const count = `${inbox.num_waiting}${inbox.is_count_exact ? "" : "+"}`;
    if (find("waiting-count").textContent !== count) find("waiting-count").textContent = count;
    find("waiting-count").hidden = inbox.num_waiting === 0;
    drawLists();
    find("desk-error").replaceChildren();
    if (isOpen && shown) await showConversation();
  } catch (error) {
    if (error.status === 404) close(); // its customer has deleted it
    else showNotice(find("desk-error"), error.message);
  }
}

function drawLists() {
  const waiting = new Set(lists.waiting.map(nameOf));
  const others = lists.conversations.filter((one) => !waiting.has(nameOf(one)));
  fill(find("inbox"), lists.waiting.map((one) => drawEntry(one, ago(one.since), one.summary.split("\n")[0].replace(/^Message: /, ""))), "nobody");
  fill(find("latest"), others.map((one) => drawEntry(one, ago(one.updated), say("messages", { n: one.num_messages }))), "noneYet");
}

const nameOf = ({ owner, conversation }) => `${owner} ${conversation}`;
const title = (owner) => (owner === "local" ? say("own") : owner);

function fill(list, entries, nothing) {
  const focused = document.activeElement?.closest("#staff-view li")?.dataset.name;
  list.replaceChildren(...(entries.length ? entries : [make("li", "faint", say(nothing))]));
  const again = [...list.children].find((entry) => focused && entry.dataset.name === focused);
  again?.querySelector("button").focus();
}

function drawEntry(one, when, line) {
  const button = makeButton("entry", make("span", "top-line", make("strong", "", title(one.owner)), make("span", "faint", when)), () => select(one));
  button.append(make("span", "line", line));
  const isShown = shown && shown.owner === one.owner && shown.id === one.conversation;
  button.setAttribute("aria-current", String(Boolean(isShown)));
  const entry = make("li", "", button);
  entry.dataset.name = nameOf(one);
  return entry;
}

// ---------------------------------------------------------------- one conversation

async function select(one) {
  shown = { owner: one.owner, id: one.conversation };
  last = null;
  numDrawn = 0;
  find("answer-text").value = "";
  drawLists();
  await update();
  if (!find("answer-form").hidden) find("answer-text").focus();
}

function close() {
  shown = null;
  last = null;
  find("desk-turns").replaceChildren();
  find("desk-title").textContent = "";
  find("desk-state").textContent = say("pick");
  find("desk-state").classList.remove("waits");
  find("desk-summary").hidden = true;
  find("answer-form").hidden = true;
  drawLists();
}

const path = ({ owner, id }, rest = "") => `/v1/conversations/${id}${rest}${rest.includes("?") ? "&" : "?"}owner=${encodeURIComponent(owner)}`;

async function showConversation() {
  const asked = shown;
  const view = await call(path(asked, "?limit=200"));
  if (asked !== shown) return; // another one was chosen meanwhile
  const isNew = last === null || last.num_turns !== view.num_turns || last.awaits_person !== view.awaits_person;
  last = view;
  if (isNew) drawConversation();
}

function drawConversation() {
  const talk = { mine: ["assistant", "staff"], hasDetails: true, names: { customer: title(shown.owner) }, path: (rest) => path(shown, rest) };
  const { turns, num_turns: numTurns, hand_over: handOver } = last;
  const added = numDrawn ? turns.slice(Math.max(0, turns.length - numTurns + numDrawn)) : turns; // a screen reader reads no turn twice
  if (!numDrawn) find("desk-turns").replaceChildren();
  for (const turn of added) find("desk-turns").append(drawTurn({ ...turn, question: askedBefore(turn, turns) }, talk));
  numDrawn = numTurns;
  find("desk-turns").scrollTop = find("desk-turns").scrollHeight;
  find("desk-title").textContent = plain(title(shown.owner));
  find("desk-state").textContent = handOver ? `${say("awaitsShort")} · ${ago(handOver.since)}` : say("assistantAnswers");
  find("desk-state").classList.toggle("waits", Boolean(handOver));
  find("desk-summary").hidden = !handOver;
  if (handOver) find("desk-summary-text").textContent = plain(handOver.summary);
  find("answer-form").hidden = !handOver;
}

/** What the customer wrote before a turn. */
function askedBefore(turn, turns) {
  return turns.slice(0, turns.indexOf(turn)).findLast((earlier) => earlier.speaker === "customer")?.text;
}

async function answer(text, close) {
  find("answer-error").replaceChildren();
  const to = path(shown, "/answers");
  const isSame = unsent && unsent.to === to && unsent.text === text && unsent.close === close;
  if (!isSame) unsent = { to, text, close, id: newId() };
  await call(to, { text, close, message_id: unsent.id });
  unsent = null;
  find("answer-text").value = "";
  fit(find("answer-text"));
  latestAt = 0;
  await update();
}

for (const button of find("views").querySelectorAll("button")) button.addEventListener("click", () => showView(button.value));
onSubmit(find("answer-form"), find("answer-error"), () => answer(find("answer-text").value.trim(), find("answer-close").checked));
find("answer-none").addEventListener("click", () => answer("", true).catch((error) => showNotice(find("answer-error"), error.message)));
sendByEnter(find("answer-text"));
onLanguage(() => {
  if (!me) return;
  drawLists();
  drawBudget();
  numDrawn = 0;
  if (last) drawConversation();
});
