// One sound at a time: the player of all views.

import { audioOf } from "./api.js";

const audio = new Audio();
audio.preload = "auto";
let playing = null, opened = "", stopAt = Infinity;
const listeners = new Set();

/** Call `listener({recording, time, playing, key})` while a sound plays, and when it stops. Returns the function that ends it. */
export function onPlayer(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = () => {
  const now = { recording: opened, time: audio.currentTime, playing: !audio.paused, key: playing };
  for (const listener of listeners) listener(now);
};

function tick() {
  if (audio.currentTime >= stopAt) audio.pause();
  tell();
  if (!audio.paused) requestAnimationFrame(tick);
}

audio.onplay = () => requestAnimationFrame(tick);
audio.onpause = audio.onseeked = audio.onended = tell;

const ready = (event) => new Promise((resolve, reject) => {
  const done = (act, value) => { audio.removeEventListener(event, good); audio.removeEventListener("error", bad); act(value); };
  const good = () => done(resolve), bad = () => done(reject, new Error("This browser cannot play this recording."));
  audio.addEventListener(event, good);
  audio.addEventListener("error", bad);
});

async function open(recording) {
  if (opened === recording && audio.readyState > 0) return;
  opened = recording;
  audio.src = audioOf(recording);
  if (audio.readyState === 0) await ready("loadedmetadata");
}

/** Play a recording from `start` to `end` seconds. `key`: what plays, for buttons that show it. */
export async function play(recording, start = 0, end = Infinity, key = recording) {
  playing = key;
  stopAt = Infinity;
  try {
    await open(recording);
    if (playing !== key) return;
    if (Math.abs(audio.currentTime - start) > 0.02) audio.currentTime = start;
    stopAt = end;
    await audio.play();
  } catch (error) {
    if (error.name !== "AbortError" && error.name !== "NotAllowedError") throw error;
  }
}

export function stop() {
  audio.pause();
}

export const isPlaying = (key) => playing === key && !audio.paused;
export const position = (recording) => (opened === recording ? audio.currentTime : 0);

/** Move the position without starting. */
export async function seek(recording, time) {
  await open(recording);
  stopAt = Infinity;
  audio.currentTime = time;
}

export function toggle(recording, start, end, key) {
  if (isPlaying(key ?? recording)) { stop(); return null; }
  return play(recording, start, end, key);
}
