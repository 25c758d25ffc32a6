// Jobs that run: followed, shown at the foot of the page, and cancelled.

import { followJob, get, post, remove } from "./api.js";
import { iconButton } from "./controls.js";
import { at, element } from "./parts.js";

const shown = new Map(); // id: its row

/**
 * Begin a job and follow it; its row at the foot of the page has a button that cancels it. `path`: of the route that makes it,
 * `title`: what people read. Resolves to its result.
 */
export async function runJob(path, body, title, { onChange = () => {}, onPartial = () => {} } = {}) {
  return follow(await post(path, body), title, onChange, onPartial);
}

async function follow(job, title, onChange, onPartial) {
  const row = rowOf(job, title);
  try {
    const ended = await followJob(job.id, (now) => { row.update(now); onChange(now); }, onPartial);
    return ended.result;
  } finally {
    row.remove();
    shown.delete(job.id);
    at("jobs").hidden = !shown.size;
  }
}

function rowOf(job, title) {
  const name = element("span", {}, title), message = element("small", {}, "waits"), bar = element("progress", { max: 1, value: 0, ariaLabel: title });
  const stop = iconButton("close", `Cancel: ${title}`, () => { stop.disabled = true; remove(`jobs/${job.id}`).catch(() => {}); });
  const row = element("div", { className: "job" }, element("div", {}, name, message), stop, bar);
  row.update = ({ state, progress, message: text }) => {
    bar.value = progress;
    message.textContent = state === "queued" ? "waits" : text || `${Math.round(100 * progress)} %`;
  };
  shown.set(job.id, row);
  at("jobs").append(row);
  at("jobs").hidden = false;
  return row;
}

const TITLES = { tag: "Labels of recordings", train: "A head is trained", compare: "Two models" };

/** Show jobs that an earlier page began. `onEnd()` when one of them is done. */
export async function followEarlier(onEnd) {
  const { jobs } = await get("jobs");
  for (const job of jobs) {
    if (["queued", "running"].includes(job.state) && !shown.has(job.id)) follow(job, TITLES[job.kind] ?? job.kind, () => {}, () => {}).then(onEnd, () => {});
  }
}
