// Sound as numbers: rates, downmix, resampling, windows. No page here: the worker and the page share it.

const ZEROS = 76; // zero crossings of the kernel on each side
const PASSBAND = 0.957; // the cut-off, as a share of the lower of the two Nyquist frequencies
const BETA = 11; // of the Kaiser window: stop band below -110 dB

/** The sampling rate in the header of WAV, FLAC, Ogg or MP3 bytes (Uint8Array); null if it is none of them. */
export function rateInHeader(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const text = (at, size) => String.fromCharCode(...bytes.subarray(at, at + size));
  if (text(0, 4) === "RIFF" && text(8, 4) === "WAVE") {
    for (let at = 12; at + 16 <= bytes.length; at += 8 + view.getUint32(at + 4, true) + (view.getUint32(at + 4, true) & 1)) {
      if (text(at, 4) === "fmt ") return view.getUint32(at + 12, true) || null;
    }
    return null;
  }
  if (text(0, 4) === "fLaC" && bytes.length > 21) return (view.getUint32(18) >>> 12) || null;
  if (text(0, 4) === "OggS") {
    const start = 27 + bytes[26];
    if (text(start, 8) === "OpusHead") return 48000;
    if (text(start + 1, 6) === "vorbis") return view.getUint32(start + 12, true) || null;
    return null;
  }
  let at = 0;
  if (text(0, 3) === "ID3") at = 10 + ((bytes[6] & 127) << 21 | (bytes[7] & 127) << 14 | (bytes[8] & 127) << 7 | (bytes[9] & 127));
  if (at + 4 <= bytes.length && bytes[at] === 255 && bytes[at + 1] >= 0xe2 && (bytes[at + 1] & 6) !== 0) {
    const version = (bytes[at + 1] >> 3) & 3, index = (bytes[at + 2] >> 2) & 3;
    if (index < 3 && version !== 1) return [44100, 48000, 32000][index] / { 3: 1, 2: 2, 0: 4 }[version];
  }
  return null;
}

/** The mean of the channels (an array of Float32Array). */
export function downmix(channels) {
  if (channels.length === 1) return channels[0];
  const mixed = new Float32Array(channels[0].length);
  for (let i = 0; i < mixed.length; i++) {
    let sum = 0;
    for (const channel of channels) sum += channel[i];
    mixed[i] = sum / channels.length;
  }
  return mixed;
}

function bessel(x) { // the modified Bessel function I0
  let sum = 1, term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) { term *= (x / (2 * k)) ** 2; sum += term; }
  return sum;
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);

/** Resamples blocks of any size by a Kaiser-windowed sinc; equal to resampling the whole at once. */
export class Resampler {
  constructor(from, to) {
    const common = divisor(from, to);
    this.up = to / common;
    this.down = from / common;
    const cutoff = PASSBAND * Math.min(1, to / from); // 1: the Nyquist frequency of the source
    this.half = Math.ceil(ZEROS / cutoff);
    const phases = Math.min(this.up, 1024); // odd ratios have thousands of phases: the nearest of 1024 is interpolated
    this.exact = phases === this.up;
    this.kernels = Array.from({ length: phases + 1 }, (_, phase) => this.kernel(phase / phases, cutoff));
    this.phases = phases;
    this.held = new Float32Array(this.half); // silence before the beginning
    this.first = -this.half; // position of held[0] in the source
    this.next = 0; // index of the next output sample
    this.total = 0;
  }

  kernel(offset, cutoff) {
    const taps = new Float32Array(2 * this.half), window = bessel(BETA);
    let sum = 0;
    for (let i = 0; i < taps.length; i++) {
      const x = i - this.half + 1 - offset;
      const edge = 1 - (x / this.half) ** 2;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cutoff * x) / (Math.PI * cutoff * x);
      taps[i] = edge <= 0 ? 0 : cutoff * sinc * bessel(BETA * Math.sqrt(edge)) / window;
      sum += taps[i];
    }
    for (let i = 0; i < taps.length; i++) taps[i] /= sum; // a constant stays itself in every phase
    return taps;
  }

  push(block) {
    const joined = new Float32Array(this.held.length + block.length);
    joined.set(this.held);
    joined.set(block, this.held.length);
    this.total += block.length;
    this.held = joined;
    return this.ready(this.total - this.half);
  }

  /** What is left at the end; the output then has ceil(total * to / from) samples. */
  flush() {
    const end = this.total, padded = new Float32Array(this.held.length + this.half + 1);
    padded.set(this.held);
    this.held = padded;
    return this.ready(end);
  }

  ready(end) { // outputs whose centre lies before position `end` of the source
    const count = Math.max(0, Math.ceil(end * this.up / this.down) - this.next), out = new Float32Array(count);
    const { up, down, half, held, first, kernels, phases, exact } = this, taps = 2 * half;
    for (let i = 0; i < count; i++) {
      const position = (this.next + i) * down, whole = Math.floor(position / up), part = position - whole * up;
      const start = whole - half + 1 - first;
      if (exact) {
        const kernel = kernels[part];
        let sum = 0;
        for (let k = 0; k < taps; k++) sum += kernel[k] * held[start + k];
        out[i] = sum;
      } else {
        const place = part * phases / up, low = Math.floor(place), share = place - low, a = kernels[low], b = kernels[low + 1];
        let sum = 0;
        for (let k = 0; k < taps; k++) sum += (a[k] + share * (b[k] - a[k])) * held[start + k];
        out[i] = sum;
      }
    }
    this.next += count;
    const keep = Math.max(0, Math.min(held.length, Math.floor(this.next * down / up) - half + 1 - first));
    this.held = held.slice(keep);
    this.first += keep;
    return out;
  }
}

/** [start, stop) of the windows of `auricle tag`: a grid, and a last one moved back to the end. */
export function windowsOf(total, size, hop) {
  const found = [];
  let start = 0;
  for (; start + size <= total; start += hop) found.push([start, start + size]);
  const covered = start ? start - hop + size : 0;
  if (total > Math.max(covered, start)) found.push([Math.max(0, total - size), total]);
  return found;
}

/** [start, stop) of the calls of a bundle's runner: windows side by side, the last one moved back to the end. */
export function piecesOf(total, size) {
  const found = [];
  for (let first = 0; first < Math.max(1, total); first += size) {
    const start = Math.max(0, Math.min(first, total - size));
    found.push([start, Math.min(total, start + size)]);
  }
  return found;
}
