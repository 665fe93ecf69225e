// The shop as one person sees it: a list with reasons, a search, items like another one, and what is not wanted.

import { find, make, makeButton, onSubmit, showNotice } from "/static/page.js";
import { call } from "/static/server.js";
import { currentLanguage, onLanguage, say } from "/static/words.js";

const NUM_ITEMS = 12;
let shown = null; // the list on the page
let similar = null; // what the dialog shows
let me = { is_staff: true, owner: "" };

/** Show the shop to whoever holds the key; only staff look at lists of others. */
export async function openShop(identity) {
  me = identity;
  const person = me.owner.split("/").pop();
  find("person-field").hidden = !me.is_staff;
  if (!me.is_staff) find("user").value = person;
  if (me.is_staff) await listPeople();
  if (!me.is_staff) await showShop();
}

async function listPeople() {
  const { people } = await call("/v1/people?limit=12").catch(() => ({ people: [] }));
  find("people").replaceChildren(...people.map((person) => {
    const button = makeButton("quiet", person.user, () => choosePerson(person.user));
    button.value = person.user;
    return button;
  }));
  find("people").hidden = people.length === 0;
}

async function choosePerson(user) {
  find("user").value = user;
  await guarded(showShop);
}

async function guarded(work) {
  try {
    await work();
  } catch (error) {
    showNotice(find("items"), error.message);
  }
}

async function showShop() {
  if (!find("user").reportValidity()) return; // whose shop?
  const query = find("query").value.trim();
  const diversity = Number(find("diversity").value) / 100;
  const wish = query ? { query } : { diversity };
  shown = await call("/v1/recommend", { user: find("user").value, k: NUM_ITEMS, ...wish });
  draw();
  recordShown(shown).catch((error) => console.warn(error.message)); // the list is there all the same
}

/** Keep which list was shown where places are left to chance, for a replay; what staff look at was shown to nobody. */
async function recordShown({ user, items, list_id }) {
  if (me.is_staff || !items.some((item) => item.propensity < 1)) return;
  const time = new Date().toISOString();
  const events = items.map(({ id, propensity }, at) => ({ user, item: id, event: "show", time, list_id, place: at + 1, propensity }));
  await call("/v1/events", { events });
}

function draw() {
  for (const button of find("people").children) button.setAttribute("aria-pressed", button.value === find("user").value);
  find("diversity-value").textContent = shown?.distance == null ? "" : say("distance", { share: shown.distance.toFixed(2) });
  find("clear-query").hidden = !find("query").value;
  if (!shown) return;
  const notes = [];
  if (shown.cold && !shown.understood) notes.push(make("p", "notice", say("cold")));
  if (shown.understood) notes.push(make("p", "faint", tellQuery(shown.understood)));
  const cards = shown.items.map((item) => drawItem(item));
  const list = cards.length ? make("ul", "cards shop", ...cards) : make("p", "faint", say("nothing"));
  find("items").replaceChildren(...notes, list);
}

function tellQuery({ text, min_price: least, max_price: most, tags }) {
  const parts = [say("searched", { text })];
  if (least !== null) parts.push(say("priceFrom", { price: money(least) }));
  if (most !== null) parts.push(say("priceTo", { price: money(most) }));
  if (tags.length) parts.push(tags.join(", "));
  return parts.join(" · ");
}

function money(price) {
  return price.toLocaleString(currentLanguage(), { minimumFractionDigits: Number.isInteger(price) ? 0 : 2, maximumFractionDigits: 2 });
}

function drawItem(item) {
  const title = makeButton("title", item.title, () => guarded(() => openItem(item)));
  const price = item.price === null ? [] : [make("p", "price", money(item.price))];
  const tags = make("p", "tags faint", ...item.tags.map((tag) => make("span", "badge", tag)));
  const unwanted = makeButton("quiet", say("notInterested"), () => guarded(() => hide(item)));
  unwanted.setAttribute("aria-label", say("notInterestedIn", { title: item.title }));
  const card = make("li", "card", make("h3", "", title), ...price, make("p", "reason", item.reason), tags, make("p", "actions", unwanted));
  card.dataset.item = item.id;
  return card;
}

/** Keep what the person did with an item; the next list knows of it. */
async function record(item, event) {
  const time = new Date().toISOString();
  await call("/v1/events", { events: [{ user: find("user").value, item: item.id, event, time }] });
}

async function hide(item) {
  const at = shown.items.findIndex((other) => other.id === item.id);
  await record(item, "hide");
  await showShop();
  const buttons = find("items").querySelectorAll(".title"); // the focus stays where the card was
  buttons[Math.min(at, buttons.length - 1)]?.focus();
}

async function openItem(item) {
  const dialog = find("item-dialog");
  similar = null;
  drawDialog(item);
  if (!dialog.open) dialog.showModal();
  await record(item, "click");
  const whose = me.is_staff ? `&user=${encodeURIComponent(find("user").value)}` : "";
  similar = await call(`/v1/items/${encodeURIComponent(item.id)}/similar?k=6${whose}`);
  drawDialog(item);
}

function drawDialog(item) {
  find("item-title").textContent = item.title;
  find("item-price").textContent = item.price === null ? "" : money(item.price);
  find("item-reason").textContent = item.reason;
  const cards = (similar?.items ?? []).map((other) => {
    const button = makeButton("title", other.title, () => guarded(() => openItem(other)));
    return make("li", "card", make("h3", "", button), make("p", "reason", other.reason));
  });
  const rest = similar ? make("p", "faint", say("nothing")) : make("p", "faint", say("loadingItems"));
  find("item-similar").replaceChildren(cards.length ? make("ul", "cards shop", ...cards) : rest);
}

onSubmit(find("recommend-form"), find("items"), showShop);
onSubmit(find("search-form"), find("items"), showShop);
find("clear-query").addEventListener("click", () => {
  find("query").value = "";
  guarded(showShop);
});
find("diversity").addEventListener("change", () => { if (find("user").value) guarded(showShop); });
find("item-dialog").addEventListener("close", () => guarded(showShop)); // a click changes the list
onLanguage(draw);
