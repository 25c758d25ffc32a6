// The microphone: blocks become samples at the model's rate, and every step the newest window is handed on.

import { MicrophoneInput, level } from "./microphone_input.js";
import { Resampler } from "./signals.js";

const WAITING = 2; // windows that may wait for the network before sound is skipped

export class Microphone {
  /**
   * `rate`: of the model; `size` and `hop`: samples of a window and a step; `first`: where the first, shorter one ends. `onWindow(samples, start, stop)` is awaited: it scores
   * one window, `start` and `stop` in seconds. `onLevel(decibels)`, `onEnd(reason)`: the microphone went away.
   */
  constructor({ rate, size, hop, first, onWindow, onLevel, onEnd }) {
    Object.assign(this, { rate, size, hop, onWindow, onLevel, onEnd });
    this.held = new Float32Array(size);
    this.received = 0; // samples at the model's rate
    this.next = first; // where the first window ends
    this.skipped = 0; // steps without an answer
    this.queue = Promise.resolve();
    this.queued = 0;
  }

  async start() {
    this.input = new MicrophoneInput((block) => this.take(block), this.onEnd);
    const rate = await this.input.open();
    this.resampler = rate === this.rate ? null : new Resampler(rate, this.rate);
    await this.input.start();
  }

  async stop() {
    this.input?.close();
    await this.queue;
  }

  take(block) {
    this.onLevel(level(block));
    const samples = this.resampler ? this.resampler.push(block) : block;
    for (let at = 0; at < samples.length; ) { // up to the next step, then a window
      const count = Math.min(samples.length - at, this.next - this.received);
      this.append(samples.subarray(at, at + count));
      at += count;
      if (this.received === this.next) this.hand();
    }
  }

  append(samples) {
    if (samples.length >= this.size) this.held.set(samples.subarray(samples.length - this.size));
    else {
      this.held.copyWithin(0, samples.length);
      this.held.set(samples, this.size - samples.length);
    }
    this.received += samples.length;
  }

  hand() {
    this.next += this.hop;
    if (this.queued >= WAITING) { this.skipped += 1; return; }
    const count = Math.min(this.size, this.received), stop = this.received / this.rate;
    const samples = this.held.slice(this.size - count);
    this.queued += 1;
    this.queue = this.queue
      .then(() => this.onWindow(samples, stop - count / this.rate, stop))
      .catch((error) => { this.onEnd(error.message); })
      .finally(() => { this.queued -= 1; });
  }
}
