// The frame of the page: tabs, language, health, and who sits before it.

import { openChat } from "/static/chat.js";
import { loadMonitoring } from "/static/monitoring.js";
import { find, icon, showNotice } from "/static/page.js";
import { openShop } from "/static/recommendation.js";
import { call } from "/static/server.js";
import { openDesk } from "/static/staff.js";
import { currentLanguage, onLanguage, say, speak, suggestLanguage, switchLanguage } from "/static/words.js";

const tabs = [...document.querySelectorAll("[role=tab]")];
let health = { status: "starting" };
let isOpen = false;

function selectTab(tab) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute("aria-selected", chosen);
    other.tabIndex = chosen ? 0 : -1;
    find(other.getAttribute("aria-controls")).hidden = !chosen;
  }
  if (tab.id === "tab-monitoring") loadMonitoring();
}

function moveTab(event) {
  const shown = tabs.filter((tab) => !tab.hidden);
  const at = shown.indexOf(event.target);
  const places = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: shown.length - 1 };
  if (!(event.key in places)) return;
  event.preventDefault();
  const tab = shown[(places[event.key] + shown.length) % shown.length];
  tab.focus();
  selectTab(tab);
}

async function loadHealth() {
  try {
    health = await (await fetch("/readyz")).json();
  } catch {
    health = { status: "offline" };
  }
  showHealth();
  if (health.status === "ready") await open();
  else setTimeout(loadHealth, 3000);
}

/** Show what is for whoever holds the key; a customer's key opens no monitoring. */
async function open() {
  if (isOpen) return;
  isOpen = true;
  try {
    const me = await call("/v1/me");
    suggestLanguage(me.language);
    find("tab-monitoring").hidden = !me.is_staff;
    if (health.scenarios.recommendation.available) openShop(me).catch((error) => showNotice(find("items"), error.message));
    if (!health.scenarios.customer_service.available) return;
    if (me.is_staff) openDesk(me);
    await openChat(me.owner);
  } catch (error) {
    showNotice(find("messages"), error.message);
  }
}

function showHealth() {
  find("status").textContent = say(health.status);
  find("status").className = `pill ${health.status}`;
  const panels = { customer_service: "messages", monitoring: "alerts", recommendation: "items" };
  for (const [scenario, state] of Object.entries(health.scenarios ?? {})) {
    const place = find(panels[scenario]);
    if (!state.available && !place.firstChild) showNotice(place, state.detail);
  }
}

for (const tab of tabs) {
  tab.addEventListener("click", () => selectTab(tab));
  tab.addEventListener("keydown", moveTab);
}
for (const element of document.querySelectorAll("[data-icon]")) element.prepend(icon(element.dataset.icon));
find("language").addEventListener("click", switchLanguage);
onLanguage(() => {
  find("language").textContent = say("other");
  find("language").lang = currentLanguage() === "en" ? "zh" : "en";
  showHealth();
});
speak();
loadHealth();
