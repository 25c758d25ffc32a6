"""Sound from a microphone, by sounddevice ([live] extra), which uses PortAudio."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import numpy as np

from auricle.audio.live.base import LiveChunk
from auricle.core.errors import AuricleError, MissingExtra

BLOCK_SECONDS = 0.1
SILENT_SECONDS = 5.0  # without a block, after which the microphone counts as gone


def microphone_chunks(device: str = "") -> Iterator[LiveChunk]:
    """Yield what a microphone hears, at its own rate.

    Args:
        device: number or part of the name; "": the system's default.

    Raises:
        AuricleError: without sounddevice or PortAudio, for a device that is not there, and when it has vanished.
    """
    sound = _sounddevice()
    name: Any = int(device) if device.isdigit() else device or None
    blocks: queue.Queue[tuple[np.ndarray, bool]] = queue.Queue()

    def on_block(samples: np.ndarray, frames: int, when: Any, status: Any) -> None:
        blocks.put((samples.mean(1, dtype=np.float32), bool(status.input_overflow)))

    try:
        rate = round(sound.query_devices(name, "input")["default_samplerate"])
        size = round(BLOCK_SECONDS * rate)
        with sound.InputStream(device=name, samplerate=rate, blocksize=size, dtype="float32", callback=on_block):
            while True:
                samples, overflow = blocks.get(timeout=SILENT_SECONDS)
                yield LiveChunk(samples, rate, BLOCK_SECONDS if overflow else 0.0)  # how much was lost is not told
    except queue.Empty:
        raise AuricleError(
            f"the microphone gave nothing for {SILENT_SECONDS:g} s; is it still there? Connect it and start again"
        ) from None
    except (sound.PortAudioError, ValueError) as error:
        known = [f"{i}: {d['name']}" for i, d in enumerate(sound.query_devices()) if d["max_input_channels"]]
        raise AuricleError(
            f"the microphone cannot be opened: {error}; there {'are ' + ', '.join(known) if known else 'is none'}"
        ) from None


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise MissingExtra("a microphone", "live") from None
    except OSError:
        raise AuricleError(
            "a microphone needs the PortAudio library: apt-get install libportaudio2 (Debian), brew install portaudio (macOS)"
        ) from None
    return sounddevice
