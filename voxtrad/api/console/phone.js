// The test phone: microphone and loudspeaker on one side, a websocket to the agent's pipeline on the other.

import { token } from "./api.js";

const RATE = 16000;
const WORKLET = new URL("./phone-worklet.js", import.meta.url);

/** Tells `state` ("idle", "ringing", "talking", "held"), `call` (its id), `note` and `level` by events. */
export class Phone extends EventTarget {
  constructor() {
    super();
    this.state = "idle";
    this.parts = null;
  }

  async call(agent) {
    if (this.state !== "idle") return;
    this.set("ringing");
    const parts = (this.parts = { contexts: [], nodes: [] });
    try {
      parts.stream = await microphone();
      await this.open(parts);
      if (this.parts === parts) this.connect(parts, agent);
    } catch (error) {
      this.end(parts, error.message);
    }
    if (this.parts !== parts) close(parts); // hung up while the browser asked for the microphone
  }

  hangUp() {
    if (!this.parts) return;
    this.send({ type: "hangup" });
    this.end(this.parts, "You hung up.");
  }

  press(digit) {
    this.send({ type: "digit", digit });
  }

  // --------------------------------------------------------------------------------------------------------------------

  /** One audio context at the agent's rate; where the browser cannot take the microphone into it, two. */
  async open(parts) {
    const speaker = await context(parts, { sampleRate: RATE });
    parts.speaker = processor(parts, speaker, (data) => this.tell(data));
    parts.speaker.connect(speaker.destination);
    try {
      speaker.createMediaStreamSource(parts.stream).connect(parts.speaker);
      parts.rate = speaker.sampleRate;
    } catch {
      const ear = await context(parts, {});
      const node = processor(parts, ear, ({ frame, said }) => this.tell(frame ? { frame } : { said }));
      ear.createMediaStreamSource(parts.stream).connect(node);
      node.connect(ear.destination);
      parts.rate = ear.sampleRate;
    }
  }

  connect(parts, agent) {
    const secret = token();
    const protocols = ["voxtrad.phone", ...(secret ? [`bearer.${base64url(secret)}`] : [])];
    const socket = (parts.socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/phone`, protocols));
    socket.binaryType = "arraybuffer";
    let greeted = false;
    socket.onopen = () => {
      greeted = true;
      this.send({ type: "start", agent, rate: parts.rate });
    };
    socket.onmessage = ({ data }) => {
      if (this.parts !== parts) return;
      if (data instanceof ArrayBuffer) parts.speaker.port.postMessage({ audio: data }, [data]);
      else this.obey(parts, JSON.parse(data));
    };
    socket.onclose = () => {
      const refused = "The server refused the phone: the token may lack the scope “calls”.";
      this.end(parts, greeted ? "The connection is closed." : refused);
    };
  }

  obey(parts, message) {
    switch (message.type) {
      case "call":
        this.dispatchEvent(new CustomEvent("call", { detail: message.id }));
        break;
      case "answered":
        this.set("talking");
        break;
      case "pause":
      case "resume":
        parts.speaker.port.postMessage({ paused: message.type === "pause" });
        break;
      case "flush":
        if (this.state === "held") this.set("talking");
        parts.speaker.port.postMessage({ flush: message.epoch });
        break;
      case "hold":
        this.set("held");
        break;
      case "status":
        this.refused = message.status;
        break;
      case "led-on":
        this.note(this.refused ? `Not taken: ${this.refused}.` : `Led on to ${message.extension ?? "the dialplan"}; a page cannot follow.`);
        break;
      case "digits":
        this.note(`The agent sent the digits ${message.digits}.`);
        break;
      case "ended":
        this.end(parts, `Over: ${message.cause}.`);
        break;
    }
  }

  /** From the audio thread. */
  tell(data) {
    const socket = this.parts?.socket;
    if (data.frame) {
      if (socket?.readyState === WebSocket.OPEN && this.state !== "idle") socket.send(data.frame);
    } else if (data.played !== undefined) {
      this.send({ type: "played", epoch: data.epoch, samples: data.played });
    } else if (data.flushed !== undefined) {
      this.send({ type: "flushed", epoch: data.flushed, samples: data.samples });
    } else {
      this.dispatchEvent(new CustomEvent("level", { detail: data }));
    }
  }

  send(message) {
    const socket = this.parts?.socket;
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
  }

  set(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }

  note(text) {
    this.dispatchEvent(new CustomEvent("note", { detail: text }));
  }

  end(parts, why) {
    if (this.parts !== parts) return;
    this.parts = null;
    this.refused = undefined;
    close(parts);
    this.note(why);
    this.set("idle");
  }
}

async function microphone() {
  if (!navigator.mediaDevices) throw new Error("A browser gives the microphone only over https or on localhost.");
  try {
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const words = { NotAllowedError: "The microphone was not allowed.", NotFoundError: "There is no microphone." };
    throw new Error(words[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
}

async function context(parts, options) {
  const made = new AudioContext({ latencyHint: "interactive", ...options });
  parts.contexts.push(made);
  await made.audioWorklet.addModule(WORKLET);
  await made.resume();
  return made;
}

function processor(parts, made, take) {
  const node = new AudioWorkletNode(made, "phone", { numberOfInputs: 1, numberOfOutputs: 1, outputChannelCount: [1] });
  node.port.onmessage = ({ data }) => take(data);
  parts.nodes.push(node);
  return node;
}

function close({ socket, stream, contexts, nodes }) {
  socket?.close();
  for (const track of stream?.getTracks() ?? []) track.stop();
  for (const node of nodes) node.disconnect();
  for (const made of contexts) if (made.state !== "closed") made.close();
}

function base64url(text) {
  const bytes = Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
  return btoa(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
