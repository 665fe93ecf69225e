// The words of the page in every language, from one file each, and which of them is spoken now.

const LANGUAGES = ["en", "zh"];

async function loadWords(name) {
  return [name, (await (await fetch(`/static/words.${name}.json`)).json()).page];
}

const TEXTS = Object.fromEntries(await Promise.all(LANGUAGES.map(loadWords)));
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
