// The agents as they are in effect, read only; where each value was written. Secrets do not leave the server.

import { get } from "./api.js";
import { h, setText } from "./dom.js";

export async function agentsView({ root, live, signal }) {
  const filter = h("input", { id: "filter", type: "search", placeholder: "stt, voice, greeting …" });
  const note = h("p", { class: "empty", role: "status" });
  const list = h("div", { class: "agents" });
  root.append(
    h("h1", {}, "Agents"),
    h("form", { class: "search", role: "search", onsubmit: (event) => event.preventDefault() }, h("div", {}, h("label", { for: "filter" }, "Settings with"), filter)),
    note,
    list,
  );
  let agents;
  try {
    agents = (await get("/v1/agents", {}, signal)).items;
  } catch (error) {
    if (!signal.aborted) setText(note, error.message);
    return;
  }
  const shown = agents.map((agent) => agentCard(agent, agents.length <= 3));
  list.append(...shown.map(({ element }) => element));
  filter.addEventListener("input", () => {
    const wanted = filter.value.trim().toLowerCase();
    const count = shown.reduce((sum, card) => sum + card.filter(wanted), 0);
    setText(note, wanted ? `${count} settings` : "");
  });
  const draw = () => shown.forEach((card) => card.count([...live.calls.values()]));
  live.addEventListener("change", draw, { signal });
  draw();
}

/** A text that the server quotes, as it was written. */
function plain(value) {
  if (!value.startsWith('"')) return value;
  try {
    return JSON.parse(value).trimEnd();
  } catch {
    return value;
  }
}

function agentCard(agent, open) {
  const busy = h("span", { class: "busy" });
  const rows = agent.settings.map(({ path, value, source }) => ({
    text: `${path} ${value}`.toLowerCase(),
    written: source !== null,
    element: h(
      "tr",
      { class: source === null ? "default" : "" },
      h("th", { scope: "row" }, path),
      h("td", {}, plain(value)),
      h("td", { class: "source" }, source === null ? "default" : source.split("/").slice(-2).join("/")),
    ),
  }));
  const all = h("input", { type: "checkbox" });
  const element = h(
    "details",
    { open },
    h("summary", {}, h("h2", {}, agent.name), busy),
    h("label", { class: "check" }, all, "defaults too"),
    h("table", { "aria-label": `Settings of ${agent.name}` }, h("tbody", {}, rows.map((row) => row.element))),
    h("a", { class: "call-it", href: `#/phone/${encodeURIComponent(agent.name)}` }, `Call ${agent.name}`),
  );
  let wanted = "";
  const draw = () => {
    for (const row of rows) row.element.hidden = !(row.text.includes(wanted) && (wanted || all.checked || row.written));
  };
  all.addEventListener("change", draw);
  draw();
  return {
    element,
    count(calls) {
      const own = calls.filter((call) => call.agent === agent.name).length;
      setText(busy, own === 0 ? "" : own === 1 ? "1 call" : `${own} calls`);
    },
    filter(text) {
      wanted = text;
      draw();
      return rows.filter((row) => !row.element.hidden).length;
    },
  };
}
