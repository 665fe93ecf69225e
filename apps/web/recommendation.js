// A list of items for one user.

import { find, make, onSubmit } from "/static/page.js";
import { call } from "/static/server.js";
import { onLanguage, say } from "/static/words.js";

let redraw = () => {}; // what to do again when the language changes

async function recommend() {
  const list = await call("/v1/recommend", { user: find("user").value, k: Number(find("count").value) });
  redraw = () => showList(list);
  redraw();
}

function showList(list) {
  const cards = list.items.map((item, at) => {
    return make("article", "card", make("p", "faint", `#${at + 1}`), make("h3", "", item.title), make("p", "faint", item.reason));
  });
  const note = list.cold ? [make("p", "notice", say("cold"))] : [];
  find("items").replaceChildren(...note, cards.length ? make("div", "cards", ...cards) : make("p", "faint", say("nothing")));
}

onSubmit(find("recommend-form"), find("items"), recommend);
onLanguage(() => redraw());
