// The page's side of the worker.

export class Network {
  constructor() {
    this.worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data }) => {
      const call = this.waiting.get(data.id);
      if (!call) return;
      if ("progress" in data) return call.progress?.(data.progress);
      this.waiting.delete(data.id);
      if ("error" in data) call.reject(new Error(data.error)); else call.resolve(data.value);
    };
    this.worker.onerror = (event) => {
      event.preventDefault?.();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || "the network's thread cannot be started"));
      this.waiting.clear();
    };
  }

  call(name, values = {}, { progress, transfer = [] } = {}) {
    return new Promise((resolve, reject) => {
      const id = ++this.count;
      this.waiting.set(id, { resolve, reject, progress });
      this.worker.postMessage({ id, call: name, ...values }, transfer);
    });
  }

  open(description, progress) {
    return this.call("open", { description }, { progress });
  }

  resample(samples, from, to, progress) {
    return from === to ? Promise.resolve(samples) : this.call("resample", { samples, from, to }, { progress, transfer: [samples.buffer] });
  }

  /** The outputs `names` of one window: `samples` from `start` to `stop`. */
  run(samples, [start, stop], names) {
    const wave = samples.slice(start, stop);
    return this.call("run", { wave, names }, { transfer: [wave.buffer] });
  }
}
