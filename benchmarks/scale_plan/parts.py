"""Costs of single parts of tagging and training on one core: ``python -m benchmarks.scale_plan.parts PART …`` prints JSON.

Each part runs in a process of its own on one thread. A part is measured alone, and again while a second process does the same
on the other core: the ratio is what two busy cores cost each other.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

MODEL = "mn04_as"
PASSES = 5
EXCHANGES = 20
Clocks = tuple[float, float]  # seconds that passed, and those that the processor worked for this process


def clocks() -> Clocks:
    """Return what both clocks show."""
    return time.perf_counter(), time.process_time()


def since(before: Clocks) -> Clocks:
    """Return what passed since both clocks showed ``before``."""
    now = clocks()
    return now[0] - before[0], now[1] - before[1]


def median_of(times: Sequence[Clocks], count: int = 1) -> Clocks:
    """Return the median of each clock, divided by ``count``."""
    return statistics.median(wall for wall, _ in times) / count, statistics.median(cpu for _, cpu in times) / count


def seconds_each(work: Callable[[], object], count: int, passes: int = PASSES) -> Clocks:
    """Return the median over passes of the seconds of ``work``, divided by the ``count`` things that it does."""
    times = []
    for _ in range(passes):
        before = clocks()
        work()
        times.append(since(before))
    return median_of(times, count)


# ---- tagging
def tagging(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds per clip: decoding with resampling, and from the waveform to labels."""
    import torch

    from auricle.audio.sources import find_audio
    from auricle.inference.corpus.tag_worker import frequent_lengths
    from auricle.inference.tagger import Tagger

    torch.set_num_threads(1)
    sources = find_audio(args.folder)
    tagger = Tagger(MODEL, weights=args.weights)
    tagger.fix_graphs(frequent_lengths(sources))
    sources = sources[: args.clips]
    rate, resampler = tagger.info.sample_rate, tagger.encoder.front.resampler
    waves = [source.read(rate, resampler) for source in sources]
    list(tagger.iterate(waves, sample_rate=rate))
    return {
        "decode": seconds_each(lambda: [source.read(rate, resampler) for source in sources], len(sources)),
        "score": seconds_each(lambda: [tagger(wave, sample_rate=rate) for wave in waves], len(waves)),
        "threads": seconds_each(lambda: list(tagger.iterate(sources)), len(sources)),  # decoding beside the network
        "bytes": sum(Path(str(source.content)).stat().st_size for source in sources) / len(sources),
        "audio_seconds": sum(len(wave) for wave in waves) / rate / len(waves),
    }


def children_seconds() -> float:
    """Return the processor seconds of all child processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


class SameAnswer:
    """Makes a worker that answers every recording at once, with the pickled answer that it was given."""

    def __init__(self, answer: bytes):
        self.answer = answer

    def __call__(self, tell: object) -> Callable[[Iterable[Any]], Iterator[Any]]:
        from auricle.inference.corpus.stamps import stamp

        def worker(sources: Iterable[Any]) -> Iterator[Any]:
            answer = pickle.loads(self.answer)
            for source in sources:
                stamp(source), stamp(source)
                yield answer

        return worker


def pool(args: argparse.Namespace) -> dict[str, Any]:
    """Processor seconds per recording of a pool's own work, in its process and in the command; seconds until its first answer."""
    from itertools import cycle, islice
    from multiprocessing import active_children

    from auricle.audio.sources import find_audio
    from auricle.core.executors.pool import PoolExecutor
    from auricle.inference.config import EventSettings, TagSettings
    from auricle.inference.corpus.tag_folder import TagFolder
    from auricle.inference.corpus.tag_worker import frequent_lengths, lost_recording, make_tag_worker

    sources = find_audio(args.folder)
    settings = MODEL, args.weights, TagSettings(), EventSettings(), frequent_lengths(sources)
    began, before = time.perf_counter(), children_seconds()
    run = PoolExecutor(1).run(partial(make_tag_worker, *settings), sources[:1], lost_recording, lambda told: None)
    answer = next(run)
    start = time.perf_counter() - began
    list(run)
    started = start, children_seconds() - before
    answers = PoolExecutor(1).run(SameAnswer(pickle.dumps(answer)), cycle(sources), lost_recording, lambda told: None)
    next(answers)
    child = active_children()[0].pid

    def child_seconds() -> float:
        fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    with tempfile.TemporaryDirectory() as name:
        folder = TagFolder(Path(name) / "tags", {})
        own, before, count = time.process_time(), child_seconds(), 4000
        for source, outcome in zip(cycle(sources), islice(answers, count)):
            folder.add(source, outcome.outcome, outcome.stamp)
        found = {
            "hand_over": (child_seconds() - before) / count,
            "gather": (time.process_time() - own) / count,
            "process": started,
        }
    answers.close()  # type: ignore[attr-defined]
    return found


