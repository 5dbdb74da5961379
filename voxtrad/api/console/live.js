// The live calls: those that run when the page opens, and what the stream of events says from then on.

import { get } from "./api.js";

const TYPES = "call.*,user.transcript,user.transcript.partial,agent.response,agent.thinking,agent.speech.*,tool.*,barge_in";
const RECALLED = 20; // calls whose last words are asked for when the page opens

export class Live extends EventTarget {
  constructor() {
    super();
    this.calls = new Map();
    /** Why no live calls can be shown; null where they can. */
    this.trouble = "";
  }

  async run(signal, follow) {
    await follow(
      { types: TYPES },
      {
        signal,
        take: (event) => this.take(event),
        connected: (missed) => {
          this.trouble = "";
          if (missed) this.load(signal);
          else this.tell();
        },
        lost: (error) => {
          this.trouble = error.message;
          this.tell();
        },
      },
    );
  }

  async load(signal) {
    try {
      const page = await get("/v1/calls", { state: "running", limit: 500 }, signal);
      const before = this.calls;
      this.calls = new Map(page.items.map((call) => [call.id, before.get(call.id) ?? { ...call, words: "", who: "" }]));
      this.tell();
      const silent = [...this.calls.values()].filter((call) => !call.words).slice(-RECALLED);
      await Promise.all(silent.map((call) => this.recall(call, signal)));
    } catch (error) {
      if (!signal.aborted) this.trouble = error.message;
    }
    this.tell();
  }

  /** What was said last, before this page listened. */
  async recall(call, signal) {
    const { transcript } = await get(`/v1/calls/${encodeURIComponent(call.id)}`, {}, signal);
    const last = transcript.at(-1);
    if (last && !call.words) [call.who, call.words] = [last.speaker, last.text];
  }

  take({ type, timestamp, data }) {
    if (type === "call.started") {
      const { from, to, channel, direction } = data;
      const facts = { from, to, channel, direction, started: timestamp, answered: null, state: "ringing" };
      this.calls.set(data.call_id, { id: data.call_id, agent: data.agent, ...facts, words: "", who: "" });
    }
    const call = this.calls.get(data.call_id);
    if (!call) return;
    call.agent = data.agent;
    switch (type) {
      case "call.answered":
        call.answered = timestamp;
        call.state = "in-progress";
        break;
      case "call.ended":
        this.calls.delete(call.id);
        this.dispatchEvent(new CustomEvent("ended", { detail: call.id }));
        break;
      case "user.transcript":
      case "user.transcript.partial":
        [call.who, call.words] = ["caller", data.text];
        break;
      case "agent.response":
        [call.who, call.words] = ["agent", data.text];
        break;
      case "tool.called":
        [call.who, call.words] = ["tool", data.tool];
        break;
      case "agent.speech.started":
        call.speaking = true;
        break;
      case "agent.speech.ended":
        call.speaking = false;
        break;
    }
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}
