"""The tables and figures of ``docs/scale-plan.md``. A table stands between ``<!-- table NAME -->`` and ``<!-- end -->``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.scale_plan.assumptions import TAG_MACHINES
from benchmarks.scale_plan.plan import Costs
from benchmarks.scale_plan.results import results
from benchmarks.scale_plan.validation import (
    PROCESSOR,
    WALL,
    compare_tagging,
    compare_training,
    validation_table,
)

PAGE = Path("docs/scale-plan.md")
IMAGES = Path("docs/images")
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#d55e00", "#009e73", "#9aa5b1"
COLOURS = {"log-mel": GREEN, "FLAC": BLUE, "MP3": ORANGE}
Row = dict[str, Any]


# ---- tables
def table(head: str, rows: list[list[str]]) -> str:
    """Return a Markdown table; the first column is text, the others are numbers."""
    columns = head.count("|") + 1
    return "\n".join(
        [f"| {head} |", "|---" + "|---:" * (columns - 1) + "|", *(f"| {' | '.join(row)} |" for row in rows)]
    )


def cost_table() -> str:
    costs = Costs(**results()["costs"])
    crops = [[f"a crop of 6.08 s from {form}", f"{1e3 * seconds:.2f} ms"] for form, seconds in costs.crops.items()]
    return table(
        "one core | measured",
        [
            *crops,
            [f"tagging a clip of {costs.audio:.1f} s (Ogg Vorbis, 44.1 kHz)", f"{1e3 * costs.clip:.2f} ms"],
            ["… of which decoding, resampling and handing over", f"{1e3 * costs.decode:.2f} ms"],
            ["the same work while the other core is busy", f"{costs.slowdown:.2f} times"],
            ["start of a command and its worker", f"{costs.start:.1f} s"],
            ["writing a checkpoint", f"{costs.checkpoint / 1e6:.0f} MB/s"],
        ],
    )


def train_table(rows: list[Row]) -> str:
    lines = []
    for row in rows:
        lines.append(
            [
                f"{row['corpus']}, {row['batch']:,} crops, {row['form']}",
                str(row["gpus"]),
                f"{row['ms']:.0f}",
                f"{row['device_ms'] / row['ms']:.0%}",
                f"{row['hours']:.1f}",
                f"{row['gpu_hours']:,.0f}",
                f"{row['dollars']:,.0f}",
                row["limit"],
            ]
        )
    return table("run | GPUs | ms an update | GPUs compute | hours | GPU hours | dollars | limited by", lines)


def sensitivity_table(rows: list[Row]) -> str:
    base = rows[0]["hours"]
    return table(
        "changed | hours | against | dollars | limited by",
        [
            [
                row["changed"],
                f"{row['hours']:.2f}",
                f"{row['hours'] / base:.2f}",
                f"{row['dollars']:,.0f}",
                row["limit"],
            ]
            for row in rows
        ],
    )


def tag_table(rows: list[Row]) -> str:
    cores = {row["workers"]: row for row in rows if row["kind"] == "cores"}
    gpus = {row["workers"]: row for row in rows if row["kind"] == "GPUs"}
    lines = [
        [
            str(workers),
            f"{row['hours']:,.1f}",
            f"{row['worker_hours'] / TAG_MACHINES.cores:,.0f}",
            f"{row['dollars']:,.0f}",
            f"{gpus[workers]['hours']:,.2f}",
            f"{gpus[workers]['worker_hours']:,.0f}",
            f"{gpus[workers]['dollars']:,.0f}",
            f"{gpus[workers]['storage']:.0%}",
        ]
        for workers, row in cores.items()
    ]
    head = "workers | cores: hours | machine hours | dollars | GPUs: hours | GPU hours | dollars | storage used by the GPUs"
    return table(head, lines)


def shard_table(sweep: dict[str, list[Row]]) -> str:
    kinds = list(sweep)
    lines = []
    for place, first in enumerate(sweep[kinds[0]]):
        size = first["shard_hours"] * 3600 * TAG_MACHINES.bytes / 1e9
        lines.append([f"{first['shard_hours']} h, {size:.2g} GB", *(f"{sweep[k][place]['hours']:.2f}" for k in kinds)])
    return table(" | ".join(["a shard", *kinds]), lines)


def validation_tables() -> str:
    wall = validation_table([*compare_tagging(WALL), *compare_training(WALL)])
    processor = validation_table([*compare_tagging(PROCESSOR), *compare_training(PROCESSOR)])
    return f"{wall}\n\nProcessor seconds of the whole commands, all their processes together:\n\n{processor}"


def tables() -> dict[str, str]:
    """Return the tables of the page by name."""
    found = results()
    shown = [row for row in found["train"] if row["gpus"] in (8, 64, 256, 1024)]
    return {
        "costs": cost_table(),
        "validation": validation_tables(),
        "training": train_table(shown),
        **{
            f"sensitivity {number}": sensitivity_table(rows)
            for number, rows in enumerate(found["sensitivity"].values(), 1)
        },
        "tagging": tag_table(found["tag"]),
        "shards": shard_table(found["shards"]),
    }


def write_page(page: Path = PAGE) -> None:
    """Replace the tables of the page and draw its figures."""
    text = page.read_text(encoding="utf-8")
    for name, content in tables().items():
        begin, end = f"<!-- table {name} -->\n", "<!-- end -->"
        before, found, rest = text.partition(begin)
        assert found, f"{page} has no table {name}"
        text = f"{before}{begin}{content}\n{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")
    draw(results())


# ---- figures
def draw(found: dict[str, Any], folder: Path = IMAGES) -> None:
    """Draw the figures of the page, on white, so that they can be read on a dark page too."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(2, 3, figsize=(13, 7.5), layout="constrained")
    runs = list(dict.fromkeys((row["corpus"], row["batch"]) for row in found["train"]))
    for column, (corpus, batch) in enumerate(runs):
        rows = [row for row in found["train"] if (row["corpus"], row["batch"]) == (corpus, batch)]
        _lines(axes[0, column], rows, "hours", f"{corpus}, updates of {batch:,} crops", "hours")
        _lines(axes[1, column], rows, "dollars", "", "dollars")
    axes[0, 0].legend(frameon=False, fontsize=9)
    figure.savefig(folder / "scale_plan_training.png", dpi=90)

    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for kind, colour in (("cores", BLUE), ("GPUs", ORANGE)):
        rows = [row for row in found["tag"] if row["kind"] == kind]
        axes[0].plot([row["workers"] for row in rows], [row["hours"] for row in rows], "o-", color=colour, label=kind)
    _loglog(axes[0], "workers", "hours for 1 M hours of sound")
    axes[0].set_yscale("log")
    axes[0].yaxis.set_major_formatter("{x:,g}")
    axes[0].legend(frameon=False)
    styles = ((BLUE, "-", 5), (BLUE, "--", 5), (ORANGE, "-", 2), (ORANGE, "--", 2))
    for (kind, rows), (colour, style, width) in zip(found["shards"].items(), styles):
        axes[1].plot(
            [r["shard_hours"] for r in rows],
            [r["hours"] for r in rows],
            style,
            color=colour,
            lw=width,
            label=kind,
        )
    _loglog(axes[1], "hours of sound in a shard", "hours on 1,024 cores")
    axes[1].set_ylim(bottom=0)
    axes[1].legend(frameon=False, fontsize=8)
    figure.savefig(folder / "scale_plan_tagging.png", dpi=90)


def _lines(axis: Any, rows: list[Row], value: str, title: str, label: str) -> None:
    """A line per format, and the ideal: the first point divided evenly, at equal cost."""
    for (form, colour), width in zip(COLOURS.items(), (6, 3.5, 1.5)):  # all can be seen where they lie on each other
        mine = [row for row in rows if row["form"] == form]
        axis.plot([row["gpus"] for row in mine], [row[value] for row in mine], lw=width, color=colour, label=form)
    gpus = sorted({row["gpus"] for row in rows})
    work = min(row["device_ms"] / row["ms"] * row[value] for row in rows if row["gpus"] == gpus[0])
    ideal = [work * gpus[0] / n if value == "hours" else work for n in gpus]
    axis.plot(gpus, ideal, ":", color=GREY, label="GPUs alone, at the efficiency of 8")
    axis.set_title(title)
    _loglog(axis, "GPUs", label)
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.yaxis.set_minor_formatter("")


def _loglog(axis: Any, x: str, y: str) -> None:
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_formatter("{x:.0f}")
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(alpha=0.3)
