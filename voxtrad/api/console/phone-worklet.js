// The audio thread of the test phone: the microphone becomes frames of 20 ms, and what the agent says waits here and is
// played at the audio clock's pace. What was heard is counted here, where it is known best.

const REPORT = 0.1; // seconds between reports

class Phone extends AudioWorkletProcessor {
  constructor() {
    super();
    this.frame = new Int16Array(Math.round(sampleRate * 0.02));
    this.filled = 0;
    this.queue = [];
    this.offset = 0;
    this.epoch = 0;
    this.played = 0;
    this.reported = 0;
    this.paused = false;
    this.heard = 0;
    this.said = 0;
    this.due = 0;
    this.port.onmessage = ({ data }) => this.obey(data);
  }

  obey({ audio, paused, flush }) {
    if (audio) this.queue.push(new Int16Array(audio));
    if (paused !== undefined) {
      this.paused = paused;
      this.report(true);
    }
    if (flush !== undefined) {
      this.port.postMessage({ flushed: flush, samples: this.played });
      [this.queue, this.offset, this.epoch, this.played, this.reported, this.paused] = [[], 0, flush, 0, 0, false];
    }
  }

  process([input], [output]) {
    this.listen(input[0]);
    this.play(output[0]);
    for (const other of output.slice(1)) other.set(output[0]);
    this.due -= output[0].length / sampleRate;
    if (this.due <= 0) this.report(false);
    return true;
  }

  listen(samples) {
    if (!samples) return;
    for (const sample of samples) {
      const bounded = Math.max(-1, Math.min(1, sample));
      this.said = Math.max(this.said, Math.abs(bounded));
      this.frame[this.filled++] = bounded * 32767;
      if (this.filled === this.frame.length) {
        this.port.postMessage({ frame: this.frame.slice().buffer });
        this.filled = 0;
      }
    }
  }

  play(output) {
    if (this.paused) return;
    let at = 0;
    while (at < output.length && this.queue.length) {
      const piece = this.queue[0];
      const count = Math.min(output.length - at, piece.length - this.offset);
      for (let index = 0; index < count; index++) {
        const sample = piece[this.offset + index] / 32768;
        this.heard = Math.max(this.heard, Math.abs(sample));
        output[at + index] = sample;
      }
      at += count;
      this.offset += count;
      if (this.offset === piece.length) {
        this.queue.shift();
        this.offset = 0;
      }
    }
    this.played += at;
    if (at && !this.queue.length) this.report(true);
  }

  report(now) {
    if (this.played !== this.reported || now) {
      this.reported = this.played;
      this.port.postMessage({ played: this.played, epoch: this.epoch });
    }
    if (this.due <= 0) {
      this.due = REPORT;
      this.port.postMessage({ said: this.said, heard: this.heard });
      this.said = this.heard = 0;
    }
  }
}

registerProcessor("phone", Phone);
