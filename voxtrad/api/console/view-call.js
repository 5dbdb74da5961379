// One call: as it happens while it lives, as it is kept once it is over.

import { follow, get, getBlob, post } from "./api.js";
import { CallBoard } from "./call-board.js";
import { duration, every, h, json, ms, parties, setText, when } from "./dom.js";

export async function callView({ root, live, signal, id }) {
  const head = h("header", { class: "call-head" });
  const place = h("div");
  root.append(h("a", { class: "back", href: "#/calls" }, "← All calls"), head, place);
  let call;
  try {
    call = await get(`/v1/calls/${encodeURIComponent(id)}`, {}, signal);
  } catch (error) {
    if (!signal.aborted) head.append(h("h1", {}, "No such call"), h("p", {}, error.message));
    return;
  }
  if (call.ended) return showRecord(call, head, place, signal);

  const board = new CallBoard({ live: true });
  const time = h("dd");
  drawHead(head, call, [["Talking", time]], h("button", { type: "button", class: "danger", onclick: hangUp }, "Hang up"));
  place.append(board.element);
  const trouble = h("p", { class: "bad", role: "alert" });
  head.append(trouble);
  every(1000, signal, () => setText(time, duration((Date.now() - Date.parse(call.answered ?? call.started)) / 1000)));

  async function hangUp() {
    try {
      await post(`/v1/calls/${encodeURIComponent(id)}/hangup`);
    } catch (error) {
      setText(trouble, error.message);
    }
  }

  const own = new AbortController();
  await followCall(id, board, AbortSignal.any([signal, own.signal]), {
    ended: async () => {
      own.abort();
      const record = await finished(id, signal);
      if (record && !signal.aborted) showRecord(record, head, place, signal);
    },
    lost: (error) => setText(trouble, `No live events: ${error.message}`),
    connected: async () => {
      setText(trouble, "");
      const record = await get(`/v1/calls/${encodeURIComponent(id)}`, {}, signal).catch(() => null);
      if (!record?.ended || own.signal.aborted || signal.aborted) return; // otherwise the server was away meanwhile
      own.abort();
      showRecord(record, head, place, signal);
    },
  });
}

/** Put a live call on a board, from its beginning as far as the server still has it. */
export function followCall(id, board, signal, { ended = () => {}, lost = () => {}, connected = () => {} }) {
  const query = { call_id: id, types: "*,user.transcript.partial" };
  return follow(query, {
    signal,
    from: "start",
    lost,
    connected,
    take: (event) => {
      board.take(event);
      if (event.type === "call.ended") ended(event);
    },
  });
}

/** The record of a call that has just ended; it is written a moment later. */
async function finished(id, signal) {
  for (let tries = 0; tries < 20 && !signal.aborted; tries++) {
    const record = await get(`/v1/calls/${encodeURIComponent(id)}`, {}, signal).catch(() => null);
    if (record?.ended) return record;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
  return null;
}

function showRecord(call, head, place, signal) {
  const board = new CallBoard();
  board.fill(call);
  const { p50, p95 } = call.latency;
  drawHead(head, call, [
    ["Talk", duration(call.talk_time)],
    ["Outcome", h("span", { class: `outcome ${call.outcome}` }, call.outcome.replace("_", " "))],
    ["Why", call.reason || "–"],
    ["Latency p50, p95", p50 === undefined ? "–" : `${ms(p50)}, ${ms(p95)}`],
    ...call.tokens.map((used) => [`Tokens, ${used.model || used.provider}`, `${used.prompt_tokens} + ${used.completion_tokens}`]),
  ]);
  if (call.recording) head.append(player(call.id, signal));
  place.replaceChildren(...(call.analysis ? [findings(call.analysis)] : []), board.element);
}

/** What the analysis after the call found. */
function findings({ summary, success, reason, fields }) {
  const verdict = success === undefined || success === null ? [] : [["Success", [success ? "yes" : "no", reason && `, ${reason}`].filter(Boolean).join("")]];
  const found = [...verdict, ...Object.entries(fields ?? {}).map(([name, value]) => [name, json(value) || "–"])];
  return h(
    "section",
    { class: "findings", "aria-labelledby": "findings-title" },
    h("h2", { id: "findings-title" }, "Analysis"),
    summary && h("p", {}, summary),
    found.length > 0 && h("dl", {}, found.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
  );
}

function drawHead(head, call, more, action = null) {
  const facts = [["Agent", call.agent], ["Rang", when(call.started)], ...more, ["Channel", call.channel]];
  head.replaceChildren(
    h("div", { class: "title" }, h("h1", {}, call.to ? parties(call) : `${parties(call)} → ${call.agent}`), action),
    h("dl", {}, facts.map(([name, value]) => h("div", {}, h("dt", {}, name), value instanceof Element && value.tagName === "DD" ? value : h("dd", {}, value)))),
  );
}

/** The recording is fetched with the token, when it is asked for. */
function player(id, signal) {
  const note = h("span", { class: "bad", role: "status" });
  const button = h("button", { type: "button" }, "Load the recording");
  const box = h("p", { class: "recording" }, button, note);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const url = URL.createObjectURL(await getBlob(`/v1/calls/${encodeURIComponent(id)}/recording`, signal));
      signal.addEventListener("abort", () => URL.revokeObjectURL(url));
      const audio = h("audio", { controls: true, src: url, "aria-label": "Recording: caller left, agent right" });
      box.replaceChildren(audio, h("a", { href: url, download: `${id}.wav` }, "Save"));
      audio.focus();
    } catch (error) {
      button.disabled = false;
      setText(note, ` ${error.message}`);
    }
  });
  return box;
}
