"""Count the parameters, multiply-accumulates, peak memory and receptive field of networks, and measure their speed here.

  auricle complexity --model mn04_as mn10_as dymn10_as
  auricle complexity --model mn40_as_ext --no-measure --json
  auricle complexity --model mn04_as --frame-hop 0.08           finer frames, and what they cost

Counted by the published rules of EfficientAT for one clip of 10 seconds; published names need no weights.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from auricle.cli.flags import VerbParser, add_flags, config_from
from auricle.commands.complexity import ComplexityConfig, Cost, complexity

HEADER = ("name", "parameters", "MACs", "peak kB", "sliced kB", "context s", "frame s", "ms here", "x real time")


def add_arguments(parser: VerbParser) -> None:
    add_flags(parser, ComplexityConfig)
    parser.add_argument("--json", action="store_true", help="print a JSON list instead of a table")


def run(args: argparse.Namespace) -> None:
    config = config_from(ComplexityConfig, args)
    costs = complexity(config)
    print(json.dumps([asdict(cost) for cost in costs], indent=1) if args.json else table(costs, config))


def table(costs: list[Cost], config: ComplexityConfig) -> str:
    rows = [HEADER, *map(_cells, costs)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEADER))]
    lines = [
        "  ".join(cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(r, widths))) for r in rows
    ]
    threads = f", {costs[0].threads} threads" if costs and costs[0].threads else ""
    lines.append(
        f"one clip of {config.seconds:g} s; memory of activations of {config.bits} bits, plain and in slices{threads}"
    )
    return "\n".join(lines)


def _cells(cost: Cost) -> tuple[str, ...]:
    speed = None if cost.real_time_factor is None else 1 / cost.real_time_factor
    return (
        cost.name,
        f"{cost.parameters:,}",
        _number(cost.macs, ",.0f"),
        _number(cost.memory_kb, ".0f"),
        _number(cost.efficient_memory_kb, ".0f"),
        _number(cost.receptive_seconds, ".2f"),
        _number(cost.frame_seconds, ".2g"),
        _number(cost.latency_ms, ".1f"),
        _number(speed, ".0f"),
    )


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
