// One call on a board: the conversation, the latency of each turn, the timeline. It is fed with events as they happen,
// or filled from the call's record; everything in it is bounded.

import { h, json, ms, place, setPart, setText } from "./dom.js";

const MOST = 1000; // lines of the conversation and of the timeline that stay in the page

const STAGES = [
  ["endpointing", "end of turn"],
  ["llm_first_token", "model"],
  ["llm_first_sentence", "first sentence"],
  ["tts_first_byte", "voice"],
  ["playout", "playout"],
];

export class CallBoard {
  constructor({ live = false } = {}) {
    this.began = null; // seconds since 1970
    this.lines = h("ol", { class: "conversation", tabindex: 0, ...(live ? { role: "log", "aria-live": "polite" } : {}), "aria-label": "Conversation" });
    this.partial = h("p", { class: "partial", "aria-hidden": "true" });
    this.quiet = h("p", { class: "empty" }, "Nothing was said yet.");
    this.turns = h("ol", { class: "waterfall", tabindex: 0, "aria-label": "Latency of each turn" });
    this.figures = h("p", { class: "figures" });
    this.scale = 1;
    this.noTurns = h("p", { class: "empty" }, "No turn was answered yet.");
    this.timeline = h("ol", { class: "timeline", tabindex: 0, "aria-label": "Timeline" });
    this.tools = new Map();
    this.latencies = [];
    const legend = STAGES.map(([name, title]) => h("li", {}, h("i", { class: `swatch ${name}` }), title));
    this.element = h(
      "div",
      { class: live ? "board live-board" : "board" },
      h("section", { class: "talk", "aria-labelledby": "talk-title" }, h("h2", { id: "talk-title" }, "Conversation"), this.quiet, this.lines, this.partial),
      h(
        "div",
        { class: "facts" },
        h(
          "section",
          { "aria-labelledby": "latency-title" },
          h("h2", { id: "latency-title" }, "Latency"),
          this.figures,
          this.noTurns,
          this.turns,
          h("ul", { class: "legend", "aria-hidden": "true" }, legend),
        ),
        h("section", { "aria-labelledby": "timeline-title" }, h("h2", { id: "timeline-title" }, "Timeline"), this.timeline),
      ),
    );
  }

  // --- from events ----------------------------------------------------------------------------------------------------

  take({ type, timestamp, data }) {
    const now = Date.parse(timestamp) / 1000;
    this.began ??= now;
    const at = now - this.began;
    switch (type) {
      case "user.transcript.partial":
        return this.now("caller", data.text);
      case "user.speech.started":
        this.now("caller", "…");
        break;
      case "user.speech.ended":
        this.voicedAt = at;
        break;
      case "user.transcript":
        this.now("");
        if (data.merged && this.asked?.turn === data.turn) this.asked.line.remove(); // it begins what is said now
        this.asked = { turn: data.turn, line: this.say({ speaker: "caller", text: data.text, at: this.voicedAt ?? at }) };
        break;
      case "agent.thinking":
        this.now("agent", "thinking …");
        break;
      case "agent.speech.started":
        this.spokenAt = at;
        this.now("agent", "speaking …");
        break;
      case "agent.speech.ended":
        this.now("");
        break;
      case "agent.response":
        this.say({ speaker: "agent", text: data.text, at: this.spokenAt ?? at, interrupted: data.interrupted });
        break;
      case "tool.called":
        this.tool({ ...data, at });
        break;
      case "tool.completed":
        this.tool({ ...data, at });
        break;
      case "turn.ended":
        this.turn(data);
        break;
      case "call.ended":
        this.now("");
        break;
    }
    this.mark(at, type, reasonOf(type, data));
  }

  // --- from a record --------------------------------------------------------------------------------------------------

  fill(record) {
    const spoken = record.transcript.map((line) => [line.at, () => this.say(line)]);
    const done = record.tools.map((tool) => [tool.at, () => this.tool(tool)]);
    for (const [, show] of [...spoken, ...done].sort(([a], [b]) => a - b)) show();
    for (const turn of record.turns) this.turn(turn);
    for (const { at, what, reason } of record.timeline.slice(0, MOST)) this.mark(at, what, reason);
    setText(this.quiet, record.privacy === "none" ? "This agent keeps no words (privacy: none)." : "Nothing was said.");
  }

  // --------------------------------------------------------------------------------------------------------------------

