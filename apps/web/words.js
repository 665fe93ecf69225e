// Every word of the page, in both languages, and which of them is spoken now.

const TEXTS = {
  en: {
    other: "中文", tagline: "Small local models at work", docs: "API", service: "Customer service", monitoring: "Monitoring",
    recommendation: "Recommendation", ready: "ready", starting: "starting …", unavailable: "nothing built yet", offline: "not reachable",
    lost: "The server cannot be reached.", busy: "The server is busy; please try again in a moment.", again: "Try again", close: "Close",
    keyTitle: "Your key", keyLead: "This server asks for a key. It stays in this tab and is sent to this server only.", key: "Key", keyWrong: "This key opens nothing.", enter: "Open",
    serviceLead: "Answers come from approved texts and the knowledge base.",
    view: "View", customerView: "Customer", staffView: "Staff", support: "Customer service", chat: "Conversation",
    atOnce: "Answers at once", person: "A colleague is answering", fresh: "New conversation", remove: "Delete conversation",
    removeAsk: "Delete this conversation and all that was said in it?", welcome: "How can we help?", welcomeMore: "Ask in your own words. Answers from the knowledge base show where they come from.",
    message: "Your message", send: "Send", thinking: "looking it up …", earlier: "Show earlier messages", you: "You", assistant: "Assistant", colleague: "Colleague",
    awaits: "A colleague will answer here. You can leave the page and come back, or add details meanwhile.", awaitsShort: "Waiting for a colleague",
    sources: "Sources", openSource: "Source {n}: {source}", choose: "Choose one", changed: "The article has changed since; this is what the answer was based on.",
    good: "Good answer", bad: "Bad answer", rated: "Thank you for the feedback.", correction: "What would have been right? (optional)", sendCorrection: "Send correction",
    inbox: "Waiting for a person", latest: "Latest conversations", nobody: "Nobody waits.", noneYet: "No conversations yet.", pick: "Choose a conversation on the left.",
    since: "since", messages: "messages: {n}", own: "Local visitor", summary: "For you to know", answerText: "Your answer", answerSend: "Answer",
    closes: "Then let the assistant answer again", closeOnly: "Close without a word", assistantAnswers: "The assistant answers this conversation.",
    route: "Route", sure: "Confidence", intent: "Intent", reason: "Reason", understood: "Understood as", steps: "Time per step", total: "together",
    template: "approved answer", curated: "matched answer", answer: "from the knowledge base", clarify: "question back", handover: "passed to a person",
    step_intent: "intent", step_curated: "known questions", step_lookup: "look-up", step_search: "search", step_compose: "compose", step_quote: "quote",
    monitoringLead: "Type or paste a headline: what is it about, and how does it speak?", headline: "A headline or post", read: "Read",
    topic: "Topic", sentiment: "Sentiment", unsure: "not sure", alerts: "Alerts", refresh: "Refresh", trend: "Trend by topic",
    negative: "negative", neutral: "neutral", positive: "positive", surge: "alert", open: "open", closed: "closed", noAlerts: "No alerts so far.",
    noTrend: "No posts yet. Send some to /v1/posts, or put a stream.jsonl into the workspace.", loading: "The recorded stream is still being read …",
    counted: "{n} posts read so far.", causes: "Why, and the posts that speak for it", usual: "{share} negative of {n} posts; usual: {base}",
    table: "As a table", from: "From", posts: "Posts", chart: "Posts about {topic} over time: {n} posts, {bad} negative",
    recommendationLead: "A list for one user, with a reason for each item.", user: "User", userHint: "e.g. u558; an unknown user is a newcomer", count: "Items",
    recommend: "Recommend", cold: "Nothing is known of this user yet: this is what is popular and new.", score: "score", nothing: "Nothing to recommend.",
  },
  zh: {
    other: "English", tagline: "小型本地模型的应用", docs: "接口", service: "智能客服", monitoring: "舆情监测",
    recommendation: "个性化推荐", ready: "就绪", starting: "启动中……", unavailable: "尚未构建", offline: "无法连接",
    lost: "无法连接服务器。", busy: "服务器繁忙，请稍后再试。", again: "重试", close: "关闭",
    keyTitle: "您的密钥", keyLead: "此服务器需要密钥。密钥只保存在本标签页，只发送给此服务器。", key: "密钥", keyWrong: "该密钥无效。", enter: "进入",
    serviceLead: "回答来自审核过的话术和知识库。",
    view: "视图", customerView: "顾客", staffView: "客服人员", support: "在线客服", chat: "对话",
    atOnce: "即时回答", person: "人工客服正在处理", fresh: "新对话", remove: "删除对话",
    removeAsk: "删除这段对话及其全部内容吗？", welcome: "有什么可以帮您？", welcomeMore: "请直接描述您的问题。来自知识库的回答会注明出处。",
    message: "请输入您的问题", send: "发送", thinking: "正在查找……", earlier: "显示更早的消息", you: "您", assistant: "智能助手", colleague: "人工客服",
    awaits: "人工客服会在这里回复您。您可以先离开，稍后再回来，也可以继续补充信息。", awaitsShort: "等待人工客服",
    sources: "来源", openSource: "来源 {n}：{source}", choose: "请选择", changed: "该文章之后有改动；这是回答当时所依据的内容。",
    good: "回答得好", bad: "回答得不好", rated: "感谢您的反馈。", correction: "正确的回答应该是？（可选）", sendCorrection: "提交更正",
    inbox: "等待人工", latest: "最近的对话", nobody: "没有人在等待。", noneYet: "还没有对话。", pick: "请在左侧选择一段对话。",
    since: "开始于", messages: "消息：{n} 条", own: "本机访客", summary: "须知", answerText: "您的回复", answerSend: "回复",
    closes: "之后由智能助手继续回答", closeOnly: "不回复，直接关闭", assistantAnswers: "这段对话由智能助手回答。",
    route: "方式", sure: "置信度", intent: "意图", reason: "原因", understood: "理解为", steps: "各步骤用时", total: "合计",
    template: "标准回答", curated: "匹配回答", answer: "来自知识库", clarify: "追问", handover: "转人工",
    step_intent: "意图识别", step_curated: "常见问题", step_lookup: "查询", step_search: "检索", step_compose: "生成", step_quote: "引用",
    monitoringLead: "输入或粘贴一条标题：它讲什么，态度如何？", headline: "一条标题或帖子", read: "分析",
    topic: "主题", sentiment: "情感", unsure: "不确定", alerts: "预警", refresh: "刷新", trend: "各主题走势",
    negative: "负面", neutral: "中性", positive: "正面", surge: "预警", open: "进行中", closed: "已结束", noAlerts: "目前没有预警。",
    noTrend: "还没有帖子。请发送到 /v1/posts，或在工作区放入 stream.jsonl。", loading: "正在读取历史数据……",
    counted: "已读取 {n} 条帖子。", causes: "原因与相关帖子", usual: "{n} 条中负面占 {share}；平时为 {base}",
    table: "表格形式", from: "时间", posts: "帖子数", chart: "“{topic}”随时间的帖子：共 {n} 条，负面 {bad} 条",
    recommendationLead: "为一位用户生成推荐列表，每一项都附理由。", user: "用户", userHint: "例如 u558；未知用户视为新用户", count: "数量",
    recommend: "推荐", cold: "还不了解该用户：以下是热门和新品。", score: "得分", nothing: "没有可推荐的内容。",
  },
};

const CHOSEN = "language";
let language = localStorage.getItem(CHOSEN) ?? (navigator.language.startsWith("zh") ? "zh" : "en");
if (!(language in TEXTS)) language = "en";
const listeners = [];

export const currentLanguage = () => language;

/** Call `draw` whenever the language changes. */
export const onLanguage = (draw) => listeners.push(draw);

export function say(key, values = {}) {
  return (TEXTS[language][key] ?? key).replace(/\{(\w+)\}/g, (_, part) => values[part]);
}

/** Whether the page has a word for it; labels of models are shown by their own name otherwise. */
export const knows = (key) => key in TEXTS[language];

/** Speak the language of the workspace, unless somebody chose another one before. */
export function suggestLanguage(suggested) {
  if (!localStorage.getItem(CHOSEN)) speak(suggested);
}

export function switchLanguage() {
  speak(language === "en" ? "zh" : "en");
  localStorage.setItem(CHOSEN, language);
}

export function speak(chosen = language) {
  if (chosen in TEXTS) language = chosen;
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = say(element.dataset.text);
  for (const element of document.querySelectorAll("[data-placeholder]")) element.placeholder = say(element.dataset.placeholder);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
    element.title = say(element.dataset.label);
  }
  for (const draw of listeners) draw();
}
