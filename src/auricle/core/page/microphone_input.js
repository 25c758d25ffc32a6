// Opens the microphone: blocks of samples, the mean of its channels, at the rate of the sound card.

const STARTING = 5000; // milliseconds until the sound system must have started

const REASONS = {
  NotAllowedError: "The browser was not allowed to use the microphone. Allow it in the address bar or in the settings of the browser, then try again.",
  NotFoundError: "No microphone was found. Connect one, or choose a file.",
  NotReadableError: "The microphone cannot be read: another program may be using it.",
  OverconstrainedError: "No microphone was found that fits. Choose a file.",
};

/** `onBlock(samples)`: a Float32Array. `onEnd(reason)`: the microphone went away. */
export class MicrophoneInput {
  constructor(onBlock, onEnd) {
    Object.assign(this, { onBlock, onEnd });
  }

  /** Ask for the microphone; resolves to the sampling rate in Hz, and rejects with an error for people. Call `start` then. */
  async open() {
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
    return this.context.sampleRate;
  }

  /** Begin to hand over blocks. */
  async start() {
    this.node = new AudioWorkletNode(this.context, "microphone", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data }) => this.onBlock(data);
    this.context.createMediaStreamSource(this.stream).connect(this.node);
    const started = this.context.resume().then(() => true), late = new Promise((resolve) => { setTimeout(resolve, STARTING, false); });
    if (!(await Promise.race([started, late]))) throw new Error("The sound of this browser does not start: the device may have no sound card. Choose a file.");
    for (const track of this.stream.getAudioTracks()) track.onended = () => this.onEnd("The microphone went away.");
  }

  close() {
    for (const track of this.stream?.getTracks() ?? []) { track.onended = null; track.stop(); }
    if (this.node) this.node.port.onmessage = null;
    this.context?.close().catch(() => {}); // not awaited: without a sound card it never ends
  }
}

/** The level of a block in decibels below full scale. */
export function level(block) {
  let power = 0;
  for (const value of block) power += value * value;
  return 10 * Math.log10(Math.max(power / block.length, 1e-9));
}
