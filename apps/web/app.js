// The page over the server's interface. Whatever comes from people or models becomes a text node, never markup.

import { drawTrend, sumSteps } from "/static/charts.js";

const TEXTS = {
  en: {
    other: "中文", tagline: "Small local models at work", docs: "API", service: "Customer service", monitoring: "Monitoring",
    recommendation: "Recommendation", serviceLead: "Ask as a customer would. Answers come from approved texts and the knowledge base.",
    message: "Your message", send: "Send", why: "Why this answer", sources: "Sources", sure: "confidence", intent: "intent",
    template: "approved answer", curated: "matched answer", answer: "from the knowledge base", clarify: "question back", handover: "passed to a person",
    monitoringLead: "Type or paste a headline: what is it about, and how does it speak?", headline: "A headline or post", read: "Read",
    topic: "Topic", sentiment: "Sentiment", unsure: "not sure", alerts: "Alerts", refresh: "Refresh", trend: "Trend by topic",
    negative: "negative", neutral: "neutral", positive: "positive", surge: "alert", open: "open", closed: "closed", noAlerts: "No alerts so far.",
    noTrend: "No posts yet. Send some to /v1/posts, or put a stream.jsonl into the workspace.", loading: "The recorded stream is still being read …",
    counted: "{n} posts read so far.", since: "since", causes: "Why, and the posts that speak for it", usual: "{share} negative of {n} posts; usual: {base}",
    table: "As a table", from: "From", posts: "Posts", chart: "Posts about {topic} over time: {n} posts, {bad} negative",
    recommendationLead: "A list for one user, with a reason for each item.", user: "User", userHint: "e.g. u558; an unknown user is a newcomer", count: "Items",
    recommend: "Recommend", cold: "Nothing is known of this user yet: this is what is popular and new.", score: "score", nothing: "Nothing to recommend.",
    ready: "ready", starting: "starting …", unavailable: "nothing built yet", offline: "not reachable",
    lost: "The server cannot be reached.", busy: "The server is busy; please try again in a moment.",
  },
  zh: {
    other: "English", tagline: "小型本地模型的应用", docs: "接口", service: "智能客服", monitoring: "舆情监测",
    recommendation: "个性化推荐", serviceLead: "像顾客一样提问。回答来自审核过的话术和知识库。",
    message: "请输入您的问题", send: "发送", why: "为什么这样回答", sources: "来源", sure: "置信度", intent: "意图",
    template: "标准回答", curated: "匹配回答", answer: "来自知识库", clarify: "追问", handover: "转人工",
    monitoringLead: "输入或粘贴一条标题：它讲什么，态度如何？", headline: "一条标题或帖子", read: "分析",
    topic: "主题", sentiment: "情感", unsure: "不确定", alerts: "预警", refresh: "刷新", trend: "各主题走势",
    negative: "负面", neutral: "中性", positive: "正面", surge: "预警", open: "进行中", closed: "已结束", noAlerts: "目前没有预警。",
    noTrend: "还没有帖子。请发送到 /v1/posts，或在工作区放入 stream.jsonl。", loading: "正在读取历史数据……",
    counted: "已读取 {n} 条帖子。", since: "开始于", causes: "原因与相关帖子", usual: "{n} 条中负面占 {share}；平时为 {base}",
    table: "表格形式", from: "时间", posts: "帖子数", chart: "“{topic}”随时间的帖子：共 {n} 条，负面 {bad} 条",
    recommendationLead: "为一位用户生成推荐列表，每一项都附理由。", user: "用户", userHint: "例如 u558；未知用户视为新用户", count: "数量",
    recommend: "推荐", cold: "还不了解该用户：以下是热门和新品。", score: "得分", nothing: "没有可推荐的内容。",
    ready: "就绪", starting: "启动中……", unavailable: "尚未构建", offline: "无法连接",
    lost: "无法连接服务器。", busy: "服务器繁忙，请稍后再试。",
  },
};
let language = navigator.language.startsWith("zh") ? "zh" : "en";
let health = { status: "starting" };
const redraw = {}; // what to do again when the language changes, by part of the page

