"""What is a GPU worth here? ``python -m benchmarks.gpu_card [--out FOLDER] [--parts forward tag] [--dry-run]``

Peak rate of matrix products; equal answers of every family on the GPU in float32, TF32, bf16, fp16 and compiled, against the CPU;
throughput, share of the peak and memory of forward passes and of training steps of every method, beside the plain forms
(benchmarks/plain); tagging of flac files with decoding. At most ten minutes on a current GPU.

Each part is one line of ``FOLDER/gpu_card.jsonl``, written when it ends; a part that stands there is not measured again, so a
call that was cut goes on. ``--dry-run`` does the same on a CPU with tiny sizes, to show that the script runs; its figures mean
nothing, and the methods of published size are left out. Exit code 1 when an answer leaves its limit or a part failed.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu_card import forward, programs
from benchmarks.gpu_card.settings import Sizes, measured, rehearsed

Row = dict[str, Any]

LIGHT: dict[str, Callable[[Sizes], list[Row]]] = {
    "peak": forward.peak,
    "same": forward.same,
    "forward": forward.forward,
    "tag": programs.tagging,
    "train with labels": programs.finetuning,
}
PARTS = {**LIGHT, **programs.TRAINING}


def finished(file: Path, device: str) -> dict[str, dict[str, Any]]:
    """Parts that ended well on this device, by name; a line that was cut is passed over."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        try:
            part = json.loads(line)
        except ValueError:
            continue
        if part.get("device") == device and not part.get("error"):
            found[part["part"]] = part
    return found


def run_part(name: str, sizes: Sizes, device: str) -> dict[str, Any]:
    """A part with its seconds; a failure is noted and costs no other part."""
    start = time.perf_counter()
    part: dict[str, Any] = {"part": name, "device": device, "torch": torch.__version__}
    try:
        part["rows"] = PARTS[name](sizes)
    except Exception as error:
        part["error"] = f"{type(error).__name__}: {error}"
    return {**part, "seconds": round(time.perf_counter() - start, 1)}


def table(parts: dict[str, dict[str, Any]]) -> str:
    """A Markdown table of each part."""
    lines = []
    for name, part in parts.items():
        lines += ["", f"**{name}** ({part['device']}, {part['seconds']} s)", ""]
        if "error" in part:
            lines.append(f"failed: {part['error']}")
            continue
        columns = list(part["rows"][0])
        lines += [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
        lines += [f"| {' | '.join(cell(row[column]) for column in columns)} |" for row in part["rows"]]
    return "\n".join(lines)


def cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def failures(parts: dict[str, dict[str, Any]]) -> list[str]:
    """What failed, and answers beyond their limits."""
    words = [f"{name}: {part['error']}" for name, part in parts.items() if "error" in part]
    for name, part in parts.items():
        rows = part.get("rows", ())
        words += [f"{name}: {row}" for row in rows if row.get("ok") is False or row.get("failed")]
    return words


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_card"), help="folder of the results")
    parser.add_argument("--parts", nargs="+", choices=tuple(PARTS), help="measure these alone (default: all)")
    parser.add_argument("--again", action="store_true", help="measure parts that stand in the folder too")
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes on the CPU")
    args = parser.parse_args(argv)
    if not args.dry_run and not torch.cuda.is_available():
        print("no GPU that PyTorch can use is here; --dry-run runs the script on the CPU", file=sys.stderr)
        return 2
    sizes = rehearsed(args.out) if args.dry_run else measured(args.out)
    device = "cpu dry run" if args.dry_run else torch.cuda.get_device_name()
    wanted = args.parts or list(LIGHT if args.dry_run else PARTS)
    args.out.mkdir(parents=True, exist_ok=True)
    file = args.out / "gpu_card.jsonl"
    parts = {} if args.again else finished(file, device)
    for name in wanted:
        if name in parts:
            continue
        print(f"{name} …", file=sys.stderr)
        parts[name] = run_part(name, sizes, device)
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(parts[name]) + "\n")
    chosen = {name: parts[name] for name in wanted}
    print(table(chosen))
    for word in failures(chosen):
        print(f"out of bounds: {word}", file=sys.stderr)
    return int(bool(failures(chosen)))


if __name__ == "__main__":
    sys.exit(main())
