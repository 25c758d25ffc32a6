// Requests to the server, and jobs that are followed to their end.

const POLL = 1000; // milliseconds between two looks at a job, where events do not arrive

/** A refusal of the server, in its words. `status`: of HTTP; 0: the server cannot be reached. */
class ApiError extends Error {
  constructor(message, status = 0, code = "") {
    super(message);
    Object.assign(this, { name: "ApiError", status, code });
  }
}

const address = (path, query = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return given.length ? `/api/${path}?${new URLSearchParams(given)}` : `/api/${path}`;
};

function refusal(status, text) {
  try {
    const { message, code } = JSON.parse(text).error;
    return new ApiError(message, status, code);
  } catch {
    return new ApiError(status ? `The server answered with status ${status}.` : "The server cannot be reached. Is 'auricle serve' still running?", status);
  }
}

async function ask(method, path, { query, body, signal } = {}) {
  const options = { method, signal, headers: body === undefined ? {} : { "Content-Type": "application/json" }, body: body === undefined ? undefined : JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address(path, query), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw refusal(0, "");
  }
  const text = await answer.text();
  if (!answer.ok) throw refusal(answer.status, text);
  return text ? JSON.parse(text) : null;
}

export const get = (path, query, signal) => ask("GET", path, { query, signal });
export const post = (path, body = {}, signal) => ask("POST", path, { body, signal });
export const remove = (path) => ask("DELETE", path);

// ---- addresses of what a recording has
export const audioOf = (id) => address(`recordings/${id}/audio`);
export const spectrogramOf = (id, query) => address(`recordings/${id}/spectrogram.png`, query);
export const downloadOf = (id, format, model) => address(`recordings/${id}/download`, { format, model });
export const tableOf = () => address("labels.csv");
export const reportOf = (id) => address(`runs/${id}/report`);

/** Send one file; resolves to its recording. `onProgress(share)`: of the bytes. An AbortSignal stops it. */
export function upload(file, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(), form = new FormData();
    form.append("files", file, file.name);
    request.open("POST", address("recordings"));
    request.upload.onprogress = ({ loaded, total }) => onProgress(total ? loaded / total : 0);
    request.onerror = () => reject(refusal(0, ""));
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    request.onload = () => {
      if (request.status >= 400) return reject(refusal(request.status, request.responseText));
      const [first] = JSON.parse(request.responseText).files;
      if (first.error) return reject(new ApiError(first.error.message, 422, first.error.code));
      return resolve(first.recording);
    };
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

const ENDED = ["done", "failed", "cancelled"];

/** Follow a job: resolves to its last state when it is done, rejects when it failed or was cancelled. `onPartial(result)`: of results before the end. */
export function followJob(id, onChange = () => {}, onPartial = () => {}) {
  return new Promise((resolve, reject) => {
    const events = new EventSource(address(`jobs/${id}/events`));
    let over = false;
    const change = (job) => {
      if (over) return;
      onChange(job);
      if (!ENDED.includes(job.state)) return;
      over = true;
      events.close();
      if (job.state === "done") resolve(job);
      else reject(new ApiError(job.state === "cancelled" ? "The job was cancelled." : job.error || "The job failed.", 0, job.state));
    };
    const poll = async () => {
      while (!over) {
        try { change(await get(`jobs/${id}`)); } catch (error) { over = true; reject(error); }
        await new Promise((next) => { setTimeout(next, POLL); });
      }
    };
    for (const kind of ["progress", "end"]) events.addEventListener(kind, ({ data }) => change(JSON.parse(data)));
    events.addEventListener("partial", ({ data }) => onPartial(JSON.parse(data)));
    events.onerror = () => { events.close(); if (!over) poll(); }; // a proxy that holds events back, or a server that restarted
  });
}
