// The way to the server: JSON, events, and the key where one is asked for.

import { find } from "/static/page.js";
import { say } from "/static/words.js";

const KEY = "key"; // of the session storage: it is gone with the tab
let asking = null; // one question for the key, whoever waits for it

/** The reply to a request as an object; null where there is none. */
export async function call(path, body, method = body ? "POST" : "GET") {
  const response = await request(path, body, method);
  return response.status === 204 ? null : response.json();
}

/** Save what an address gives as a file of this name. */
export async function download(path, fileName) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await (await request(path, undefined, "GET")).blob());
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** Send `body` and pass each event to its handler in `handlers`; ends with the reply, throws what an error event says. */
export async function follow(path, body, handlers) {
  const response = await request(path, body, "POST");
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(() => ({ done: true }));
    if (done) throw new Error(say("lost")); // the reply comes last, so it did not come
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const [kind, data] of blocks.map(readEvent)) {
      if (kind === "error") throw new Error(data.status === 429 ? say("busy") : data.detail);
      handlers[kind]?.(data);
      if (kind === "reply") return;
    }
  }
}

function readEvent(block) {
  const lines = Object.fromEntries(block.split("\n").map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]));
  return lines.event ? [lines.event, JSON.parse(lines.data)] : [];
}

async function request(path, body, method) {
  const key = sessionStorage.getItem(KEY);
  const headers = { ...(body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error(say("lost"));
  }
  if (response.ok) return response;
  if (response.status === 401) {
    asking ??= askForKey(Boolean(key)).finally(() => { asking = null; });
    await asking;
    return request(path, body, method);
  }
  const problem = await response.json().catch(() => ({}));
  const error = new Error(response.status === 429 ? say("busy") : problem.detail ?? `${response.status}`);
  throw Object.assign(error, { status: response.status });
}

function askForKey(wasWrong) {
  const dialog = find("key-dialog");
  find("key-wrong").hidden = !wasWrong;
  dialog.showModal();
  return new Promise((resolve) => {
    find("key-form").addEventListener("submit", (event) => {
      event.preventDefault();
      sessionStorage.setItem(KEY, find("key-text").value.trim());
      find("key-text").value = "";
      dialog.close();
      resolve();
    }, { once: true });
  });
}
