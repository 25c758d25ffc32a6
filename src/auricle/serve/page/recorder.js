// A recording from the microphone, as a WAV file of 16 bits.

import { MicrophoneInput, level } from "./microphone_input.js";

const LONGEST = 10 * 60; // seconds

export class Recorder {
  /** `onLevel(decibels, seconds)` while it records; `onEnd(file, reason)` when it ends by itself. */
  constructor(onLevel, onEnd) {
    Object.assign(this, { onLevel, onEnd });
    this.blocks = [];
    this.samples = 0;
  }

  async start() {
    this.input = new MicrophoneInput((block) => this.take(block), (reason) => this.onEnd(this.stop(), reason));
    this.rate = await this.input.open();
    await this.input.start();
  }

  take(block) {
    this.blocks.push(block);
    this.samples += block.length;
    this.onLevel(level(block), this.samples / this.rate);
    if (this.samples >= LONGEST * this.rate) this.onEnd(this.stop(), `A recording lasts ${LONGEST / 60} minutes at most.`);
  }

  /** The file; null if nothing was recorded. */
  stop() {
    this.input?.close();
    return this.samples ? new File([wav(this.blocks, this.samples, this.rate)], `recording-${stamp(new Date())}.wav`, { type: "audio/wav" }) : null;
  }
}

/** Date and time as recorders write them: the names of files that `auricle` reads times from. */
function stamp(date) {
  const two = (n) => String(n).padStart(2, "0");
  return `${date.getFullYear()}${two(date.getMonth() + 1)}${two(date.getDate())}_${two(date.getHours())}${two(date.getMinutes())}${two(date.getSeconds())}`;
}

function wav(blocks, count, rate) {
  const bytes = new ArrayBuffer(44 + 2 * count), view = new DataView(bytes);
  const text = (at, value) => { for (let i = 0; i < value.length; i++) view.setUint8(at + i, value.charCodeAt(i)); };
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * count, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, rate, true); view.setUint32(28, 2 * rate, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * count, true);
  let at = 44;
  for (const block of blocks) for (const value of block) { view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(32768 * value))), true); at += 2; }
  return bytes;
}
