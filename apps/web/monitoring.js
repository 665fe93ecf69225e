// The monitoring tab: what a headline is about and how it speaks, then alerts, trends and posts.

import { loadAlerts } from "/static/alerts.js";
import { loadFeed } from "/static/feed.js";
import { find, make, name, onSubmit, percent } from "/static/page.js";
import { call } from "/static/server.js";
import { loadTrends } from "/static/trends.js";
import { drawMeter } from "/static/turns.js";
import { knows, onLanguage, say } from "/static/words.js";

const POLL_MS = 3000;
let redraw = () => {}; // what to do again when the language changes

async function read() {
  const texts = [find("read-text").value];
  const models = ["topic", "sentiment"];
  const replies = await Promise.all(models.map((model) => call("/v1/classify", { model, texts })));
  redraw = () => find("reading").replaceChildren(...models.map((model, at) => showLabel(model, replies[at][0])));
  redraw();
}

function showLabel(model, reply) {
  const note = `${say("sure")} ${percent(reply.probability)}${reply.accepted ? "" : ` · ${say("unsure")}`}`;
  const label = knows(reply.label) ? say(reply.label) : name(reply.label);
  return make("div", "card", make("p", "faint", say(model)), make("p", "big", label), drawMeter(reply.probability), make("p", "faint", note));
}

export async function loadMonitoring() {
  const report = await loadAlerts();
  if (!report) return; // what went wrong is shown
  await Promise.all([loadTrends(report), loadFeed()]);
  if (report.loading) setTimeout(loadMonitoring, POLL_MS);
}

find("refresh").addEventListener("click", loadMonitoring);
onSubmit(find("read-form"), find("reading"), read);
onLanguage(() => redraw());
