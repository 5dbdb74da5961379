// The server's API: requests with the token, problems as errors, and the stream of events with resume.

const KEY = "voxtrad.token";

export class Problem extends Error {
  constructor(status, detail, more = {}) {
    super(detail);
    this.status = status;
    this.more = more;
  }
}

export function token() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function keepToken(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

let ask = null;

/** Who asks the operator for a token; it is awaited, and the request goes again. */
export function onTokenNeeded(handler) {
  ask = handler;
}

async function request(path, options) {
  for (;;) {
    const sent = token();
    const headers = { ...options.headers };
    if (sent) headers.Authorization = `Bearer ${sent}`;
    let answer;
    try {
      answer = await fetch(path, { ...options, headers, cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem(0, "the server does not answer");
    }
    if (answer.status !== 401 || ask === null) return answer;
    if (sent === token()) await ask(sent); // otherwise another request has brought a new one meanwhile
  }
}

async function problemOf(answer) {
  const body = await answer.json().catch(() => ({}));
  return new Problem(answer.status, body.detail ?? answer.statusText, body);
}

async function checked(answer) {
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/** GET, as JSON. Values of the query that are empty are left out. */
export async function get(path, query = {}, signal = undefined) {
  const wanted = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  const text = wanted.toString();
  return (await checked(await request(text ? `${path}?${text}` : path, { signal }))).json();
}

export async function post(path, body = {}) {
  const headers = { "Content-Type": "application/json" };
  await checked(await request(path, { method: "POST", headers, body: JSON.stringify(body) }));
}

export async function getText(path, signal) {
  return (await checked(await request(path, { signal }))).text();
}

export async function getBlob(path, signal) {
  return (await checked(await request(path, { signal }))).blob();
}

const RETRY = [500, 1000, 2000, 5000, 10000];

/**
 * Follow the live events until `signal` is aborted. `take` gets each event, `connected` is told of every connection,
 * with whether events may have been missed. `from` "start" asks for all that the server still has.
 */
export async function follow(query, { signal, take, connected = () => {}, lost = () => {}, from = null }) {
  let last = from;
  for (let failures = 0; !signal.aborted; ) {
    try {
      const headers = last === null ? {} : { "Last-Event-ID": last };
      const path = `/v1/events?${new URLSearchParams(query)}`;
      const answer = await checked(await request(path, { headers, signal }));
      connected(last === null);
      failures = 0;
      for await (const block of blocks(answer.body)) {
        if (block.id) last = block.id;
        if (block.event === "gap") connected(true);
        else if (block.data) take(JSON.parse(block.data));
      }
    } catch (error) {
      if (signal.aborted) return;
      lost(error);
      if (error instanceof Problem && error.status === 403) return;
    }
    await pause(RETRY[Math.min(failures++, RETRY.length - 1)], signal);
  }
}

/** The blocks of a stream of server-sent events. */
async function* blocks(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const block = { data: "", event: "", id: "" };
      for (const line of text.slice(0, end).split("\n")) {
        const colon = line.indexOf(":");
        const name = line.slice(0, colon);
        if (name in block) block[name] += line.slice(colon + 1).trimStart();
      }
      yield block;
    }
  }
}

function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
  });
}
