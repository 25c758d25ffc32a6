"""Draws the published accuracy of every AudioSet tagger against what it costs, from the hub's records.

python -m benchmarks.accuracy_cost docs/images/accuracy_cost.png [--table]

Cost: multiply-accumulates of a 10-s clip, counted on shapes by ``models.complexity``. Needs the [plots] extra.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from auricle.hub.published.table import list_models
from auricle.models.efficientat.complexity import complexity
from auricle.models.registry import build


def rows() -> list[tuple[str, str, float, float, float]]:
    """(name, family, mAP, million parameters, billion multiply-accumulates), cheapest first."""
    found = []
    for record in [*list_models(family="mn"), *list_models(family="dymn")]:
        if record.score is None or "(" in record.name:
            continue
        cost = complexity(build({"family": record.family, "config": asdict(record.config)}))
        found.append((record.name, record.family, record.score, cost.parameters / 1e6, cost.macs / 1e9))
    return sorted(found, key=lambda row: row[4])


def draw(found: list[tuple[str, str, float, float, float]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 5.5), layout="constrained")
    for family, colour, marker in (("mn", "#0072b2", "o"), ("dymn", "#d55e00", "s")):
        mine = [row for row in found if row[1] == family]
        axes.scatter(
            [r[4] for r in mine],
            [r[2] for r in mine],
            c=colour,
            marker=marker,
            s=28,
            label={"mn": "MN", "dymn": "DyMN"}[family],
        )
        for name, _, score, _, macs in mine:
            if name.endswith("_as"):  # the others are variants of mn10 and mn40
                axes.annotate(
                    name.removesuffix("_as"), (macs, score), xytext=(6, -10), textcoords="offset points", fontsize=9
                )
    axes.set_xscale("log")
    axes.set_xlabel("multiply-accumulates of a 10-s clip, billions")
    axes.set_ylabel("published AudioSet mAP")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", nargs="?", help="PNG to write")
    parser.add_argument("--table", action="store_true", help="print a Markdown table")
    args = parser.parse_args()
    found = rows()
    if args.table or not args.picture:
        print("| name | mAP | parameters, M | MACs, G |\n|---|---|---|---|")
        print("\n".join(f"| {n} | {score:.3f} | {p:.2f} | {macs:.3f} |" for n, _, score, p, macs in found))
    if args.picture:
        draw(found, args.picture)


if __name__ == "__main__":
    main()