  say({ speaker, text, at, interrupted }) {
    const line = h(
      "li",
      { class: speaker },
      h("span", { class: "who" }, speaker === "agent" ? "Agent" : "Caller"),
      h("p", {}, text, interrupted && h("small", {}, " — interrupted")),
      h("time", {}, place(at)),
    );
    this.append(line);
    return line;
  }

  tool(data) {
    let shown = this.tools.get(data.tool_call_id);
    if (!shown) {
      const args = Object.entries(data.arguments ?? {}).map(([name, value]) => `${name}: ${json(value)}`);
      const result = h("p", { class: "result" });
      const call = h("p", {}, h("code", {}, `${data.tool}(${args.join(", ")})`), result);
      this.append(h("li", { class: "tool" }, h("span", { class: "who" }, "Tool"), call, h("time", {}, place(data.at))));
      this.tools.set(data.tool_call_id, (shown = result));
      if (this.tools.size > MOST) this.tools.delete(this.tools.keys().next().value);
    }
    if (data.outcome) {
      const outcome = data.outcome === "ok" ? "" : `${data.outcome}: `;
      setText(shown, `→ ${outcome}${json(data.result)} (${ms(data.duration ?? 0)})`);
      shown.classList.toggle("bad", data.outcome !== "ok");
    }
  }

  /** What goes on while no words of it are final. */
  now(who, text = "") {
    this.partial.className = `partial ${who}`;
    setText(this.partial, text);
  }

  append(line) {
    this.quiet.hidden = true;
    const atEnd = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 60;
    this.lines.append(line);
    while (this.lines.children.length > MOST) this.lines.firstChild.remove();
    if (atEnd) this.lines.scrollTop = this.lines.scrollHeight;
  }

  /** One answer as a bar: the stages that follow on each other, from the caller's last sound to the agent's first. */
  turn({ turn, latency, stages }) {
    this.noTurns.hidden = true;
    this.latencies.push(latency);
    if (this.latencies.length > MOST) this.latencies.shift();
    const bar = h("span", { class: "track", "aria-hidden": "true" });
    let from = 0;
    const told = [];
    for (const [name, title] of STAGES) {
      if (stages[name] === undefined) continue;
      const seconds = Math.max(0, name === "llm_first_sentence" ? stages[name] - (stages.llm_first_token ?? 0) : stages[name]);
      told.push(`${title} ${ms(seconds)}`);
      bar.append(segment(name, from, seconds));
      from += seconds;
    }
    if (latency - from > 0.002) bar.append(segment("other", from, latency - from));
    const label = h("span", { class: "turn" }, `Turn ${turn}`);
    const spoken = h("span", { class: "hidden" }, told.join(", "));
    const row = h("li", { title: told.join("\n") }, label, bar, h("strong", { class: latency > 1.5 ? "slow" : "" }, ms(latency)), spoken);
    this.turns.append(row);
    while (this.turns.children.length > MOST) this.turns.firstChild.remove();
    const longest = Math.max(1, ...this.latencies);
    if (longest !== this.scale) this.scale = longest;
    setPart(this.turns, "second", 1 / this.scale);
    const sorted = [...this.latencies].sort((a, b) => a - b);
    setText(this.figures, `Median ${ms(sorted[Math.floor((sorted.length - 1) / 2)])}, longest ${ms(sorted.at(-1))}`);
  }

  mark(at, what, reason) {
    const kind = what.split(/[._]/)[0];
    this.timeline.append(
      h("li", { class: kind }, h("time", {}, place(at)), h("span", {}, h("b", {}, what), reason ? ` ${reason}` : "")),
    );
    while (this.timeline.children.length > MOST) this.timeline.firstChild.remove();
  }
}

function segment(name, from, seconds) {
  const part = h("i", { class: name });
  setPart(part, "from", from);
  setPart(part, "long", seconds);
  return part;
}

/** What a live event says, in a few words; a record's timeline says the same (`ledger/records.py`). */
function reasonOf(type, data) {
  switch (type) {
    case "turn.ended":
      return ms(data.latency);
    case "barge_in":
      return `${data.reason} (${Math.round(data.stop_ms)} ms)`;
    case "tool.called":
    case "tool.completed":
      return `${data.tool}${data.outcome ? `: ${data.outcome}` : ""}`;
    case "call.ended":
      return `${data.outcome}: ${data.reason}`;
    default: {
      const seconds = data.duration ?? data.seconds;
      if (data.destination) return [data.destination, data.outcome].filter(Boolean).join(": ");
      return data.digit || data.reason || data.message || (seconds === undefined ? "" : ms(seconds));
    }
  }
}
