// Calls: the live ones with the words that fall, and those that were, with search.

import { get, getText } from "./api.js";
import { duration, every, h, ms, parties, setText, when } from "./dom.js";
import { Figures } from "./metrics.js";

const OUTCOMES = "completed caller_hangup handed_over transferred idle max_duration failed crashed busy no_answer declined unreachable".split(" ");
const PAGE = 50;
const MOST = 500; // rows in the page; who looks for more narrows the search

export function callsView({ root, live, signal }) {
  const now = liveCalls(live, signal);
  const then = pastCalls(signal);
  live.addEventListener("ended", () => then.refresh(), { signal });
  root.append(h("h1", { class: "hidden" }, "Calls"), gauges(live, signal), now, then.element);
}

// --- at a glance ------------------------------------------------------------------------------------------------------

function gauges(live, signal) {
  const shown = ["On the line", "Calls ended", "Answer, median about", "Interruptions", "Webhooks waiting"].map((title) => [title, h("dd")]);
  const [calls, total, answer, interruptions, waiting] = shown.map(([, value]) => value);
  let limit = null;
  const drawCalls = () => setText(calls, `${live.calls.size}${limit ? ` / ${limit}` : ""}`);
  live.addEventListener("change", drawCalls, { signal });
  every(5000, signal, async () => {
    const text = await getText("/metrics", signal).catch(() => null);
    if (text === null) return;
    const figures = new Figures(text);
    const median = figures.quantile("voxtrad_turn_latency_seconds", 0.5);
    limit = figures.sum("voxtrad_calls_limit");
    drawCalls();
    setText(total, (figures.sum("voxtrad_calls_total") ?? 0).toLocaleString());
    setText(answer, median === null ? "–" : `≈ ${ms(median)}`); // out of a histogram: the bucket, not the figure
    setText(interruptions, (figures.sum("voxtrad_interruptions_total", { kind: "barge_in" }) ?? 0).toLocaleString());
    setText(waiting, (figures.sum("voxtrad_webhook_queue_depth") ?? 0).toLocaleString());
  });
  return h("dl", { class: "gauges", "aria-label": "Since the server's start" }, shown.map(([title, value]) => h("div", {}, h("dt", {}, title), value)));
}

// --- live -------------------------------------------------------------------------------------------------------------

function liveCalls(live, signal) {
  const list = h("ul", { class: "live" });
  const note = h("p", { class: "empty" });
  const rows = new Map();

  function draw() {
    for (const [id, row] of rows) {
      if (!live.calls.has(id)) {
        row.element.remove();
        rows.delete(id);
      }
    }
    for (const [id, call] of live.calls) {
      if (!rows.has(id)) {
        const row = liveRow(call);
        rows.set(id, row);
        list.prepend(row.element);
      }
      rows.get(id).draw(call);
    }
    const silent = live.trouble || "Nobody is on the line. ";
    note.hidden = rows.size > 0;
    if (!note.hidden) note.replaceChildren(silent, live.trouble ? "" : h("a", { href: "#/phone" }, "Call an agent yourself"));
  }

  live.addEventListener("change", draw, { signal });
  every(1000, signal, () => {
    for (const [id, call] of live.calls) rows.get(id)?.tick(call);
  });
  draw();
  return h("section", { "aria-labelledby": "live-title" }, h("h2", { id: "live-title" }, "On the line"), note, list);
}

function liveRow(call) {
  const dot = h("span", { class: "dot", "aria-hidden": "true" });
  const agent = h("strong");
  const time = h("span", { class: "time" });
  const words = h("q", { class: "words" });
  const people = h("span", { class: "parties" }, parties(call));
  const link = h("a", { href: `#/calls/${encodeURIComponent(call.id)}` }, dot, agent, people, words, time);
  return {
    element: h("li", {}, link),
    draw(call) {
      setText(agent, call.agent);
      setText(words, call.words);
      words.className = `words ${call.who}`;
      dot.className = `dot ${call.state === "ringing" ? "ringing" : call.speaking ? "speaking" : "listening"}`;
      this.tick(call);
    },
    tick(call) {
      setText(time, call.answered ? duration((Date.now() - Date.parse(call.answered)) / 1000) : "ringing");
    },
  };
}

// --- past -------------------------------------------------------------------------------------------------------------

function pastCalls(signal) {
  const number = h("input", { id: "number", type: "search", inputmode: "tel", placeholder: "Any number" });
  const agent = h("input", { id: "agent", type: "search", list: "agents", placeholder: "Any agent" });
  const agents = h("datalist", { id: "agents" });
  const outcome = h(
    "select",
    { id: "outcome" },
    h("option", { value: "" }, "Any outcome"),
    OUTCOMES.map((name) => h("option", { value: name }, name.replace("_", " "))),
  );
  const since = h("input", { id: "since", type: "date" });
  const rows = h("tbody");
  const note = h("p", { class: "empty", role: "status" });
  const more = h("button", { type: "button", hidden: true, onclick: () => load(true) }, "Older calls");
  let after = null;
  let running = null;

  const form = h(
    "form",
    { class: "search", role: "search", "aria-label": "Past calls", onsubmit: (event) => event.preventDefault() },
    field("Number", number),
    field("Agent", agent),
    field("Outcome", outcome),
    field("Since", since),
    agents,
  );
  form.addEventListener("input", () => {
    clearTimeout(form.timer);
    form.timer = setTimeout(() => load(false), 250);
  });
  get("/v1/agents", {}, signal)
    .then(({ items }) => agents.append(...items.map(({ name }) => h("option", { value: name }))))
    .catch(() => {});

  async function load(further) {
    running?.abort();
    const own = (running = new AbortController());
    const query = {
      state: "ended", number: number.value.trim(), agent: agent.value.trim(), outcome: outcome.value, limit: PAGE,
      since: since.value && new Date(`${since.value}T00:00`).toISOString(), after: further ? after : null,
    };
    try {
      const page = await get("/v1/calls", query, AbortSignal.any([signal, own.signal]));
      const found = page.items.map(pastRow);
      if (further) rows.append(...found);
      else rows.replaceChildren(...found);
      after = page.next;
      const full = rows.children.length >= MOST;
      more.hidden = !after || full;
      const nothing = query.number || query.agent || query.outcome || query.since ? "No such call." : "No calls yet.";
      setText(note, rows.children.length ? (full ? "There are more: narrow the search." : "") : nothing);
    } catch (error) {
      if (error.name !== "AbortError") setText(note, error.message);
    }
  }

  const head = ["When", "From", "To", "Agent", "Outcome", "Talk"].map((name) => h("th", { scope: "col" }, name));
  const table = h("table", { "aria-label": "Past calls" }, h("thead", {}, h("tr", {}, head)), rows);
  load(false);
  return {
    element: h("section", { "aria-labelledby": "past-title" }, h("h2", { id: "past-title" }, "Past calls"), form, table, note, more),
    refresh: () => rows.children.length <= PAGE && load(false),
  };
}

function field(label, input) {
  return h("div", {}, h("label", { for: input.id }, label), input);
}

function pastRow(call) {
  const link = h("a", { href: `#/calls/${encodeURIComponent(call.id)}` }, when(call.started));
  return h(
    "tr",
    {},
    h("td", {}, link),
    h("td", { class: "number" }, parties({ ...call, to: "" })),
    h("td", { class: "number" }, call.to),
    h("td", {}, call.agent),
    h("td", {}, h("span", { class: `outcome ${call.outcome}`, title: call.reason ?? "" }, (call.outcome ?? "").replace("_", " "))),
    h("td", { class: "figure" }, duration(call.talk_time)),
  );
}
