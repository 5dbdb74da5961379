// Health: the server, the PBX, the providers, and what webhooks are still owed; from what Prometheus reads as well.

import { get, getText } from "./api.js";
import { duration, every, h, ms, when } from "./dom.js";
import { Figures } from "./metrics.js";

const LETTERS = 5; // of those that wait, and of those that were given up
const STAGE = { stt: "stt_final", llm: "llm_first_token", tts: "tts_first_byte" };
const TITLE = { stt: "speech to text", llm: "language model", tts: "text to speech" };

export function healthView({ root, signal }) {
  const server = card("Server");
  const pbx = card("PBX");
  const providers = card("Providers", "wide");
  const webhooks = card("Webhooks", "wide");
  root.append(h("h1", {}, "Health"), h("div", { class: "cards" }, server.element, pbx.element, providers.element, webhooks.element));
  every(5000, signal, async () => {
    await Promise.all([
      draw([server, pbx, providers], async () => {
        const [status, text] = await Promise.all([get("/v1/status", {}, signal), getText("/metrics", signal)]);
        const figures = new Figures(text);
        server.fill(serverFacts(figures, status));
        pbx.fill(pbxFacts(figures, status));
        providers.fill(providerTable(figures));
      }),
      draw([webhooks], async () => {
        const [endpoints, waiting, dead, text] = await Promise.all([
          get("/v1/events/endpoints", {}, signal),
          get("/v1/events/messages", { state: "waiting", limit: LETTERS }, signal),
          get("/v1/events/messages", { state: "dead", limit: LETTERS }, signal),
          getText("/metrics", signal),
        ]);
        webhooks.fill(webhookFacts(endpoints.items, waiting.items, dead.items, new Figures(text)));
      }),
    ]);
  });

  async function draw(cards, work) {
    try {
      await work();
    } catch (error) {
      if (!signal.aborted) for (const one of cards) one.fill([h("p", { class: "bad" }, error.message)]);
    }
  }
}

function card(title, size = "") {
  const body = h("div");
  let last = "";
  return {
    element: h("section", { class: `card ${size}`, "aria-label": title }, h("h2", {}, title), body),
    fill(children) {
      const fresh = h("div", {}, children);
      if (fresh.outerHTML !== last) {
        last = fresh.outerHTML;
        body.replaceChildren(...fresh.childNodes);
      }
    },
  };
}

function facts(pairs) {
  return h("dl", {}, pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value ?? "–"))));
}

function verdict(good, text) {
  return h("p", { class: `verdict ${good ? "good" : "warn"}` }, text);
}

function count(value) {
  return value === null ? null : value.toLocaleString();
}

function serverFacts(figures, { reasons, live, max_calls, version }) {
  const lag = figures.quantile("voxtrad_event_loop_lag_seconds", 0.95);
  const added = figures.quantile("voxtrad_added_latency_seconds", 0.95);
  const turn = figures.quantile("voxtrad_turn_latency_seconds", 0.5);
  const reload = figures.sum("voxtrad_config_last_reload_successful");
  return [
    reasons.length ? verdict(false, reasons.includes("the server is draining") ? "Drains: takes no more calls" : "Takes no calls from the PBX") : verdict(true, "Ready for calls"),
    facts([
      ["Live calls", `${live} of ${max_calls.toLocaleString()}`],
      ["Calls ended", count(figures.sum("voxtrad_calls_total"))],
      ["Not taken", count(figures.sum("voxtrad_calls_rejected_total"))],
      ["Answer, median about", about(turn)],
      ["Added by voxtrad, p95 about", about(added)],
      ["Event loop lag, p95 about", about(lag)],
      ["Last reload", reload === 0 ? h("span", { class: "bad" }, "failed") : "good"],
      ["Version", version],
    ]),
  ];
}

