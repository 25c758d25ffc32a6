"""How long does ``auricle check`` take, and which copies does it find? ``python -m benchmarks.check [--copies]``

Without ``--copies``: ESC-10 and the first 2,000 spoken digits, measured and compared with two worker processes; wall seconds, and
processor seconds of all processes. With ``--copies``: 40 clips of ESC-10 and 60 digits in other forms, looked for among all 2,400
clips; for each form how many have a candidate and how many are found.
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr

import auricle
from auricle.audio.decode import read
from auricle.data.checks.fingerprints import Fingerprint, Fingerprinter
from auricle.data.checks.matches import Excerpt, candidates, compare

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DIGITS, ESC_COPIES, DIGIT_COPIES = 2000, 40, 60


def files() -> list[Path]:
    """The clips of ESC-10 and the first digits."""
    esc, digits = (sorted((SHARED / name / "audio").glob("*.[of]*")) for name in ("esc10", "fsdd"))
    return [*esc, *digits[:DIGITS]]


def processor_seconds() -> float:
    """Of this process and of those that have ended."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def time_check(workers: int) -> None:
    paths = [str(path) for path in files()]
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "clips.csv"
        table.write_text("path\n" + "\n".join(paths) + "\n")
        wall, processor = time.perf_counter(), processor_seconds()
        report = auricle.check(table, out=Path(folder) / "check", workers=workers)
        wall, processor = time.perf_counter() - wall, processor_seconds() - processor
    found = ", ".join(f"{finding.name} {len(finding.clips)}" for finding in report.findings)
    print(
        f"{report.clips} clips, {report.seconds:.0f} s of sound: {wall:.1f} s wall, {processor:.1f} processor seconds"
    )
    print(f"found: {found}")


def fingerprint(wave: np.ndarray, rate: int) -> Fingerprint:
    maker = Fingerprinter(rate)
    maker.push(wave.astype(np.float32))
    return maker.finish()


def encoded(wave: np.ndarray, rate: int, format: str, subtype: str, level: float | None = None) -> io.BytesIO:
    file = io.BytesIO()
    how = {} if level is None else {"compression_level": level}
    soundfile.write(file, wave, rate, format=format, subtype=subtype, **how)
    file.seek(0)
    return file


def at(wave: np.ndarray, rate: int, to: int) -> np.ndarray:
    return soxr.resample(wave, rate, to)


def noisy(wave: np.ndarray, decibels: float) -> np.ndarray:
    return wave + 10 ** (decibels / 20) * wave.std() * np.random.default_rng(0).standard_normal(len(wave))


FORMS: dict[str, Callable[[np.ndarray, int], io.BytesIO]] = {
    "20 dB quieter": lambda x, r: encoded(0.1 * x, r, "WAV", "FLOAT"),
    "inverted": lambda x, r: encoded(-x, r, "WAV", "FLOAT"),
    "37 ms later": lambda x, r: encoded(np.concatenate([np.zeros(round(0.037 * r)), x]), r, "WAV", "FLOAT"),
    "first tenth cut off": lambda x, r: encoded(x[len(x) // 10 :], r, "WAV", "FLOAT"),
    "8 kHz, mu-law": lambda x, r: encoded(at(x, r, 8000), 8000, "WAV", "ULAW"),
    "MP3": lambda x, r: encoded(x, r, "MP3", "MPEG_LAYER_III", 0.8),
    "16 kHz, MP3, nearly the lowest bit rate": lambda x, r: encoded(
        at(x, r, 16000), 16000, "MP3", "MPEG_LAYER_III", 0.95
    ),
    "Ogg Vorbis, nearly the lowest quality": lambda x, r: encoded(x, r, "OGG", "VORBIS", 0.9),
    "Opus, nearly the lowest quality": lambda x, r: encoded(at(x, r, 48000), 48000, "OGG", "OPUS", 0.9),
    "noise at -20 dB": lambda x, r: encoded(noisy(x, -20), r, "WAV", "FLOAT"),
    "noise at -10 dB": lambda x, r: encoded(noisy(x, -10), r, "WAV", "FLOAT"),
}


def count_copies() -> None:
    paths = files()
    waves = [read(path) for path in paths]
    prints = [fingerprint(part.wave, part.rate) for part in waves]
    random = np.random.default_rng(0)
    esc, digits = random.choice(400, ESC_COPIES, False), 400 + random.choice(DIGITS, DIGIT_COPIES, False)
    chosen = [int(number) for number in (*esc, *digits)]
    print("| form | ESC-10: candidates, found of 40 | digits: candidates, found of 60 |\n|---|---|---|")
    for name, form in FORMS.items():
        copies = [form(waves[number].wave.astype(np.float64), waves[number].rate) for number in chosen]
        parts = [read(copy) for copy in copies]
        made = [fingerprint(part.wave, part.rate) for part in parts]
        pairs = {(one.first, one.second): one for one in candidates([*prints, *made])}
        counts = np.zeros((2, 2), int)
        for place, (number, copy, part) in enumerate(zip(chosen, copies, parts)):
            one = pairs.get((number, len(paths) + place))
            if one is None:
                continue
            excerpts = (Excerpt(paths[number], 0.0, len(waves[number].wave) / waves[number].rate),
                        Excerpt(copy, 0.0, len(part.wave) / part.rate))  # fmt: skip
            counts[int(number >= 400)] += 1, compare((one, *excerpts)) is not None
        print(f"| {name} | {counts[0][0]}, {counts[0][1]} | {counts[1][0]}, {counts[1][1]} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", action="store_true", help="count the copies that are found")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    args = parser.parse_args()
    count_copies() if args.copies else time_check(args.workers)


if __name__ == "__main__":
    main()