# ---- pre-training
def training(args: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a weight update of the small preset by parts, of loading a batch, of the end of an epoch, of a checkpoint."""
    import torch

    from auricle.core.options import with_values
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.registry import find_method, preset_values
    from auricle.training.distributed import dist_context
    from auricle.training.loop import Trainer
    from auricle.training.run import assemble

    torch.set_num_threads(1)
    base = with_values(
        find_method("msm-mae").settings(method="msm-mae", source=args.folder[0]), preset_values("msm-mae", "small")
    )
    config = with_values(base, {"max_updates": 1000, "warmup_updates": 5, "workers": 0, "device": "cpu"})
    with tempfile.TemporaryDirectory() as name, dist_context("cpu", quiet=True) as dist:
        parts = assemble(config, dist)
        trainer = Trainer(
            parts.objective, parts.data, parts.length, parts.config.train, RunFolder(Path(name)), dist, quiet=True
        )
        parts.objective.train()
        batches = parts.data.batches(0)
        times: dict[str, list[Clocks]] = {part: [] for part in ("load", "step", "update", "log")}
        plain_update = trainer.update_weights

        def timed_update(progress: Any) -> Any:
            before = clocks()
            norm = plain_update(progress)
            times["update"].append(since(before))
            return norm

        trainer.update_weights = timed_update  # type: ignore[method-assign]
        for number in range(args.clips):
            before = clocks()
            batch = next(batches)
            times["load"].append(since(before))
            progress = parts.length.at(number)
            before = clocks()
            log = trainer.train_batch(batch, progress)  # forward, backward and update
            times["step"].append(since(before))
            assert log is not None
            trainer.micro_step += 1
            before = clocks()
            trainer.after_update(progress, log, batch, 0.0)
            times["log"].append(since(before))
        health = seconds_each(
            lambda: trainer.check_health(progress, {"loss": 1.0, "grad_norm": 1.0}, batch, 0.0), 1, passes=2
        )
        found: dict[str, Any] = {part: median_of(values[3:]) for part, values in times.items()}
        steps = [cpu for _, cpu in times["step"][3:]]
        middle = statistics.median(steps)
        return found | {
            "health": health,
            "epoch_end": seconds_each(trainer.end_epoch, 1, passes=3),
            "checkpoint": seconds_each(trainer.save, 1, passes=3),
            "checkpoint_bytes": sum(file.stat().st_size for file in trainer.checkpoints.checkpoints()[-1].iterdir()),
            "gradient_bytes": 4 * sum(p.numel() for p in trainer.trained),
            "variation": statistics.pstdev([seconds / middle - 1 for seconds in steps if seconds < 2 * middle]),
            "clips": parts.config.train.batch_size,
        }


def exchange(args: argparse.Namespace) -> dict[str, Clocks]:
    """Seconds of an all-reduce between two processes, of ``--bytes`` and of four bytes; run by ``torchrun``."""
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    found = {}
    for name, count in (("message", 1), ("all_reduce", args.bytes // 4)):
        values = torch.ones(count)
        times = []
        for _ in range(EXCHANGES):
            distributed.barrier()
            before = clocks()
            distributed.all_reduce(values)
            times.append(since(before))
        found[name] = median_of(times[3:])
    main = distributed.get_rank() == 0
    distributed.destroy_process_group()
    return found if main else {}


# ---- crops of recordings, for the plan
def _take(read: Callable[[Any], object], things: Iterable[Any]) -> None:
    for thing in things:
        read(thing)


def crops(args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Seconds and bytes of a crop of 6.08 s at 16 kHz out of 10-s recordings, and of reading these whole, by format.

    The recordings are clips of the folder, one behind the other, encoded by libsndfile.
    """
    import numpy as np
    import soundfile
    import torch

    from auricle.audio.decode import read
    from auricle.audio.sources import find_audio
    from auricle.data.datasets.base import SampleIndex
    from auricle.data.datasets.spectrograms import Spectrograms
    from auricle.data.datasets.waveforms import Waveforms
    from auricle.data.manifest.manifest import Clip, Manifest

    torch.set_num_threads(1)
    rate, seconds = 16000, 10
    sources = find_audio(args.folder)[: args.clips]
    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        waves = [np.resize(source.read(rate, "soxr"), rate * seconds) for source in sources]
        for suffix in ("flac", "mp3", "ogg", "wav", "npy"):
            files = [folder / f"{i}.{suffix}" for i in range(len(waves))]
            for file, wave in zip(files, waves):
                if suffix == "npy":
                    np.save(file, np.random.default_rng(1).normal(size=(1, 80, 1001)).astype(np.float32))
                else:
                    soundfile.write(file, wave, rate)
            if suffix == "npy":
                clips = tuple(Clip(f.name, store=".", key=f.name) for f in files)
                dataset: Any = Spectrograms(Manifest(clips, folder), 608, front_end="m2d-logmel/16k")
            else:
                clips = tuple(Clip(f.name, path=f.name, rate=rate, num_samples=rate * seconds) for f in files)
                dataset = Waveforms(Manifest(clips, folder), rate, 6.07)
            positions = [SampleIndex(0, number, number) for number in range(len(files))]
            found[suffix] = {
                "crop": seconds_each(partial(_take, dataset.__getitem__, positions), len(files)),
                "bytes": sum(file.stat().st_size for file in files) / len(files),
            }
            if suffix != "npy":
                found[suffix]["whole"] = seconds_each(partial(_take, read, files), len(files))
    return found


PARTS = {part.__name__: part for part in (tagging, pool, training, exchange, crops)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("folder", nargs="*")
    parser.add_argument("--weights", default=None)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--bytes", type=int, default=1 << 20)
    args = parser.parse_args()
    if found := PARTS[args.part](args):
        print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
