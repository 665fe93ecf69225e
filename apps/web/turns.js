// One thing that was said, as both customers and staff see it: its text, sources, quick answers, thumbs and details.

import { find, icon, make, makeButton, moment, name, percent, plain } from "/static/page.js";
import { call } from "/static/server.js";
import { knows, say } from "/static/words.js";

const SPEAKERS = { customer: "you", assistant: "assistant", staff: "colleague" };

/**
 * The element of a turn.
 *
 * `talk` says where it stands and what it can do: `path(rest)` is an address below its conversation, `mine` the speakers
 * whose turns stand on the right, `names` what speakers are called where that is not usual, `choose(text)` sends a quick
 * answer, and `hasDetails` shows how the answer came about.
 */
export function drawTurn(turn, talk) {
  const isMine = talk.mine.includes(turn.speaker);
  const called = talk.names?.[turn.speaker];
  const isSelf = turn.speaker === "customer" && !called; // who writes on the right of their own chat is plain to see
  const speaker = make("span", isSelf ? "hidden" : "speaker", called ?? say(SPEAKERS[turn.speaker]));
  const time = make("time", "", new Date(turn.time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = turn.time;
  time.title = moment(turn.time);
  const bubble = make("div", "bubble", drawText(turn.text));
  if (turn.citations.length) bubble.append(drawSources(turn, talk));
  const foot = make("div", "foot", speaker, time);
  if (turn.speaker === "assistant") foot.append(drawThumbs(turn, talk));
  const element = make("article", `turn ${isMine ? "mine" : "theirs"} ${turn.speaker}`, bubble, foot);
  if (turn.choices.length && talk.choose) element.append(drawChoices(turn.choices, talk));
  if (turn.details && talk.hasDetails) element.append(drawDetails(turn));
  return element;
}

export function drawText(text) {
  const element = make("div", "text", text);
  element.dir = "auto";
  return element;
}

function drawSources(turn, talk) {
  const list = make("ul", "sources");
  list.setAttribute("aria-label", say("sources"));
  turn.citations.forEach((citation, at) => {
    const button = makeButton("source", icon("document"), () => openSource(turn, at, talk));
    button.append(make("span", "", citation.source));
    button.setAttribute("aria-label", plain(say("openSource", { n: at + 1, source: citation.source })));
    list.append(make("li", "", button));
  });
  return list;
}

async function openSource(turn, at, talk) {
  const place = find("passage-text");
  find("passage-note").hidden = true;
  place.replaceChildren();
  try {
    const passage = await call(talk.path(`/turns/${turn.id}/citations/${at}`));
    find("passage-title").textContent = plain(passage.title);
    find("passage-source").textContent = plain(passage.source);
    find("passage-note").hidden = passage.is_current;
    place.append(plain(passage.before), make("mark", "", passage.quote), plain(passage.after));
  } catch (error) {
    find("passage-title").textContent = plain(turn.citations[at].source);
    place.append(plain(error.message));
  }
  find("passage").showModal();
  place.querySelector("mark")?.scrollIntoView({ block: "center" });
}

function drawChoices(choices, talk) {
  const group = make("div", "choices");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", say("choose"));
  for (const choice of choices) group.append(makeButton("quiet", choice.title, () => talk.choose(choice.text)));
  return group;
}

function drawThumbs(turn, talk) {
  const group = make("span", "thumbs");
  const said = make("span", "faint");
  said.setAttribute("role", "status");
  const send = async (thumb, correction) => {
    try {
      await call(talk.path(`/turns/${turn.id}/feedback`), { thumb, correction });
      turn.thumb = thumb;
      for (const button of group.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === thumb));
      said.textContent = say("rated");
    } catch (error) {
      said.textContent = plain(error.message);
    }
  };
  for (const [thumb, label] of [["up", "good"], ["down", "bad"]]) {
    const button = makeButton(`thumb ${thumb}`, icon("up"), async () => {
      group.closest(".turn").querySelector(".correction")?.remove();
      await send(thumb);
      if (thumb === "down") askCorrection(group.closest(".turn"), (text) => send("down", text));
    });
    button.value = thumb;
    button.title = say(label);
    button.setAttribute("aria-label", say(label));
    button.setAttribute("aria-pressed", String(turn.thumb === thumb));
    group.append(button);
  }
  group.append(said);
  return group;
}

function askCorrection(element, send) {
  const box = make("textarea", "");
  box.rows = 2;
  box.maxLength = 4000;
  const label = make("label", "", make("span", "faint", say("correction")), box);
  const button = make("button", "quiet", say("sendCorrection"));
  const form = make("form", "correction", label, button);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (box.value.trim()) await send(box.value.trim());
    form.remove();
  });
  element.querySelector(".foot").after(form);
  box.focus();
}

// ---------------------------------------------------------------- for staff

function drawDetails({ details, question }) {
  const rows = make("dl", "details");
  const row = (key, ...values) => rows.append(make("dt", "", say(key)), make("dd", "", ...values));
  row("route", make("span", `badge ${details.route}`, say(details.route)));
  if (details.probability !== null) row("sure", drawMeter(details.probability), ` ${percent(details.probability)}`);
  if (details.intent) row("intent", name(details.intent));
  if (details.question && details.question !== question) row("understood", details.question);
  if (details.reason) row("reason", details.reason);
  if (details.steps.length) row("steps", drawSteps(details.steps));
  return rows;
}

export function drawMeter(share) {
  const meter = make("meter", "");
  meter.value = share;
  meter.setAttribute("aria-label", `${say("sure")} ${percent(share)}`);
  return meter;
}

function drawSteps(steps) {
  const longest = Math.max(...steps.map((step) => step.milliseconds));
  const list = make("ol", "steps");
  for (const step of steps) {
    const bar = make("span", "bar");
    bar.style.width = `${Math.max(2, (100 * step.milliseconds) / longest)}%`; // the policy forbids style attributes, not this
    const key = `step_${step.name}`;
    list.append(make("li", "", make("span", "", knows(key) ? say(key) : name(step.name)), make("span", "track", bar), make("span", "number", duration(step.milliseconds))));
  }
  const total = steps.reduce((sum, step) => sum + step.milliseconds, 0);
  list.append(make("li", "total", make("span", "", say("total")), make("span", ""), make("span", "number", duration(total))));
  return list;
}

function duration(milliseconds) {
  if (milliseconds < 0.1) return "< 0.1 ms";
  return milliseconds < 1000 ? `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

for (const button of document.querySelectorAll("dialog [data-close]")) button.addEventListener("click", () => button.closest("dialog").close());
find("passage").addEventListener("click", (event) => event.target === event.currentTarget && event.target.close());
