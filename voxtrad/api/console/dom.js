// What every view builds with: elements, and how times and numbers read. Text is only ever set as text.

/** An element: attributes, `on…` listeners, children (nodes, texts; what is null or false is left out). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, String(value));
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set a text only where it is another: a screen reader is told of changes alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** A part of a scale from 0 to 1, as the style sheet's `--name`; the policy allows no style attributes. */
export function setPart(element, name, part) {
  element.style.setProperty(`--${name}`, part.toFixed(4));
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function when(iso) {
  const date = new Date(iso);
  const today = new Date().toDateString() === date.toDateString();
  const text = today ? CLOCK.format(date) : `${DAY.format(date)}, ${CLOCK.format(date)}`;
  return h("time", { datetime: iso, title: FULL.format(date) }, text);
}

/** Seconds as minutes and seconds. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const minutes = Math.floor(whole / 60);
  return `${minutes}:${String(whole % 60).padStart(2, "0")}`;
}

/** A place in a call, in seconds from the ring. */
export function place(seconds) {
  const whole = Math.max(0, seconds);
  return `${Math.floor(whole / 60)}:${(whole % 60).toFixed(1).padStart(4, "0")}`;
}

export function ms(seconds) {
  return seconds >= 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds * 1000).toLocaleString()} ms`;
}

/** Who calls whom, for people. */
export function parties({ from, to, channel }) {
  const caller = channel?.startsWith("Browser/") ? "test phone" : from || "withheld";
  return to ? `${caller} → ${to}` : caller;
}

export function json(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** Work that is due every so often while the page is seen, until `signal` is aborted. */
export function every(milliseconds, signal, work) {
  let timer = 0;
  const next = async () => {
    if (!document.hidden) await work();
    if (!signal.aborted) timer = setTimeout(next, milliseconds);
  };
  signal.addEventListener("abort", () => clearTimeout(timer));
  return next();
}
