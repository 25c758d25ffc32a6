"""EVAR's ``prepare_wav.py``, ``download_cremad.py`` and ``summarize.py``, and M2D's ``quick_eval.sh`` and ``all_eval.sh``.

Source: [evaluation 1.1](docs/specification/evaluation.md#s1-1), [2](docs/specification/evaluation.md#s2).
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean

from auricle.compat.lines import LineParser
from auricle.compat.m2d.evar_linear import ONE_PASS, SCORES, TWO_PASS
from auricle.core.errors import AuricleError
from auricle.core.io import make_folder, replacing

PREPARE, DOWNLOAD, SUMMARIZE = "prepare_wav", "download_cremad", "summarize"
TOOLS = (PREPARE, DOWNLOAD, SUMMARIZE)
ORDER = ("esc50", "us8k", "spcv2", "vc1", "voxforge", "cremad", "gtzan", "nsynth", "surge", "fsd50k")
CREMAD_CLIPS = 7_442

# ---- prepare_wav.py


def prepare_wav(args: Sequence[str]) -> int:
    """Write every recording below a folder as mono of one rate, with the same relative path. Return 0, or 1 if some failed."""
    from auricle.audio.sources import files_below
    from auricle.core.parallel import num_processes, parallel_map

    parser = LineParser(f"auricle original m2d {PREPARE}")
    parser.add_argument("source", help="folder of recordings")
    parser.add_argument("out", help="folder to write: work/16k/TASK")
    parser.add_argument("rate", type=int, help="hertz: 16000, 22000, 32000, 44100, 48000")
    parser.add_argument("--suffix", default=".wav", help="of the files to convert")
    values = parser.parse_args(list(args))
    source, out = Path(values.source), Path(values.out)
    if not source.is_dir():
        raise AuricleError(f"{source} is not a folder of recordings")
    suffix = "." + values.suffix.lstrip(".").lower()
    names = sorted(files_below(source, (suffix,)))
    if not names:
        raise AuricleError(f"there are no {suffix} files in {source} nor below it; --suffix names another one")
    make_folder(out)
    convert = partial(_at_rate, source=source, out=out, rate=values.rate)
    failed = [fault for fault in parallel_map(convert, names, num_processes(len(names))) if fault]
    for fault in failed:
        print(f"failed: {fault}", file=sys.stderr)
    print(f"{out}: {len(names) - len(failed)} files at {values.rate} Hz, {len(failed)} failed")
    return 1 if failed else 0


def _at_rate(name: str, *, source: Path, out: Path, rate: int) -> str:
    """Write one recording. A file that is there already is kept. Return the fault, "" for none."""
    from auricle.audio.decode.reader import read
    from auricle.audio.write import encode_audio

    target = out / name
    if target.exists():
        return ""
    try:
        wave = read(source / name, rate=rate).wave
        content = encode_audio(wave, rate, target.suffix.lower())
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as temporary:
            Path(temporary).write_bytes(content)
    except (AuricleError, OSError) as error:
        return f"{name}: {error}"
    return ""


# ---- download_cremad.py


def download_cremad(args: Sequence[str]) -> int:
    """Say whether CREMA-D's recordings are in a folder, and where they come from. Return 0 where they are, else 2."""
    from auricle.audio.sources import files_below
    from auricle.data.published.speech import CREMAD

    parser = LineParser(f"auricle original m2d {DOWNLOAD}")
    parser.add_argument("folder", help="where the recordings are to be: downloads/cremad")
    folder = Path(parser.parse_args(list(args)).folder)
    found = len(list(files_below(folder, (".wav",)))) if folder.is_dir() else 0
    if found >= CREMAD_CLIPS:
        print(f"{folder}: {found:,} recordings of CREMA-D are here")
        return 0
    have = f"holds {found:,} of {CREMAD_CLIPS:,} recordings" if found else "holds no recordings"
    raise AuricleError(
        f"{folder} {have} of CREMA-D, and Auricle does not download data sets. They are at {CREMAD.url} ({CREMAD.licence}): "
        f"'git lfs clone {CREMAD.url}' and move AudioWAV/*.wav to {folder}; then prepare_wav.py goes on"
    )


# ---- summarize.py


def summarize(args: Sequence[str]) -> int:
    """Print the mean score of each task for one weight file as a Markdown table, and save the rows that it is made of.

    Source: [evaluation 2](docs/specification/evaluation.md#s2).
    """
    parser = LineParser(f"auricle original m2d {SUMMARIZE}")
    parser.add_argument("weight_file", help="as in the lines that measured it")
    weights = parser.parse_args(list(args)).weight_file
    rows = [row for row in _rows_of(SCORES) if weights in row["report"]]
    if not rows:
        raise AuricleError(f"{SCORES} holds no row of {weights}: lineareval.py and zeroshot.py write them")
    retrieval = [row for row in _rows_of(SCORES.parent / "retrieval_scores.csv") if row["weight"] == weights]
    print(summary_table(rows, retrieval))
    path = Path(weights)
    target = SCORES.parent / f"{path.parent.name}_{path.stem}.csv".lstrip("_")
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"\n{target}")
    return 0


def summary_table(rows: Sequence[dict[str, str]], retrieval: Sequence[dict[str, str]] = ()) -> str:
    """Return a Markdown table: tasks in the fixed order, zero-shot tasks after them, the average, retrieval scaled to 1."""
    tasks: dict[str, list[float]] = {}
    for row in rows:
        tasks.setdefault(row["task"], []).append(float(row["score"]))
    zero_shot = sorted(task for task in tasks if task.startswith("zs_"))
    known = [task for task in ORDER if task in tasks]
    order = [*known, *sorted(tasks.keys() - set(known) - set(zero_shot)), *zero_shot]
    means = {task: fmean(tasks[task]) for task in order}
    columns = {**means, "average": fmean(means.values())}
    for row in retrieval:
        columns |= {f"{row['task']} {name}": float(row[name]) / 100 for name in row if name.startswith(("a2t", "t2a"))}
    head = ["representation", *columns]
    cells = [rows[0]["representation"], *(f"{value:.4f}" for value in columns.values())]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), cells))


def _rows_of(table: Path) -> list[dict[str, str]]:
    if not table.is_file():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


# ---- quick_eval.sh, all_eval.sh

QUICK = {"cremad": 16, "gtzan": 16, "spcv2": 64, "esc50": 64}
ALL = QUICK | {"us8k": 64, "vc1": 64, "voxforge": 64, "nsynth": 64, "surge": 64}
SCRIPTS = {"quick_eval.sh": (ONE_PASS, QUICK), "all_eval.sh": (TWO_PASS, ALL)}


def script_lines(script: str, args: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (program, arguments) of a script: the linear evaluation of every task, then the summary.

    Names with ``p32k-`` use the 32 kHz configuration. Zero-shot lines of CLAP's weights are not among them: they need a text
    encoder (``zeroshot.py … --text MODULE:NAME``).
    """
    parser = LineParser(f"auricle original m2d {script}")
    parser.add_argument("weight_file", help="the checkpoint")
    values = parser.parse_args(list(args))
    program, tasks = SCRIPTS[script]
    config = "config/m2d_32k.yaml" if "p32k-" in values.weight_file else "config/m2d.yaml"
    for task, batch in tasks.items():
        yield program, [config, task, f"batch_size={batch},weight_file={values.weight_file}"]
    yield SUMMARIZE, [values.weight_file]
