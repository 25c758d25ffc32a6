// The microphone: blocks become samples at the model's rate, and every step the newest window is handed on.

import { Resampler } from "./signals.js";

const STARTING = 5000; // milliseconds until the sound system must have started
const WAITING = 2; // windows that may wait for the network before sound is skipped

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it in the address bar or in the settings of the browser, then try again.",
  NotFoundError: "No microphone was found. Connect one, or choose a file.",
  NotReadableError: "The microphone cannot be read: another program may be using it.",
  OverconstrainedError: "No microphone was found that fits. Choose a file.",
};

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
    if (!navigator.mediaDevices?.getUserMedia || !window.AudioWorkletNode) {
      throw new Error("This browser gives pages no microphone here. Pages get one from https addresses and from localhost alone.");
    }
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    } catch (error) {
      throw new Error(REASONS[error.name] ?? `The microphone cannot be opened: ${error.message}`);
    }
    this.context = new AudioContext();
    await this.context.audioWorklet.addModule(new URL("microphone.js", import.meta.url));
    this.resampler = this.context.sampleRate === this.rate ? null : new Resampler(this.context.sampleRate, this.rate);
    this.node = new AudioWorkletNode(this.context, "microphone", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.take(data);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    const started = this.context.resume().then(() => true), late = new Promise((resolve) => { setTimeout(resolve, STARTING, false); });
    if (!(await Promise.race([started, late]))) throw new Error("The sound of this browser does not start: the device may have no sound card. Choose a file.");
    for (const track of this.stream.getAudioTracks()) track.onended = () => this.onEnd("The microphone went away.");
  }

  async stop() {
    for (const track of this.stream?.getTracks() ?? []) { track.onended = null; track.stop(); }
    if (this.node) this.node.port.onmessage = null;
    this.context?.close().catch(() => {}); // not awaited: without a sound card it never ends
    await this.queue;
  }

  take(block) {
    let power = 0;
    for (const value of block) power += value * value;
    this.onLevel(10 * Math.log10(Math.max(power / block.length, 1e-9)));
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
