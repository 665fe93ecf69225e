// Posts that were counted, fifty a page, by topic, company, source and time, and their export.

import { companyOf, find, make, moment, name, onSubmit, showNotice, subject } from "/static/page.js";
import { call, download } from "/static/server.js";
import { knows, onLanguage, say } from "/static/words.js";

let page = null; // the reply that is shown
let starts = [null]; // where each page up to the shown one begins
let numAsked = 0;
let choices = null; // { sources, subjects } of the first page

/** Show the latest posts, with the filters that are set. */
export async function loadFeed() {
  starts = [null];
  await loadPage();
}

async function loadPage() {
  try {
    const wanted = query();
    if (starts.at(-1)) wanted.set("after", starts.at(-1));
    const number = (numAsked += 1);
    const reply = await call(`/v1/posts?${wanted}`);
    if (number !== numAsked) return; // another page was asked for meanwhile
    page = reply;
    if (starts.length === 1) fillChoices(page);
    draw();
  } catch (error) {
    showNotice(find("feed"), error.message);
  }
}

function query() {
  const wanted = new URLSearchParams();
  for (const key of ["topic", "entity", "source"]) if (find(`feed-${key}`).value) wanted.set(key, find(`feed-${key}`).value);
  for (const key of ["since", "until"]) if (find(`feed-${key}`).value) wanted.set(key, new Date(find(`feed-${key}`).value).toISOString());
  return wanted;
}

function fillChoices({ sources, subjects }) {
  choices = { sources, subjects };
  const companies = subjects.map(companyOf).filter((company) => company !== null);
  fill(find("feed-topic"), subjects.filter((topic) => companyOf(topic) === null), subject);
  fill(find("feed-entity"), companies, (company) => company);
  fill(find("feed-source"), sources, (source) => source);
  find("feed-entity").closest("label").hidden = !companies.length;
}

function fill(select, values, show) {
  const chosen = select.value;
  select.replaceChildren(option("", say("any")), ...[...values].sort().map((value) => option(value, show(value))));
  select.value = values.includes(chosen) ? chosen : "";
}

function option(value, label) {
  const element = make("option", "", label);
  element.value = value;
  return element;
}

function draw() {
  const posts = page.posts.map(drawPost);
  find("feed").replaceChildren(...(posts.length ? posts : [make("li", "faint", say("noPosts"))]));
  find("feed-back").hidden = starts.length === 1;
  find("feed-next").hidden = !page.next;
}

function drawPost(post) {
  const mood = make("span", `badge ${post.sentiment}`, knows(post.sentiment) ? say(post.sentiment) : name(post.sentiment));
  const meta = make("div", "meta", make("strong", "", subject(post.topic)), mood);
  if (post.is_copy) meta.append(make("span", "badge", say("copy")));
  for (const company of post.entities) meta.append(make("span", "badge", company));
  meta.append(make("span", "faint", `${post.source} · ${moment(post.time)}`));
  return make("li", "post", meta, make("div", "text", post.text));
}

async function turn(change) {
  change();
  await loadPage();
  find("feed-heading").scrollIntoView({ block: "start" });
  find("feed-heading").focus({ preventScroll: true });
}

onSubmit(find("feed-form"), find("feed"), loadFeed);
find("feed-next").addEventListener("click", () => turn(() => starts.push(page.next)));
find("feed-back").addEventListener("click", () => turn(() => starts.pop()));
find("feed-export").addEventListener("click", () => {
  download(`/v1/posts.csv?${query()}`, "posts.csv").catch((error) => showNotice(find("feed"), error.message));
});
onLanguage(() => {
  if (!page) return;
  fillChoices(choices);
  draw();
});
