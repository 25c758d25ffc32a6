// The network, in a thread of its own: ONNX Runtime on WebAssembly. Messages in: {id, call, ...}; out: {id, value | error}.

import * as ort from "../runtime/ort.wasm.bundle.min.js";
import { Resampler } from "./signals.js";

ort.env.wasm.numThreads = 1; // more need headers that plain file servers do not send
ort.env.wasm.wasmPaths = { wasm: new URL("../runtime/ort-wasm-simd-threaded.wasm", import.meta.url).href };
ort.env.logLevel = "error";

const BLOCK = 1 << 19; // samples that are resampled between two reports

let session, graph;

async function bytesOf(url, id) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url.pathname.split("/").pop()} cannot be read from the server (${answer.status})`);
  const total = Number(answer.headers.get("Content-Length")) || 0, parts = [];
  let size = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    if (total) postMessage({ id, progress: Math.min(1, size / total) });
  }
  return new Uint8Array(await new Blob(parts).arrayBuffer());
}

const calls = {
  async open({ id, description }) {
    const model = await bytesOf(new URL("../model.onnx", import.meta.url), id);
    session = await ort.InferenceSession.create(model, { executionProviders: ["wasm"], graphOptimizationLevel: "all", logSeverityLevel: 3 });
    graph = description;
    return session.inputNames;
  },

  resample({ id, samples, from, to }) {
    const resampler = new Resampler(from, to), parts = [];
    for (let first = 0; first < samples.length; first += BLOCK) {
      parts.push(resampler.push(samples.subarray(first, first + BLOCK)));
      postMessage({ id, progress: first / samples.length });
    }
    parts.push(resampler.flush());
    const whole = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
    let at = 0;
    for (const part of parts) { whole.set(part, at); at += part.length; }
    return whole;
  },

  /** Run one clip (Float32Array); every output of it by name. */
  async run({ wave, names }) {
    const clips = graph.batch_size || 1, size = Math.max(wave.length, graph.samples || graph.min_samples);
    const padded = new Float32Array(clips * size);
    for (let i = 0; i < clips; i++) padded.set(wave, i * size);
    const inputs = { wave: new ort.Tensor("float32", padded, [clips, size]) };
    if (graph.takes_samples) {
      const own = BigInt(Math.max(wave.length, graph.min_samples));
      inputs.samples = new ort.Tensor("int64", new BigInt64Array(clips).fill(own), [clips]);
    }
    const outputs = await session.run(inputs, names), first = {};
    for (const name of names) {
      const { data, dims } = outputs[name];
      first[name] = Float32Array.from(data.subarray(0, data.length / dims[0]));
      outputs[name].dispose();
    }
    return first;
  },
};

onmessage = async ({ data }) => {
  try {
    postMessage({ id: data.id, value: await calls[data.call](data) });
  } catch (error) {
    postMessage({ id: data.id, error: String(error?.message ?? error) });
  }
};
