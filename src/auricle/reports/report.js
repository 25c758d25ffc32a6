"use strict";
(() => {
  const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
  const json = (id) => { const node = document.getElementById(id); return node ? JSON.parse(node.textContent) : null; };
  const store = json("store");
  const tip = document.getElementById("tip");

  // ---- sounds: one at a time, from the page's own store
  let player = null;
  let button = null;
  const stop = () => {
    if (player) player.pause();
    if (button) button.classList.remove("on");
    player = button = null;
  };
  const play = (key, from) => {
    const again = button === from;
    stop();
    if (again || !store.sounds[key]) return;
    player = new Audio("data:audio/mpeg;base64," + store.sounds[key]);
    button = from;
    from.classList.add("on");
    player.addEventListener("ended", stop);
    player.play().catch(stop);
  };
  all("button.play").forEach((node) => node.addEventListener("click", () => play(node.dataset.sound, node)));

  all("img[data-picture]").forEach((node) => { node.src = store.pictures[node.dataset.picture] || ""; });

  // ---- the read-out beside the pointer
  const show = (parts, x, y) => {
    tip.replaceChildren(...parts);
    tip.hidden = false;
    const box = tip.getBoundingClientRect();
    const left = x + 16 + box.width > innerWidth ? x - box.width - 16 : x + 16;
    tip.style.left = Math.max(6, Math.min(left, innerWidth - box.width - 6)) + "px";
    tip.style.top = Math.max(6, Math.min(y + 14, innerHeight - box.height - 6)) + "px";
  };
  const hide = () => { tip.hidden = true; };
  const line = (words, kind = "") => {
    const node = document.createElement("div");
    node.textContent = words;
    node.className = kind;
    return node;
  };
  const short = (value) => (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(5))));

  // ---- charts: the nearest value of every curve
  const scaled = (v, [low, high, start, end, log]) => {
    const f = log ? Math.log : Number;
    return start + ((f(v) - f(low)) / (f(high) - f(low) || 1)) * (end - start);
  };
  const nearest = (xs, at, frame) => xs.reduce((best, x, i) =>
    Math.abs(scaled(x, frame) - at) < Math.abs(scaled(xs[best], frame) - at) ? i : best, 0);
  all(".chart").forEach((figure) => {
    const data = JSON.parse(figure.dataset.chart);
    const svg = figure.querySelector("svg");
    const cursor = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cursor.setAttribute("class", "cursor");
    const leave = () => { cursor.remove(); hide(); };
    svg.addEventListener("pointermove", (event) => {
      const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse()).x;
      const picked = data.lines.map((l) => [l, nearest(l.x, at, data.x)]);
      const x = picked[0][0].x[picked[0][1]];
      cursor.setAttribute("d", `M${scaled(x, data.x)} ${data.y[3]}V${data.y[2]}`);
      svg.append(cursor);
      const rows = picked.map(([l, i]) => {
        const row = line(` ${data.lines.length > 1 ? l.name + ": " : ""}${short(l.y[i])}`);
        const key = document.createElement("i");
        key.className = `key c${l.c}`;
        row.prepend(key);
        return row;
      });
      show([line(`${data.label} ${short(x)}`, "soft"), ...rows], event.clientX, event.clientY);
    });
    svg.addEventListener("pointerleave", leave);
  });

  // ---- the map
  const tips = json("map-data");
  const map = document.querySelector("svg.map");
  if (map && tips) {
    const describe = (node) => {
      const clip = tips[node.dataset.i];
      const parts = [line(clip.id)];
      if (clip.true !== undefined) {
        const verdict = clip.right ? "recognised" : `taken for ${clip.predicted}`;
        parts.push(line(`${clip.true}: ${verdict}, score ${clip.p}`, "soft"));
      }
      if (clip.sound && store.pictures[clip.sound]) {
        const picture = new Image();
        picture.src = store.pictures[clip.sound];
        picture.alt = "spectrogram";
        parts.push(picture, line("click to play it", "soft"));
      }
      return parts;
    };
    const point = (event) => event.target.closest("path[data-i]");
    map.addEventListener("pointermove", (event) => {
      const node = point(event);
      if (node) show(describe(node), event.clientX, event.clientY); else hide();
    });
    map.addEventListener("pointerleave", hide);
    const sound = (node) => { const key = tips[node.dataset.i].sound; if (key) play(key, node); };
    map.addEventListener("click", (event) => { const node = point(event); if (node) sound(node); });
    map.addEventListener("focusin", (event) => {
      const node = point(event);
      if (!node || !node.matches(":focus-visible")) return;
      const box = node.getBoundingClientRect();
      show(describe(node), box.right, box.bottom);
    });
    map.addEventListener("focusout", hide);
    map.addEventListener("keydown", (event) => {
      const node = point(event);
      if (node && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); sound(node); }
    });
    const keys = all(".classes button");
    keys.forEach((key) => key.addEventListener("click", () => {
      key.setAttribute("aria-pressed", key.getAttribute("aria-pressed") !== "true");
      const chosen = new Set(keys.filter((k) => k.getAttribute("aria-pressed") === "true").map((k) => k.dataset.class));
      map.classList.toggle("some", chosen.size > 0);
      all("path[data-i]", map).forEach((node) => node.classList.toggle("chosen", chosen.has(node.dataset.class)));
    }));
  }
})();
