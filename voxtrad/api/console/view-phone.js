// The test phone: pick an agent, talk by microphone, and watch the call while you do.

import { get } from "./api.js";
import { CallBoard } from "./call-board.js";
import { duration, every, h, setPart, setText } from "./dom.js";
import { Phone } from "./phone.js";
import { followCall } from "./view-call.js";

const KEYS = "123456789*0#".split("");
const SAYS = { idle: "Hang up", ringing: "Calling …", talking: "Connected", held: "On hold" };

export async function phoneView({ root, signal }) {
  const phone = new Phone();
  const agent = h("select", { id: "who" });
  const dial = h("button", { type: "submit", class: "dial" }, "Call");
  const status = h("p", { class: "phone-state", role: "status" }, "Your microphone stays off until you call.");
  const clock = h("p", { class: "clock", "aria-hidden": "true" }, "0:00");
  const you = level("You");
  const them = level("Agent");
  const keys = KEYS.map((key) => h("button", { type: "button", disabled: true, onclick: () => phone.press(key) }, key));
  const stage = h("div", { class: "stage" }, h("p", { class: "empty" }, "What is said, the tools’ calls and the latency of each answer appear here while you talk."));
  const form = h(
    "form",
    { class: "handset", "aria-label": "Test phone" },
    h("label", { for: "who" }, "Agent"),
    agent,
    clock,
    you.element,
    them.element,
    dial,
    status,
    h("details", { class: "keys", open: matchMedia("(min-width: 901px)").matches }, h("summary", {}, "Keypad"), h("div", { class: "keypad", role: "group", "aria-label": "Keypad" }, keys)),
  );
  root.append(h("h1", { class: "hidden" }, "Test phone"), form, stage);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (phone.state === "idle") phone.call(agent.value);
    else phone.hangUp();
  });
  form.addEventListener("keydown", ({ key, target }) => {
    if (target !== agent && KEYS.includes(key) && phone.state === "talking") phone.press(key);
  });

  let began = 0;
  let following = new AbortController();
  phone.addEventListener("state", () => {
    const idle = phone.state === "idle";
    if (phone.state === "talking") began ||= performance.now();
    if (idle) [began] = [0];
    setText(dial, idle ? "Call" : "Hang up");
    dial.classList.toggle("danger", !idle);
    if (!idle) setText(status, SAYS[phone.state]);
    agent.disabled = !idle;
    for (const key of keys) key.disabled = phone.state !== "talking";
    if (idle) [you, them].forEach((one) => one.show(0));
  });
  phone.addEventListener("note", ({ detail }) => setText(status, detail));
  phone.addEventListener("level", ({ detail: { said, heard } }) => {
    if (said !== undefined) you.show(said);
    if (heard !== undefined) them.show(heard);
  });
  phone.addEventListener("call", ({ detail: id }) => {
    following.abort();
    following = new AbortController();
    const board = new CallBoard({ live: true });
    const more = h("a", { href: `#/calls/${encodeURIComponent(id)}` }, "This call’s page");
    const trouble = h("p", { class: "bad", role: "alert" });
    stage.replaceChildren(trouble, board.element, h("p", { class: "more" }, more));
    if (matchMedia("(max-width: 900px)").matches) stage.scrollIntoView({ block: "nearest" });
    followCall(id, board, AbortSignal.any([signal, following.signal]), {
      ended: () => following.abort(),
      lost: (error) => setText(trouble, `No live events: ${error.message}`),
    });
  });
  signal.addEventListener("abort", () => phone.hangUp());
  every(500, signal, () => setText(clock, duration(began ? (performance.now() - began) / 1000 : 0)));

  try {
    const { items } = await get("/v1/agents", {}, signal);
    agent.append(...items.map(({ name }) => h("option", { value: name }, name)));
    const wanted = decodeURIComponent(location.hash.split("/")[2] ?? "");
    if (items.some(({ name }) => name === wanted)) agent.value = wanted;
    dial.disabled = items.length === 0;
  } catch (error) {
    if (!signal.aborted) setText(status, error.message);
  }
}

/** How loud somebody is, from -50 dB on; `data-peak` keeps the loudest. */
function level(name) {
  const bar = h("i");
  const meter = h("span", { class: "meter", role: "meter", "aria-label": `${name}: level`, "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 0, "data-peak": 0 }, bar);
  return {
    element: h("p", { class: `level ${name.toLowerCase()}` }, h("span", { "aria-hidden": "true" }, name), meter),
    show(amplitude) {
      const part = Math.max(0, 1 + Math.log10(Math.max(amplitude, 1e-6)) / 2.5);
      setPart(bar, "part", part);
      meter.setAttribute("aria-valuenow", Math.round(part * 100));
      if (amplitude > Number(meter.dataset.peak)) meter.dataset.peak = amplitude.toFixed(3);
    },
  };
}
