"""Draws the published accuracy of every AudioSet tagger against what it costs, from the hub's records.

python -m benchmarks.accuracy_cost docs/images/accuracy_cost.png [--table]

Cost: multiply-accumulates of a 10-s clip, counted on shapes by ``models.complexity``. Needs the [plots] extra.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

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


FAMILIES = (("mn", "MN", "#0072b2", "o"), ("dymn", "DyMN", "#d55e00", "s"))
SIDES = [  # offsets of a name from its point, the nearest first
    (6, -3), (-6, -3), (8, -16), (-8, 12), (8, 12), (-8, -16), (14, -26), (-14, 22), (14, 22), (-14, -26), (24, -36), (-24, 32),
]  # fmt: skip


def draw(found: list[tuple[str, str, float, float, float]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(11, 9), layout="constrained")
    for family, label, colour, marker in FAMILIES:
        mine = [row for row in found if row[1] == family]
        axes.scatter([r[4] for r in mine], [r[2] for r in mine], c=colour, marker=marker, s=26, label=label)
    axes.set_xscale("log")
    axes.set_xlim(right=26)
    axes.set_xlabel("multiply-accumulates of a 10-s clip, billions")
    axes.set_ylabel("published AudioSet mAP")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")
    name_points(figure, axes, [(name, macs, score) for name, _, score, _, macs in found])
    figure.savefig(path, dpi=110)


def name_points(figure: Any, axes: Any, points: list[tuple[str, float, float]]) -> None:
    """Write every name beside its point, on the first side where it covers no other name and no other point."""
    figure.canvas.draw()
    places = axes.transData.transform([(x, y) for _, x, y in points])
    taken: list[Any] = []
    for (name, x, y), place in zip(points, places):
        for dx, dy in SIDES:
            line = {"arrowstyle": "-", "lw": 0.5, "color": "#888888"} if abs(dy) > 3 else None
            text = axes.annotate(
                name.removesuffix("_as"),
                (x, y),
                (dx, dy),
                textcoords="offset points",
                fontsize=7.5,
                ha="left" if dx > 0 else "right",
                arrowprops=line,
            )
            box = text.get_window_extent()
            hits = any(box.overlaps(other) for other in taken)
            hits |= any(box.contains(*other) for other in places if tuple(other) != tuple(place))
            if not hits:
                taken.append(box)
                break
            text.remove()
        else:
            print(f"no place for the name {name}")


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
