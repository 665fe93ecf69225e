// The inbox of alerts: each with its figures, opened with its cause and a chart, confirmed or rejected.

import { drawTrend, sumSteps } from "/static/charts.js";
import { find, make, makeButton, moment, percent, plain, showNotice, subject } from "/static/page.js";
import { call } from "/static/server.js";
import { currentLanguage, onLanguage, say } from "/static/words.js";

const PAGE = 20;
let judged = "new"; // which alerts are shown
let shown = []; // the alerts, the latest first
let report = null; // the reply of the first page
let before = null; // where the next page begins
const details = new Map(); // id -> what was fetched about an alert that was opened

/** Show the latest alerts, and return the reply; null where it did not come or is not wanted any more. */
export async function loadAlerts() {
  const wanted = judged;
  try {
    const page = await fetchPage(null);
    if (wanted !== judged) return null; // others were chosen meanwhile, and come by themselves
    report = page;
    before = page.next;
    shown = [...page.alerts].reverse();
    details.clear();
    draw();
    return report;
  } catch (error) {
    showNotice(find("alerts"), error.message);
    return null;
  }
}

function fetchPage(from) {
  return call(`/v1/alerts?trend=false&limit=${PAGE}&judged=${judged}${from ? `&before=${encodeURIComponent(from)}` : ""}`);
}

async function loadMore() {
  const from = before;
  const page = await fetchPage(from);
  if (from !== before) return;
  before = page.next;
  shown.push(...[...page.alerts].reverse());
  draw();
}

function draw() {
  for (const button of find("judged").querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.value === judged));
  const opened = new Set([...find("alerts").querySelectorAll("details[open]")].map((element) => element.dataset.id));
  const cards = shown.map((alert) => showAlert(alert, opened.has(alert.id)));
  find("alerts").replaceChildren(...(cards.length ? cards : [make("p", "faint", say(judged === "all" ? "noAlerts" : "noneOfThese"))]));
  find("more-alerts").hidden = !before;
  const { confirmed, rejected, days, precision } = report.precision;
  const notes = precision === null ? [] : [say("precision", { share: percent(precision), n: confirmed + rejected, days })];
  if (report.undelivered) notes.push(say("undelivered", { n: report.undelivered }));
  find("precision").textContent = notes.join(" ");
}

function showAlert(alert, isOpened) {
  const meta = make("div", "meta", make("h3", "", subject(alert.topic)), make("span", `badge ${alert.state}`, say(alert.state)));
  if (alert.escalations) meta.append(make("span", "badge open", say("escalated")));
  meta.append(make("span", "faint", `${say("since")} ${moment(alert.since)}`));
  const figures = { share: percent(alert.negative_share), n: alert.size, base: percent(alert.baseline_share) };
  return make("article", `card alert ${alert.state}`, meta, make("p", "", say("usual", figures)), showCauses(alert, isOpened), showVerdict(alert));
}

function showCauses(alert, isOpened) {
  const place = make("div", "");
  const causes = make("details", "", make("summary", "", say("causes")), place);
  causes.dataset.id = alert.id;
  causes.open = isOpened;
  const fill = () => openAlert(alert, place);
  causes.addEventListener("toggle", () => causes.open && !place.firstChild && fill());
  if (isOpened) fill();
  return causes;
}

async function openAlert(alert, place) {
  try {
    if (!details.has(alert.id)) details.set(alert.id, await call(`/v1/alert?id=${encodeURIComponent(alert.id)}`));
    const { alert: whole, chart, deliveries } = details.get(alert.id);
    place.replaceChildren(make("p", "faint", whole.reason), ...drawChart(whole, chart), ...whole.causes.map(showCause));
    if (deliveries.length) place.append(make("p", "faint", `${say("told")} ${deliveries.map(showDelivery).join(" · ")}`));
  } catch (error) {
    showNotice(place, error.message);
  }
}

function drawChart(alert, { points }) {
  if (!points.length) return [];
  const times = points.map((point) => Date.parse(point.start));
  const span = [times[0], times.at(-1)];
  const label = say("chart", { topic: subject(alert.topic), n: sum(points, "posts"), bad: sum(points, "negative") });
  return [drawTrend(sumSteps(points, ...span), [alert], span, { label: plain(label), language: currentLanguage() })];
}

const sum = (points, key) => points.reduce((total, point) => total + point[key], 0);

function showCause(cause) {
  return make("blockquote", "", make("div", "text", cause.text), make("p", "faint", `${cause.source} · ${moment(cause.time)}`));
}

function showDelivery({ sink, status, reason }) {
  return `${sink}: ${say(`delivery_${status}`)}${reason ? ` (${reason})` : ""}`;
}

function showVerdict(alert) {
  const buttons = ["confirmed", "rejected"].map((verdict) => {
    const button = makeButton("quiet", say(`${verdict}Button`), () => judge(alert, alert.verdict === verdict ? null : verdict));
    button.setAttribute("aria-pressed", String(alert.verdict === verdict));
    button.value = verdict;
    return button;
  });
  const note = make("span", "faint", alert.verdict ? say(`${alert.verdict}By`, { judge: alert.judge }) : "");
  note.setAttribute("role", "status");
  return make("div", "verdict", ...buttons, note);
}

async function judge(alert, verdict) {
  try {
    const changed = await call("/v1/alert/verdict", { alert: alert.id, verdict }, "PUT");
    Object.assign(alert, { verdict: changed.verdict, judge: changed.judge });
    report = await call(`/v1/alerts?trend=false&limit=1`);
    draw(); // it stays where it is until the list is fetched anew, so that a slip can be taken back
    const again = [...find("alerts").querySelectorAll("article")][shown.indexOf(alert)];
    again?.querySelector(`.verdict [value=${verdict ?? "confirmed"}]`).focus();
  } catch (error) {
    showNotice(find("alerts-error"), error.message);
  }
}

for (const button of find("judged").querySelectorAll("button")) {
  button.addEventListener("click", () => {
    judged = button.value;
    loadAlerts();
  });
}
find("more-alerts").addEventListener("click", () => loadMore().catch((error) => showNotice(find("alerts-error"), error.message)));
onLanguage(() => report && draw());