const find = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(share * 100)} %`;
const moment = (time) => new Date(time).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });
const name = (label) => label.replaceAll("_", " ");

function say(key, values = {}) {
  return (TEXTS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, part) => values[part]);
}

/** Text as it is shown: characters that are invisible or turn the writing direction are taken out. */
function plain(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, "");
}

function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) element.append(child instanceof Node ? child : plain(child));
  return element;
}

async function call(path, body) {
  const options = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error(say("lost"));
  }
  const reply = await response.json().catch(() => ({}));
  if (response.ok) return reply;
  throw new Error(response.status === 429 ? say("busy") : reply.detail ?? `${response.status}`);
}

/** Run `work` when the form is sent; its button waits, and an error becomes a notice in `place`. */
function onSubmit(form, place, work) {
  const button = form.querySelector("button");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    try {
      await work();
    } catch (error) {
      showNotice(place, error.message);
    }
    button.disabled = false;
  });
}

function showNotice(place, text) {
  const notice = make("p", "notice", text);
  notice.setAttribute("role", "alert");
  if (place.id === "messages") place.append(notice);
  else place.replaceChildren(notice);
  place.scrollTop = place.scrollHeight;
}

// ---------------------------------------------------------------- tabs and language

function selectTab(tab) {
  for (const other of document.querySelectorAll("[role=tab]")) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    find(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id === "tab-monitoring") loadAlerts();
}

function moveTab(event) {
  const tabs = [...document.querySelectorAll("[role=tab]")];
  const at = tabs.indexOf(event.target);
  const places = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 };
  if (!(event.key in places)) return;
  event.preventDefault();
  const tab = tabs[(places[event.key] + tabs.length) % tabs.length];
  tab.focus();
  selectTab(tab);
}

function setLanguage(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = say(element.dataset.placeholder);
  find("language").textContent = say("other");
  find("language").lang = chosen === "en" ? "zh" : "en";
  showHealth();
  for (const again of Object.values(redraw)) again();
}

// ---------------------------------------------------------------- health

async function loadHealth() {
  try {
    const response = await fetch("/health");
    health = await response.json();
  } catch {
    health = { status: "offline" };
  }
  showHealth();
  if (health.status !== "ready") setTimeout(loadHealth, 3000);
}

function showHealth() {
  find("status").textContent = say(health.status);
  const panels = { customer_service: "messages", monitoring: "alerts", recommendation: "items" };
  for (const [scenario, state] of Object.entries(health.scenarios ?? {})) {
    const place = find(panels[scenario]);
    if (!state.available && !place.firstChild) showNotice(place, state.detail);
  }
}

// ---------------------------------------------------------------- customer service

async function ask() {
  const text = find("ask-text").value.trim();
  if (!text) return;
  addMessage(make("div", "message mine text", text));
  const reply = await call("/v1/ask", { text });
  find("ask-text").value = "";
  addMessage(showReply(reply));
}

function addMessage(message) {
  find("messages").append(message);
  message.scrollIntoView({ block: "nearest" });
}

function showReply(reply) {
  const meta = make("div", "meta", make("span", `badge ${reply.route}`, say(reply.route)));
  if (reply.intent) meta.append(make("span", "faint", `${say("intent")}: ${name(reply.intent)}`));
  if (reply.probability !== null) meta.append(make("span", "faint", `${say("sure")} ${percent(reply.probability)}`));
  const message = make("div", "message theirs", make("div", "text", reply.text), meta);
  if (reply.citations.length) message.append(showCitations(reply.citations));
  message.append(make("details", "", make("summary", "", say("why")), make("p", "faint", reply.reason)));
  return message;
}

function showCitations(citations) {
  const list = make("ul", "citations", make("li", "faint", say("sources")));
  for (const citation of citations) {
    list.append(make("li", "", make("span", "source", citation.source), make("blockquote", "text", citation.quote)));
  }
  return list;
}

// ---------------------------------------------------------------- monitoring

async function read() {
  const texts = [find("read-text").value];
  const models = ["topic", "sentiment"];
  const replies = await Promise.all(models.map((model) => call("/v1/classify", { model, texts })));
  redraw.reading = () => find("reading").replaceChildren(...models.map((model, at) => showLabel(model, replies[at][0])));
  redraw.reading();
}

function showLabel(model, reply) {
  const meter = make("meter", "");
  meter.value = reply.probability;
  meter.setAttribute("aria-label", `${say("sure")} ${percent(reply.probability)}`);
  const note = `${say("sure")} ${percent(reply.probability)}${reply.accepted ? "" : ` · ${say("unsure")}`}`;
  const label = TEXTS[language][reply.label] ?? name(reply.label);
  return make("div", "card", make("p", "faint", say(model)), make("p", "big", label), meter, make("p", "faint", note));
}

async function loadAlerts() {
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
  const label = say("chart", { topic: name(topic), n: total("posts"), bad: total("negative") });
  const table = make("details", "", make("summary", "", say("table")), make("div", "scroll", showTable(steps.bars)));
  return make("div", "card", make("h3", "", name(topic)), drawTrend(steps, alerts, [first, last], { label: plain(label), language }), table);
}

function showTable(bars) {
  const columns = ["posts", "negative", "neutral", "positive"];
  const table = make("table", "", make("tr", "", make("th", "", say("from")), ...columns.map((key) => make("th", "number", say(key)))));
  for (const bar of bars) {
    table.append(make("tr", "", make("td", "", moment(bar.start)), ...columns.map((key) => make("td", "number", bar[key]))));
  }
  return table;
}

// ---------------------------------------------------------------- recommendation

async function recommend() {
  const list = await call("/v1/recommend", { user: find("user").value, k: Number(find("count").value) });
  redraw.items = () => showList(list);
  redraw.items();
}

function showList(list) {
  const cards = list.items.map((item, at) => {
    const score = make("p", "faint", `#${at + 1} · ${say("score")} ${percent(item.score)}`);
    return make("article", "card", score, make("h3", "", item.title), make("p", "faint", item.reason));
  });
  const note = list.cold ? [make("p", "notice", say("cold"))] : [];
  find("items").replaceChildren(...note, cards.length ? make("div", "cards", ...cards) : make("p", "faint", say("nothing")));
}

for (const tab of document.querySelectorAll("[role=tab]")) {
  tab.addEventListener("click", () => selectTab(tab));
  tab.addEventListener("keydown", moveTab);
}
find("language").addEventListener("click", () => setLanguage(language === "en" ? "zh" : "en"));
find("refresh").addEventListener("click", loadAlerts);
onSubmit(find("ask-form"), find("messages"), ask);
onSubmit(find("read-form"), find("reading"), read);
onSubmit(find("recommend-form"), find("items"), recommend);
setLanguage(language);
loadHealth();
