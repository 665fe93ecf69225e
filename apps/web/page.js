// What all parts of the page share. Whatever comes from people or models becomes a text node, never markup.

import { currentLanguage, say } from "/static/words.js";

const ICONS = {
  chat: "M4 5h16v11H10l-4 4v-4H4z", close: "M6 6l12 12M18 6 6 18", document: "M7 3h7l4 4v14H7zM14 3v4h4M10 12h5M10 16h5",
  plus: "M12 5v14M5 12h14", send: "M4 11.5 20 4l-5.5 16-3.5-6.5zM11 13.5 20 4", trash: "M5 7h14M10 7V5h4v2M7 7l1 13h8l1-13",
  up: "M8 11v9H4v-9zM8 11l4-7c2 0 2.5 1.5 2 3.5L13.5 10H19c1 0 1.6.9 1.3 1.9l-2 6.6c-.3.9-1 1.5-2 1.5H8",
};
const SVG = "http://www.w3.org/2000/svg";

export const find = (id) => document.getElementById(id);
export const percent = (share) => `${Math.round(share * 100)} %`;
export const moment = (time) => new Date(time).toLocaleString(currentLanguage(), { dateStyle: "medium", timeStyle: "short" });
export const name = (label) => label.replaceAll("_", " ");

const COMPANY = "entity:"; // before its name, where a company is watched like a topic

/** The name of the company that is watched under this topic; null for every other topic. */
export const companyOf = (topic) => (topic.startsWith(COMPANY) ? topic.slice(COMPANY.length) : null);

/** What a topic or company is called. */
export function subject(topic) {
  return companyOf(topic) ?? (topic === "unknown" ? say("unknownTopic") : name(topic));
}

/** Text as it is shown: characters that are invisible or turn the writing direction are taken out. */
export function plain(text) {
  return String(text).replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff]|[\u{e0000}-\u{e007f}]/gu, "");
}

export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  for (const child of children) element.append(child instanceof Node ? child : plain(child));
  return element;
}

export function makeButton(className, label, onClick) {
  const button = make("button", className, label);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

export function icon(shape) {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[shape]);
  svg.append(path);
  return svg;
}

/** How long ago something was, in words. */
export function ago(time) {
  const minutes = Math.round((Date.parse(time) - Date.now()) / 60e3);
  const words = new Intl.RelativeTimeFormat(currentLanguage(), { numeric: "auto" });
  if (minutes > -60) return words.format(minutes, "minute");
  return minutes > -60 * 24 ? words.format(Math.round(minutes / 60), "hour") : words.format(Math.round(minutes / 1440), "day");
}

export function showNotice(place, text, ...more) {
  const notice = make("p", "notice", text, ...more);
  notice.setAttribute("role", "alert");
  place.replaceChildren(notice);
}

/** Run `work` when the form is sent; its button waits, and an error becomes a notice in `place`. */
export function onSubmit(form, place, work) {
  const button = form.querySelector("[type=submit]");
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

/** A text box sends its form by Enter, while Shift+Enter begins a new line, and grows with its text. */
export function sendByEnter(box) {
  box.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter ends the choice of a Chinese character
    event.preventDefault();
    box.form.requestSubmit();
  });
  box.addEventListener("input", () => fit(box));
}

export function fit(box) {
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, 160)}px`;
}

/** An id of 128 random bits; the browser's own ids are there on encrypted addresses only. */
export function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
