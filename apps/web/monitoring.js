// What a headline is about and how it speaks; alerts and the trend behind them.

import { drawTrend, sumSteps } from "/static/charts.js";
import { find, make, moment, name, onSubmit, percent, plain, showNotice } from "/static/page.js";
import { call } from "/static/server.js";
import { drawMeter } from "/static/turns.js";
import { currentLanguage, knows, onLanguage, say } from "/static/words.js";

const redraw = {}; // what to do again when the language changes, by part of the page

async function read() {
  const texts = [find("read-text").value];
  const models = ["topic", "sentiment"];
  const replies = await Promise.all(models.map((model) => call("/v1/classify", { model, texts })));
  redraw.reading = () => find("reading").replaceChildren(...models.map((model, at) => showLabel(model, replies[at][0])));
  redraw.reading();
}

function showLabel(model, reply) {
  const note = `${say("sure")} ${percent(reply.probability)}${reply.accepted ? "" : ` · ${say("unsure")}`}`;
  const label = knows(reply.label) ? say(reply.label) : name(reply.label);
  return make("div", "card", make("p", "faint", say(model)), make("p", "big", label), drawMeter(reply.probability), make("p", "faint", note));
}

export async function loadAlerts() {
  try {
    const report = await call("/v1/alerts");
    redraw.alerts = () => showAlerts(report);
    redraw.alerts();
    if (report.loading) setTimeout(loadAlerts, 3000);
  } catch (error) {
    showNotice(find("alerts"), error.message);
  }
}

function showAlerts(report) {
  const alerts = [...report.alerts].reverse().map(showAlert);
  find("alerts").replaceChildren(...(alerts.length ? alerts : [make("p", "faint", say("noAlerts"))]));
  const note = report.num_posts ? say("counted", { n: report.num_posts }) : say("noTrend");
  find("trend-note").textContent = report.loading ? `${say("loading")} ${say("counted", { n: report.num_posts })}` : note;
  const times = report.trend.map((point) => Date.parse(point.start));
  const span = [Math.min(...times), Math.max(...times)];
  const topics = [...new Set(report.trend.map((point) => point.topic))].sort();
  find("trend").replaceChildren(...topics.map((topic) => showTopic(topic, report, span)));
}

function showAlert(alert) {
  const meta = make("div", "meta", make("h3", "", name(alert.topic)), make("span", `badge ${alert.state}`, say(alert.state)));
  meta.append(make("span", "faint", `${say("since")} ${moment(alert.since)}`));
  const figures = { share: percent(alert.negative_share), n: alert.size, base: percent(alert.baseline_share) };
  const causes = make("details", "", make("summary", "", say("causes")), make("p", "faint", alert.reason));
  for (const cause of alert.causes) {
    const origin = make("p", "faint", `${cause.source} · ${moment(cause.time)}`);
    causes.append(make("blockquote", "", make("div", "text", cause.text), origin));
  }
  return make("article", `card alert ${alert.state}`, meta, make("p", "", say("usual", figures)), causes);
}

function showTopic(topic, report, [first, last]) {
  const points = report.trend.filter((point) => point.topic === topic);
  const alerts = report.alerts.filter((alert) => alert.topic === topic);
  const total = (key) => points.reduce((sum, point) => sum + point[key], 0);
  const steps = sumSteps(points, first, last);
  const title = topic === "unknown" ? say("unknownTopic") : name(topic);
  const label = say("chart", { topic: title, n: total("posts"), bad: total("negative") });
  const table = make("details", "", make("summary", "", say("table")), make("div", "scroll", showTable(steps.bars)));
  return make("div", "card", make("h3", "", title), drawTrend(steps, alerts, [first, last], { label: plain(label), language: currentLanguage() }), table);
}

function showTable(bars) {
  const columns = ["posts", "negative", "neutral", "positive", "copies"];
  const table = make("table", "", make("tr", "", make("th", "", say("from")), ...columns.map((key) => make("th", "number", say(key)))));
  for (const bar of bars) {
    table.append(make("tr", "", make("td", "", moment(bar.start)), ...columns.map((key) => make("td", "number", bar[key]))));
  }
  return table;
}

find("refresh").addEventListener("click", loadAlerts);
onSubmit(find("read-form"), find("reading"), read);
onLanguage(() => Object.values(redraw).forEach((again) => again()));
