// The golden clips of the certificate, replayed in this browser: golden.npz is a zip of NumPy arrays.

import { piecesOf } from "./signals.js";

const RELATIVE = ["embedding", "frames"]; // their limit is times the largest value, where that is above 1

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The arrays of an .npz file by name: {data, shape}. */
export async function readArrays(buffer) {
  const view = new DataView(buffer), bytes = new Uint8Array(buffer), text = new TextDecoder();
  let end = buffer.byteLength - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error("golden.npz is no zip file");
  const found = new Map();
  let at = view.getUint32(end + 16, true);
  for (let left = view.getUint16(end + 10, true); left > 0; left--) {
    const method = view.getUint16(at + 10, true), size = view.getUint32(at + 20, true), name = view.getUint16(at + 28, true);
    const local = view.getUint32(at + 42, true);
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    const packed = bytes.subarray(start, start + size);
    const array = arrayOf(method === 8 ? await inflated(packed) : packed.slice());
    found.set(text.decode(bytes.subarray(at + 46, at + 46 + name)).replace(/\.npy$/, ""), array);
    at += 46 + name + view.getUint16(at + 30, true) + view.getUint16(at + 32, true);
  }
  return found;
}

function arrayOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset), long = bytes[6] > 1;
  const start = (long ? 12 : 10) + (long ? view.getUint32(8, true) : view.getUint16(8, true));
  const header = new TextDecoder().decode(bytes.subarray(long ? 12 : 10, start));
  const kind = { "<i2": Int16Array, "<f4": Float32Array, "<f8": Float64Array, "<i8": BigInt64Array }[/'descr': '([^']+)'/.exec(header)?.[1]];
  if (!kind) throw new Error(`an array of golden.npz has an unknown type (${header.slice(0, 40)})`);
  const shape = /'shape': \(([^)]*)\)/.exec(header)[1].split(",").filter((n) => n.trim()).map(Number);
  return { data: new kind(bytes.slice(start).buffer), shape };
}

/**
 * Replay every clip. Yields {clip, seconds, errors: {output: largest difference}, over: [outputs beyond their limit]}.
 */
export async function* replayGolden(network, description, certificate, buffer) {
  const arrays = await readArrays(buffer);
  const outputs = description.heads.flatMap((head) => [head.scores, head.logits]).concat("embedding");
  for (const name of [...arrays.keys()].filter((key) => key.endsWith("/wave")).map((key) => key.slice(0, -5))) {
    const samples = Float32Array.from(arrays.get(`${name}/wave`).data, (value) => value / 32768);
    const errors = Object.fromEntries(outputs.map((output) => [output, 0])), largest = { ...errors };
    for (const [row, piece] of piecesOf(samples.length, description.window_samples).entries()) {
      const found = await network.run(samples, piece, outputs);
      for (const output of outputs) {
        const { data, shape } = arrays.get(`${name}/${output}`), width = data.length / shape[0];
        for (let i = 0; i < width; i++) {
          const expected = data[row * width + i], error = Math.abs(found[output][i] - expected);
          errors[output] = Math.max(errors[output], Number.isNaN(error) ? Infinity : error);
          largest[output] = Math.max(largest[output], Math.abs(expected));
        }
      }
    }
    const limit = (output) => {
      const kind = output.split("_")[0], set = certificate.tolerances?.[output] ?? certificate.tolerances?.[kind];
      return set === undefined ? Infinity : set * (RELATIVE.includes(kind) ? Math.max(1, largest[output]) : 1);
    };
    yield { clip: name, seconds: samples.length / description.sample_rate, errors, over: outputs.filter((o) => !(errors[o] <= limit(o))) };
  }
}
