// The shell: sections by the address's hash, the token's door, and whether the server is ready.

import { follow, get, keepToken, onTokenNeeded, token } from "./api.js";
import { every, h } from "./dom.js";
import { Live } from "./live.js";
import { agentsView } from "./view-agents.js";
import { callView } from "./view-call.js";
import { callsView } from "./view-calls.js";
import { healthView } from "./view-health.js";
import { phoneView } from "./view-phone.js";

const SECTIONS = [
  ["calls", "Calls", callsView],
  ["phone", "Test phone", phoneView],
  ["agents", "Agents", agentsView],
  ["health", "Health", healthView],
];

const main = document.getElementById("main");
const state = document.getElementById("state");
const links = new Map(SECTIONS.map(([name, title]) => [name, h("a", { href: `#/${name}` }, title)]));
document.getElementById("sections").append(...[...links.values()].map((link) => h("li", {}, link)));

const live = new Live();
let view = new AbortController();

function show() {
  const [section = "calls", id] = location.hash.replace(/^#\//, "").split("/").filter(Boolean);
  const [name, title, open] = SECTIONS.find(([known]) => known === section) ?? SECTIONS[0];
  view.abort();
  view = new AbortController();
  for (const [known, link] of links) {
    if (known === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${id ? "Call" : title} – voxtrad`;
  const root = h("div", { class: `view ${id ? "call" : name}` });
  main.replaceChildren(root);
  const context = { root, live, signal: view.signal };
  if (name === "calls" && id) callView({ ...context, id: decodeURIComponent(id) });
  else open(context);
}

// --- the door ---------------------------------------------------------------------------------------------------------

const door = document.getElementById("door");
let opening = null;

onTokenNeeded((refused) => (opening ??= openDoor(refused).finally(() => (opening = null))));

function openDoor(refused) {
  return new Promise((resolve) => {
    const field = h("input", { id: "token", type: "password", autocomplete: "current-password", required: true });
    const form = h(
      "form",
      { method: "dialog" },
      h("h2", { id: "door-title" }, "A token, please"),
      refused && h("p", { class: "bad", role: "alert" }, "The server does not know this token."),
      h("p", {}, "This server is open to those who have one of its tokens (", h("code", {}, "server.tokens"), ")."),
      h("label", { for: "token" }, "Token"),
      field,
      h("p", { class: "hint" }, "It is kept until this tab is closed, and sent to this server alone."),
      h("button", { class: "primary" }, "Come in"),
    );
    form.addEventListener("submit", () => {
      keepToken(field.value.trim());
      resolve();
    });
    door.replaceChildren(form);
    door.oncancel = (event) => event.preventDefault();
    door.showModal();
    field.focus();
  });
}

const leave = document.getElementById("leave");
leave.addEventListener("click", () => {
  keepToken("");
  location.reload();
});

// --- the server's state -----------------------------------------------------------------------------------------------

let reasons = null;

async function look() {
  try {
    ({ reasons } = await get("/v1/status"));
  } catch (error) {
    reasons = [error.message];
  }
  tell();
}

function tell() {
  leave.hidden = !token();
  if (reasons === null) return;
  const count = live.calls.size;
  const calls = count === 1 ? "1 live call" : `${count} live calls`;
  state.className = `state ${reasons.length ? "warn" : "good"}`;
  state.title = reasons.join("; "); // Health shows them whole
  const told = reasons.length ? "Not ready: see Health" : `Ready · ${calls}`;
  if (state.textContent !== told) state.replaceChildren(reasons.length ? h("a", { href: "#/health" }, told) : told);
}

live.addEventListener("change", tell);
window.addEventListener("hashchange", () => {
  show();
  main.focus();
});
show();
live.run(new AbortController().signal, follow);
every(5000, new AbortController().signal, look);
