"""A day of a network stream in accelerated time: memory, what is lost, and the clock, with the connection broken again and again.

    python -m benchmarks.stream_day                     # 24 hours, ten breaks
    python -m benchmarks.stream_day --hours 2

A web radio on loopback sends WAV (8 kHz; a minute of noise, a minute with a tone, and so on) as fast as it is taken, and breaks the
connection after each eleventh of the day; then it is gone for good. The path is that of ``auricle stream http://…``: PyAV,
connecting again, resampling, front end, network (of toy size, random weights), events, files. Only the queue of the reader waits
where that of a live source drops.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

import auricle
from auricle.audio.live.base import LiveChunk
from auricle.audio.resample import resample
from auricle.commands.stream import Listening, StreamConfig
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.inference.config import EventSettings
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN

RATE, WINDOW, HOP, MINUTE = 8000, 10.0, 5.0, 60
BREAKS = 10
HEADER = (
    b"RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x01\0"
    + RATE.to_bytes(4, "little")
    + (2 * RATE).to_bytes(4, "little")
)
HEADER += b"\x02\0\x10\0data\xff\xff\xff\xff"


class Radio(BaseHTTPRequestHandler):
    """Sends ``seconds`` of sound to each of the first ``connections``; later ones get 404."""

    seconds: ClassVar[int] = 0
    sent: ClassVar[list[int]] = []  # seconds, by connection
    noise: ClassVar[np.ndarray] = 0.02 * np.random.default_rng(0).standard_normal(RATE)
    tone: ClassVar[np.ndarray] = noise + 0.3 * np.sin(2 * np.pi * 700 * np.arange(RATE) / RATE)

    def do_GET(self) -> None:
        if len(self.sent) > BREAKS:
            self.send_error(404)
            return
        self.sent.append(0)
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.end_headers()
        self.wfile.write(HEADER)
        for second in range(self.seconds):
            self.wfile.write(pcm(self.tone if second // MINUTE % 2 else self.noise))
            self.sent[-1] += 1

    def log_message(self, *words: object) -> None:
        """Print nothing."""


class Accelerated(Listening):
    """A stream whose source waits, as one that sends faster than it sounds must."""

    def _chunks(self) -> tuple[Iterator[LiveChunk], bool]:
        return super()._chunks()[0], False


def pcm(wave: np.ndarray) -> bytes:
    """16-bit samples."""
    return (wave * 32767).astype("<i2").tobytes()


def toy(path: Path) -> tuple[str, float]:
    """Write a network of random weights, and return the class that tells the tone best, with the threshold between both.

    Its batch norms see both sounds first: with initial ones a deep network gives the same scores for all sound.
    """
    network = MN(MNConfig(width=0.1, num_classes=5), seed=1)
    sounds = np.stack([np.tile(sound, 10) for sound in (Radio.noise, Radio.tone)]).astype(np.float32)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.5
    with torch.no_grad():
        for _ in range(6):
            network.train()(torch.from_numpy(resample(sounds, RATE, network.info.sample_rate)))
    save_encoder(network.eval(), path)
    tagger = auricle.Tagger(path)
    noise, tone = (
        {tag.label: tag.score for tag in tagger(sound, sample_rate=RATE).results[0].tags} for sound in sounds
    )
    best = max(noise, key=lambda label: tone[label] - noise[label])
    return best, (noise[best] + tone[best]) / 2


def resident() -> float:
    """MiB of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def day(hours: float) -> None:
    Radio.seconds = round(hours * 3600 / (BREAKS + 1))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Radio)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "toy.safetensors"
        label, threshold = toy(model)
        config = StreamConfig(
            f"http://127.0.0.1:{server.server_port}/live.wav", model=str(model), window=WINDOW, hop=HOP,
            out=f"{folder}/out", reconnect=1, only=(label,), events=EventSettings(threshold=threshold, hysteresis=1.0),
        )  # fmt: skip
        listening, began, marks = Accelerated(config, print), time.monotonic(), 0
        try:
            for _ in listening.answers():
                if listening.report.heard >= marks * hours * 3600 / 12:
                    print(f"{listening.report.heard / 3600:6.2f} h heard: {resident():.0f} MiB", flush=True)
                    marks += 1
        except AuricleError as gone:
            print(gone)
        listening.finish()
        lines = Path(folder, "out", "events.jsonl").read_text(encoding="utf-8").splitlines()
    kinds = [json.loads(line)["kind"] for line in lines]
    report, stream, sent = listening.report, listening.stream, sum(Radio.sent)
    print(report.text())
    print(f"sent {sent} s, heard {report.heard:.4f} s; away {report.lost:.2f} s in {report.gaps} gaps")
    print(f"the clock stands at {stream.time:.4f} s, heard and away are {report.heard + report.lost:.4f} s")
    print(f"{report.windows} windows, events opened {kinds.count('opened')}, closed {kinds.count('closed')}")
    print(f"{resident():.0f} MiB at the end; {time.monotonic() - began:.0f} s of work")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=24.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    day(args.hours)


if __name__ == "__main__":
    main()
