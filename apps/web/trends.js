// Trends of topics and companies, a page of them at a time, with their alerts shaded.

import { drawTrend, sumSteps } from "/static/charts.js";
import { find, make, moment, onSubmit, plain, showNotice, subject } from "/static/page.js";
import { call } from "/static/server.js";
import { currentLanguage, onLanguage, say } from "/static/words.js";

const PAGE = 12;
let state = null; // { pages, alerts, report } as they were fetched last

/** Show the trends of the topics with the most posts. */
export async function loadTrends(report) {
  try {
    const [first, all] = await Promise.all([fetchPage(0), call("/v1/alerts?trend=false&limit=100")]);
    state = { pages: [first], alerts: all.alerts, report };
    draw();
  } catch (error) {
    showNotice(find("trend"), error.message);
  }
}

function fetchPage(offset) {
  const words = encodeURIComponent(find("trend-words").value.trim());
  return call(`/v1/trend?max_points=60&limit=${PAGE}&offset=${offset}&words=${words}`);
}

async function loadMore() {
  state.pages.push(await fetchPage(state.pages.length * PAGE));
  draw();
}

function draw() {
  const { pages, report } = state;
  const counted = say("counted", { n: report.num_posts });
  const note = report.num_posts ? counted : say("noTrend");
  find("trend-note").textContent = report.loading ? `${say("loading")} ${counted}` : note;
  find("trend").replaceChildren(...pages.flatMap(drawPage));
  find("trend-more").hidden = pages.length * PAGE >= pages[0].num_subjects;
}

function drawPage({ subjects, points }) {
  const times = points.map((point) => Date.parse(point.start));
  const span = [Math.min(...times), Math.max(...times)];
  return subjects.map(({ topic }) => drawSubject(topic, points.filter((point) => point.topic === topic), span));
}

function drawSubject(topic, points, [first, last]) {
  const alerts = state.alerts.filter((alert) => alert.topic === topic);
  const total = (key) => points.reduce((sum, point) => sum + point[key], 0);
  const steps = sumSteps(points, first, last);
  const title = subject(topic);
  const label = say("chart", { topic: title, n: total("posts"), bad: total("negative") });
  const table = make("details", "", make("summary", "", say("table")), make("div", "scroll", drawTable(steps.bars)));
  return make("div", "card", make("h3", "", title), drawTrend(steps, alerts, [first, last], { label: plain(label), language: currentLanguage() }), table);
}

function drawTable(bars) {
  const columns = ["posts", "negative", "neutral", "positive", "copies"];
  const table = make("table", "", make("tr", "", make("th", "", say("from")), ...columns.map((key) => make("th", "number", say(key)))));
  for (const bar of bars) {
    table.append(make("tr", "", make("td", "", moment(bar.start)), ...columns.map((key) => make("td", "number", bar[key]))));
  }
  return table;
}

onSubmit(find("trend-form"), find("trend"), () => state && loadTrends(state.report));
find("trend-more").addEventListener("click", () => loadMore().catch((error) => showNotice(find("trend-note"), error.message)));
onLanguage(() => state && draw());
