"""What works on this machine, and how to get what does not.

Tries every audio format, lists the optional packages with the line that installs what is missing, and says which
device, precision and folders will be used. Always exits with 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict

from auricle.cli.flags import VerbParser
from auricle.commands.doctor import Diagnosis, Extra, doctor


def add_arguments(parser: VerbParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(args: argparse.Namespace) -> None:
    diagnosis = doctor()
    print(json.dumps(asdict(diagnosis), indent=2) if args.json else "\n".join(lines(diagnosis)))


def lines(diagnosis: Diagnosis) -> Iterator[str]:
    """The diagnosis as text."""
    machine = diagnosis.hardware
    memory = "" if machine.memory_gib is None else f", {machine.memory_gib:.1f} GiB memory"
    yield f"auricle {diagnosis.auricle}, Python {diagnosis.python}, PyTorch {diagnosis.torch}, {diagnosis.system}"
    yield f"device     {machine.device} ({machine.device_name})"
    yield f"processor  {machine.cores} cores, {machine.threads} threads{memory}"
    yield f"threads    {machine.thread_policy}; OMP_NUM_THREADS and OMP_WAIT_POLICY override the choice"
    yield f"bf16       {'in hardware' if machine.bf16 else 'not in hardware'}"
    yield f"cache      {diagnosis.cache} ({diagnosis.free_gib:.1f} GiB free; set AURICLE_CACHE to move it)"
    yield "\nformats decoded here"
    yield "  yes      " + " ".join(format.suffix[1:] for format in diagnosis.formats if format.decodes)
    for format in diagnosis.formats:
        if not format.decodes:
            yield f"  no       {format.suffix[1:]}: {format.detail}"
    yield "\noptional packages"
    for extra in diagnosis.extras:
        yield from _extra_lines(extra)


def _extra_lines(extra: Extra) -> Iterator[str]:
    have = ", ".join(extra.installed)
    if not extra.missing:
        yield f"  {extra.name:<12} {have}"
        return
    yield f"  {extra.name:<12} missing {', '.join(extra.missing)}{f' (have {have})' if have else ''}"
    yield f"  {'':<12} {extra.install}"
