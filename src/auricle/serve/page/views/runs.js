// Runs: what was trained, with its reports.

import { get, reportOf } from "../api.js";
import { chips, command, count, emptyState, link, small } from "../controls.js";
import { element } from "../parts.js";

export async function runsView() {
  const { runs } = await get("runs");
  if (!runs.length) {
    return { title: "Runs", node: emptyState("No runs to show", ["Name the folder that holds your run folders; heads that are trained on this page appear here, too.", command("auricle serve FOLDER --model MODEL --runs runs")]) };
  }
  const cards = runs.map((run) => {
    const made = run.modified ? new Date(1000 * run.modified).toLocaleString([], { dateStyle: "medium", timeStyle: "short" }) : "";
    const scores = Object.entries(run.scores ?? {}).map(([label, score]) => ({ label, score }));
    return element("li", { className: "card run" }, element("h2", {}, run.name), small([run.kind, run.model, made].filter(Boolean).join(" · ")), chips(scores, 4),
      run.report ? link("Open the report", reportOf(run.id), { className: "button", target: "_blank", rel: "noopener" }) : small("No report yet: ‘auricle report RUN’ writes one."));
  });
  return { title: "Runs", node: element("div", {}, element("div", { className: "head" }, element("h1", {}, count(runs.length, "run"))), element("ul", { className: "cards" }, ...cards)) };
}
