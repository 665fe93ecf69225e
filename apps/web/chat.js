// The customer's chat: one conversation that outlives the page, with answers that come in as they are made.

import { find, fit, icon, make, makeButton, newId, plain, sendByEnter, showNotice } from "/static/page.js";
import { call, follow } from "/static/server.js";
import { drawText, drawTurn } from "/static/turns.js";
import { onLanguage, say } from "/static/words.js";

const POLL_MS = 4000; // while a colleague is awaited
const PAGE = 100;

let place = null; // under which the browser remembers the conversation
let conversation = { id: null, pending: null }; // pending: a message whose reply has not come
let turns = [];
let numTurns = 0;
let awaitsPerson = false;
let isBehind = false; // after a failure: the server may know more of the conversation than the page
let isBusy = true; // until it is known what was said before

const talk = {
  mine: ["customer"],
  path: (rest) => `/v1/conversations/${conversation.id}${rest}`,
  choose: (text) => send(text),
};

/** Show the conversation that this browser had with `owner` before, and finish what was cut off. */
export async function openChat(owner) {
  place = `conversation of ${owner}`;
  conversation = { id: null, pending: null, ...JSON.parse(localStorage.getItem(place) ?? "{}") };
  await refresh();
  setBusy(false);
  const { pending } = conversation;
  if (!pending) return;
  if (turns.some((turn) => turn.id === pending.id)) remember({ pending: null });
  else await send(pending.text, pending.id); // the same id: it is answered once, however often it is sent
}

function remember(changes) {
  Object.assign(conversation, changes);
  localStorage.setItem(place, JSON.stringify(conversation));
}

/** Fetch what was said since; a conversation that has not begun is none yet. */
async function refresh() {
  let view = { turns: [], num_turns: 0, awaits_person: false };
  if (conversation.id) {
    try {
      view = await call(talk.path(`?limit=${PAGE}`));
    } catch (error) {
      if (error.status !== 404) return showError(error);
    }
  }
  const isOther = turns.length === 0 || view.num_turns < numTurns;
  const known = new Set(turns.map(nameOf));
  const added = view.turns.filter((turn) => !known.has(nameOf(turn)));
  turns = isOther ? view.turns : [...turns, ...added];
  numTurns = view.num_turns;
  setAwaiting(view.awaits_person);
  if (isOther) draw();
  else addTurns(added);
}

const nameOf = (turn) => `${turn.speaker} ${turn.id}`;

// ---------------------------------------------------------------- sending

async function send(text, id = newId()) {
  if (isBusy) return;
  setBusy(true);
  for (const old of find("messages").querySelectorAll(".choices, .notice, .welcome")) old.remove();
  const message = { id, speaker: "customer", text, time: new Date().toISOString(), citations: [], choices: [] };
  const question = drawTurn(message, talk);
  const answer = drawAnswer();
  find("messages").append(question, answer.element);
  showEnd();
  try {
    if (!conversation.id) remember({ id: (await call("/v1/conversations", {})).id });
    remember({ pending: { id, text } });
    await follow(talk.path("/messages/stream"), { message_id: id, text }, {
      text: (part) => answer.add(part.text),
      reply: (reply) => takeReply(message, reply, answer.element),
    });
    remember({ pending: null });
    if (isBehind) await catchUp();
  } catch (error) {
    isBehind = true;
    answer.element.remove();
    if (error.status >= 400 && error.status < 500 && error.status !== 429) remember({ pending: null }); // it will never be taken
    showError(error, () => {
      question.remove();
      send(text, id);
    });
  }
  setBusy(false);
}

/** A message that was cut off is finished before the next one, so its turns come first. */
async function catchUp() {
  turns = [];
  await refresh();
  isBehind = false;
}

function takeReply(message, reply, coming) {
  const said = [message];
  if (reply.turn) said.push({ ...reply, id: reply.turn, speaker: "assistant", time: new Date().toISOString() });
  turns.push(...said);
  numTurns += said.length;
  coming.remove();
  setAwaiting(reply.awaits_person);
  addTurns(said.slice(1));
}

/** An answer that is being made: dots at first, then its parts as they come. */
function drawAnswer() {
  const bubble = make("div", "bubble", make("span", "hidden", say("thinking")), make("span", "dots", make("i"), make("i"), make("i")));
  const element = make("article", "turn theirs assistant coming", bubble);
  const text = drawText("");
  return {
    element,
    add(part) {
      if (!text.isConnected) bubble.replaceChildren(text);
      text.append(plain(part));
      showEnd();
    },
  };
}

// ---------------------------------------------------------------- drawing

function draw() {
  find("messages").replaceChildren();
  if (numTurns > turns.length) find("messages").append(makeButton("quiet earlier", say("earlier"), showEarlier));
  if (turns.length) addTurns(turns);
  else find("messages").append(make("div", "welcome", icon("chat"), make("h3", "", say("welcome")), make("p", "faint", say("welcomeMore"))));
}

function addTurns(added) {
  const isLast = (turn) => turn === turns.at(-1);
  find("messages").append(...added.map((turn) => drawTurn(isLast(turn) ? turn : { ...turn, choices: [] }, talk)));
  if (added.length) showEnd();
}

async function showEarlier() {
  try {
    const view = await call(talk.path(`?limit=${PAGE}&skip=${turns.length}`));
    turns = [...view.turns, ...turns];
    draw();
    find("messages").scrollTop = 0;
  } catch (error) {
    showError(error);
  }
}

function showEnd() {
  find("messages").scrollTop = find("messages").scrollHeight;
}

function showError(error, again) {
  const notice = make("div", "");
  showNotice(notice, error.message, ...(again ? [" ", makeButton("quiet", say("again"), again)] : []));
  find("messages").append(notice.firstChild);
  showEnd();
}

function setBusy(busy) {
  isBusy = busy;
  find("ask-send").disabled = busy;
  find("messages").setAttribute("aria-busy", String(busy)); // a screen reader then reads the whole answer, not its parts
}

function setAwaiting(awaits) {
  awaitsPerson = awaits;
  find("awaits").hidden = !awaits;
  find("chat-state").textContent = say(awaits ? "person" : "atOnce");
  find("chat-state").classList.toggle("waits", awaits);
}

async function remove() {
  if (conversation.id && numTurns && !window.confirm(say("removeAsk"))) return;
  try {
    if (conversation.id && numTurns) await call(talk.path(""), undefined, "DELETE");
    begin();
  } catch (error) {
    showError(error);
  }
}

function begin() {
  remember({ id: null, pending: null });
  turns = [];
  numTurns = 0;
  setAwaiting(false);
  draw();
  find("ask-text").focus();
}

find("ask-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = find("ask-text").value.trim();
  if (!text || isBusy) return;
  find("ask-text").value = "";
  fit(find("ask-text"));
  send(text);
});
sendByEnter(find("ask-text"));
find("new-chat").addEventListener("click", () => isBusy || begin());
find("delete-chat").addEventListener("click", () => isBusy || remove());
setInterval(() => awaitsPerson && !isBusy && !document.hidden && refresh(), POLL_MS);
document.addEventListener("visibilitychange", () => place && !document.hidden && !isBusy && refresh());
onLanguage(() => {
  setAwaiting(awaitsPerson);
  if (place && !isBusy) draw();
});