function pbxFacts(figures, { reasons, pbx }) {
  if (!pbx) return [h("p", { class: "empty" }, "No PBX is configured; the test phone works without one.")];
  const connected = figures.sum("voxtrad_ari_connected") === 1;
  const packets = figures.sum("voxtrad_audio_packets_total");
  const lost = figures.sum("voxtrad_audio_packets_lost_total");
  const trouble = reasons.filter((reason) => reason !== "the server is draining").join("; ");
  return [
    verdict(connected, connected ? "Connected to Asterisk" : `Away: ${trouble || "connecting"}`),
    facts([
      ["Reconnected", count(figures.sum("voxtrad_ari_reconnects_total"))],
      ["Audio gaps", count(figures.sum("voxtrad_audio_underruns_total"))],
      ["Callers' audio lost", packets ? `${((100 * lost) / packets).toFixed(1)} %` : null],
      ["Dead air", count(figures.sum("voxtrad_dead_air_total"))],
      ["Transfers", count(figures.sum("voxtrad_transfers_total"))],
    ]),
  ];
}

function providerTable(figures) {
  const requests = figures.all("voxtrad_provider_requests_total");
  const names = new Map(requests.map(({ labels }) => [`${labels.kind} ${labels.provider}`, labels]));
  const rows = [...names.values()].map(({ kind, provider }) => {
    const good = figures.sum("voxtrad_provider_requests_total", { kind, provider, outcome: "ok" }) ?? 0;
    const failed = requests.filter(({ labels, value }) => labels.kind === kind && labels.provider === provider && labels.outcome !== "ok" && value > 0);
    const first = figures.quantile("voxtrad_stage_latency_seconds", 0.5, { stage: STAGE[kind], provider });
    const words = failed.map(({ labels, value }) => `${labels.outcome.replace("_", " ")} ${value.toLocaleString()}`).join(", ");
    return h(
      "tr",
      {},
      h("td", {}, h("abbr", { title: TITLE[kind] }, kind.toUpperCase())),
      h("th", { scope: "row" }, provider),
      h("td", { class: "figure" }, count(good)),
      h("td", { class: failed.length ? "bad" : "" }, words || "none"),
      h("td", { class: "figure" }, first === null ? "–" : ms(first)),
    );
  });
  if (!rows.length) return [h("p", { class: "empty" }, "No provider was asked yet.")];
  const head = ["Kind", "Provider", "Answered", "Failures", "First result"].map((name) => h("th", { scope: "col" }, name));
  return [h("table", { "aria-label": "Providers" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows))];
}

function webhookFacts(endpoints, waiting, dead, figures) {
  if (!endpoints.length) return [h("p", { class: "empty" }, "No webhook is configured.")];
  const oldest = figures.sum("voxtrad_webhook_oldest_seconds");
  const rows = endpoints.map(({ name, waiting, dead, disabled, answer }) =>
    h(
      "tr",
      {},
      h("th", { scope: "row" }, name),
      h("td", { class: "figure" }, count(waiting)),
      h("td", { class: `figure ${dead ? "bad" : ""}` }, count(dead)),
      h("td", { class: disabled ? "bad" : "" }, disabled ? ["disabled ", when(disabled)] : answer || "–"),
    ),
  );
  const head = ["Endpoint", "Waiting", "Given up", "Last answer"].map((name) => h("th", { scope: "col" }, name));
  return [
    facts([["Waiting", count(figures.sum("voxtrad_webhook_queue_depth"))], ["Oldest", oldest ? duration(oldest) : "–"]]),
    h("table", { "aria-label": "Webhook endpoints" }, h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)),
    ...letters("Waiting", waiting),
    ...letters("Given up", dead),
  ];
}

/** The newest of the messages in a state, and what became of the last try. */
function letters(title, messages) {
  if (!messages.length) return [];
  const items = messages.map(({ type, endpoint, attempts, answer, due, settled, queued }) =>
    h(
      "li",
      {},
      h("code", {}, type),
      ` to ${endpoint}: ${attempts === 1 ? "1 try" : `${attempts} tries`}${answer ? `, ${answer}` : ""}`,
      due ? [", next ", when(due)] : [", ", when(settled ?? queued)],
    ),
  );
  return [h("h3", {}, `${title}, newest first`), h("ul", { class: "letters" }, items)];
}

/** Quantiles are guessed out of a histogram's buckets. */
function about(seconds) {
  return seconds === null ? null : `≈ ${ms(seconds)}`;
}
