"""Small indexes for tests: recordings, an encoder with classes that takes a millisecond, and what an index holds, to compare.

Run as a script, it fills an index in processes of its own: it kills them (``killed``), or runs several at once (``together``).
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from pathlib import Path

import numpy as np

from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from helpers.sounds import tone, write_sound

CLASSES = ("low", "high", "rest")


def recording(path: Path, seconds: float = 2.0, hertz: float = 500.0, seed: int = 0) -> Path:
    """Write a recording of a tone."""
    return write_sound(path, tone(seconds, 16000, hertz, seed))


def encoder(classes=CLASSES, **space):
    """Log-mel statistics with a linear head whose weights are fixed; ``space`` are fields of the label space."""
    import torch

    from auricle.models.heads.make import make_head
    from auricle.models.label_space import LabelSpace
    from auricle.models.log_mel_stats import LogMelStats

    base = LogMelStats().eval()
    head = make_head("linear", base, len(classes))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return base.with_head(head.eval(), LabelSpace("multilabel", tuple(classes), **space))


def fill(folder: Path, *sources: Path, model=None, **settings):
    """Fill the index ``folder`` with windows of 0.5 s."""
    config = IndexConfig(
        tuple(map(str, sources)), out=str(folder), **{"window": 0.5, "hop": 0.25, "batch_size": 4} | settings
    )
    return index_recordings(config, model or encoder())


def content(folder: Path) -> dict[tuple[str, float, float], tuple[np.ndarray, dict[str, float]]]:
    """Vector and scores of every span by (file name, start, end); a span that is there twice is an error."""
    index = SoundIndex.open(folder)
    spans = index.spans()
    ids, vectors = index.vectors([span.id for span in spans])
    assert ids.tolist() == [span.id for span in spans], "a span has no vector"
    scores = index.scores(ids)
    keys = [(Path(span.path).name, span.start, span.end) for span in spans]
    assert len(set(keys)) == len(keys), "a span is there twice"
    return {key: (vector, scores[span.id]) for key, vector, span in zip(keys, vectors, spans)}


def assert_same(one: Path, other: Path, *, exact: bool = False) -> None:
    """Two indexes hold the same spans, vectors, scores and events, up to rounding unless ``exact``; the ids may differ."""
    a, b = content(one), content(other)
    error = 0.0 if exact else 1e-4
    assert a.keys() == b.keys()
    for key in a:
        assert np.allclose(a[key][0], b[key][0], rtol=error, atol=error)
        assert a[key][1].keys() == b[key][1].keys()
        assert np.allclose(
            [a[key][1][label] for label in a[key][1]], [b[key][1][label] for label in a[key][1]], rtol=0, atol=error
        )
    events = [
        [(Path(e.path).name, e.label, e.start, e.end, round(e.score, 3)) for e in SoundIndex.open(folder).events()]
        for folder in (one, other)
    ]
    assert events[0] == events[1]


# ---- as a script
def _add_reporting(pipe: int) -> None:
    """Write the files that are complete into a pipe whenever a write has returned: these are acknowledged."""
    from auricle.index.writer import IndexWriter

    add = IndexWriter.add

    def reported(self, parts):
        late = add(self, parts)
        done = [Path(part.path).name for part in parts if part.end is not None]
        os.write(pipe, (json.dumps(done) + "\n").encode())
        return late

    IndexWriter.add = reported


def _child(folder: Path, sounds: Path) -> tuple[int, int]:
    """Fill the index in a process; return its number and the end of the pipe that says what is done."""
    read, write = os.pipe()
    process = os.fork()
    if process:
        os.close(write)
        return process, read
    try:
        _add_reporting(write)
        report = fill(folder, sounds)
        os.write(write, (json.dumps({"new": report.new, "others": report.others}) + "\n").encode())
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def _killed(folder: Path, kills: int) -> dict:
    """Kill processes that fill an index, at any moment; look each time whether what they acknowledged is there."""
    draw, done, rounds = random.Random(0), 0, 0
    acknowledged: set[str] = set()
    sounds = folder / "sounds"
    recording(sounds / "long.wav", 30.0)
    while done < kills and rounds < 4 * kills:
        for number in range(4):
            recording(sounds / f"{rounds:03d}-{number}.wav", 0.8 + 0.1 * number, 300 * (number + 1), rounds)
        rounds += 1
        process, pipe = _child(folder / "INDEX", sounds)
        with open(pipe, encoding="utf-8") as lines:
            said = [line for _, line in zip(range(draw.randrange(4)), lines)]
            os.kill(process, signal.SIGKILL)
            said += [line for line in lines if line.endswith("\n")]
        done += os.waitpid(process, 0)[1] == signal.SIGKILL
        acknowledged |= {name for line in said for name in json.loads(line) if isinstance(json.loads(line), list)}
        if SoundIndex.is_index(folder / "INDEX"):
            present = {name for name, _, _ in content(folder / "INDEX")}
            assert acknowledged <= present, acknowledged - present
        else:
            assert not acknowledged
    return {"kills": done, "acknowledged": len(acknowledged)}


def _together(folder: Path, processes: int) -> dict:
    children = [_child(folder / "INDEX", folder / "sounds") for _ in range(processes)]
    reports = []
    for process, pipe in children:
        with open(pipe, encoding="utf-8") as lines:
            said = [json.loads(line) for line in lines]
        assert os.waitpid(process, 0)[1] == 0, "a process failed"
        reports.append(said[-1])
    return {"reports": reports}


if __name__ == "__main__":
    import torch

    from auricle.index import build, window_pass  # noqa: F401  before the forks, so that each child starts at once

    torch.set_num_threads(1)
    build.PART_WINDOWS, build.LEAST_PART, build.CLAIMED_AT_ONCE = 6, 4, 2
    mode, where, number = sys.argv[1:]
    print(json.dumps({"killed": _killed, "together": _together}[mode](Path(where), int(number))))
