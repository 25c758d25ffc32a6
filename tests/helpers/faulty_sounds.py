"""Sounds without a fault, one of each fault, and folders of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from auricle.data.checks.fingerprints import Fingerprint, Fingerprinter

RATE = 16000


def clean_sound(seed: int, seconds: float = 1.2, rate: int = RATE) -> np.ndarray:
    """(S,) bursts of noise in moving bands: every seed sounds different, nothing repeats, and all frequencies are there."""
    random = np.random.default_rng(seed)
    count = round(seconds * rate)
    time = np.arange(count) / rate
    wave = 0.01 * random.standard_normal(count)
    for _ in range(12):
        centre, width = random.uniform(200, 3000), random.uniform(0.02, 0.2)
        envelope = np.exp(-0.5 * ((time - random.uniform(0, seconds)) / width) ** 2)
        phase = 2 * np.pi * np.cumsum(centre * (1 + 0.3 * np.sin(2 * np.pi * random.uniform(0.5, 4) * time))) / rate
        wave += random.uniform(0.1, 0.5) * envelope * np.sin(phase + random.uniform(0, 6))
    return (0.6 * wave / np.abs(wave).max()).astype(np.float32)


def write(path: Path, wave: np.ndarray, rate: int = RATE, **how: str) -> Path:
    """Write a wave (S,) or (S, channels), by default with 16 bits; the same ones in WAV and FLAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not how and path.suffix in (".wav", ".flac"):
        wave = np.round(wave * 32767).clip(-32768, 32767).astype(np.int16)
    soundfile.write(path, wave, rate, **how)
    return path


def upsampled(wave: np.ndarray) -> np.ndarray:
    """(2 S,) at twice the rate, with nothing above the old half of it."""
    spectrum = np.fft.rfft(wave)
    return (np.fft.irfft(np.pad(spectrum, (0, len(spectrum) - 1)), 2 * len(wave)) * 2).astype(np.float32)


def write_clean_folder(folder: Path, count: int = 8) -> list[Path]:
    """``count`` clips without a fault, in two classes."""
    return [write(folder / ("frog", "wren")[n % 2] / f"{n}.wav", clean_sound(n)) for n in range(count)]


def write_faulty_folder(folder: Path) -> dict[str, set[str]]:
    """Write clips without a fault and clips with one; return the names of the clips by the finding that is to be made."""
    write_clean_folder(folder, 6)
    sound = [clean_sound(100 + n) for n in range(20)]
    silence = np.zeros(RATE, np.float32)
    stereo = np.stack([sound[0], sound[0]], 1)
    waves = {
        "clipped": (4 * sound[1]).clip(-0.8, 0.8),
        "offset": sound[2] * 0.3 + 0.1,
        "quiet": sound[3] * 0.001,
        "few-bits": np.round(sound[4] * 64) / 64,
        "padded": np.concatenate([sound[5], np.zeros(2 * len(sound[5]), np.float32)]),
        "silent": silence,
        "short": sound[6][8000:8300],
        "identical-channels": stereo,
        "inverted-channels": np.stack([sound[7], -sound[7]], 1),
        "dead-channel": np.stack([sound[8], np.zeros_like(sound[8])], 1),
    }
    found = {name: {write(folder / f"frog/{name}.wav", wave).name} for name, wave in waves.items()}
    found["level"] = {write(folder / "frog/level.wav", sound[9] * 20000, subtype="FLOAT").name}
    write(folder / "frog/band-limited.wav", upsampled(sound[10]), 2 * RATE)
    found["band-limited"] = {"band-limited.wav"}
    unfinished = bytearray(write(folder / "frog/header.wav", sound[16]).read_bytes())
    unfinished[4:8] = unfinished[40:44] = b"\0\0\0\0"  # a recorder that was switched off leaves its lengths at zero
    (folder / "frog/header.wav").write_bytes(unfinished)
    found["header"] = {"header.wav"}
    whole = write(folder / "frog/truncated.wav", sound[11])
    whole.write_bytes(whole.read_bytes()[: len(sound[11])])
    (folder / "frog/empty.wav").write_bytes(b"")
    (folder / "frog/unreadable.wav").write_bytes(b"these are no samples" * 20)
    found |= {name: {f"{name}.wav"} for name in ("truncated", "empty", "unreadable")}
    twice = write(folder / "frog/twice.wav", sound[12])
    (folder / "frog/twice-again.wav").write_bytes(twice.read_bytes())
    found["identical-files"] = {"twice.wav", "twice-again.wav"}
    write(folder / "frog/lossless.wav", sound[13])
    write(folder / "frog/lossless.flac", sound[13])
    found["identical-audio"] = {"lossless.wav", "lossless.flac"}
    write(folder / "frog/loud.wav", sound[14])
    write(folder / "frog/soft.ogg", sound[14] * 0.2)
    found["near-duplicates"] = {"loud.wav", "soft.ogg"}
    long = clean_sound(200, 4.0)
    write(folder / "frog/first.wav", long[: 3 * RATE // 2 + RATE])
    write(folder / "frog/second.wav", long[3 * RATE // 2 :])
    found["overlap"] = {"first.wav", "second.wav"}
    write(folder / "frog/one.wav", sound[15])
    write(folder / "wren/another.wav", -sound[15] * 0.5)
    found["label-conflict"] = {"one.wav", "another.wav"}
    found["near-duplicates"] |= found["label-conflict"]
    return found


def fingerprint(wave: np.ndarray, rate: int = RATE, block: int = 4000) -> Fingerprint:
    """The fingerprint of a wave (S,) that comes in blocks."""
    maker = Fingerprinter(rate)
    for start in range(0, len(wave), block):
        maker.push(wave[start : start + block].astype(np.float32))
    return maker.finish()
