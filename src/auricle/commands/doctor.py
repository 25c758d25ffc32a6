"""``auricle doctor``: try what works on this machine: formats, optional packages, hardware, folders."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from auricle.core.devices import POLICY, available_cores
from auricle.core.io import cache_dir
from auricle.version import __version__

TONE_HZ, TONE_RATE, TONE_SECONDS = 440.0, 48000, 0.5
LARGEST_ERROR_HZ = 5.0  # the resolution of a quarter of a second is 4 Hz
GIB = 1 << 30


ALONE = ("litert",)  # extras that bring older releases of other libraries


@dataclass(frozen=True)
class Format:
    """A file format that was encoded and decoded again; ``detail`` is the error if that failed."""

    suffix: str
    decodes: bool
    detail: str = ""


@dataclass(frozen=True)
class Extra:
    """A group of optional packages: installed ("av 18.1.0"), missing ("pyarrow"), and the command that installs it."""

    name: str
    installed: tuple[str, ...]
    missing: tuple[str, ...]
    install: str


@dataclass(frozen=True)
class Hardware:
    """The processor and the device that is chosen by default.

    Attributes:
        device: "cpu" or "cuda".
        device_name: model of the GPU or processor.
        cores: processor cores that this process may use.
        threads: threads that PyTorch computes with.
        thread_policy: how many threads compute and how they wait, in one sentence.
        memory_gib: memory of the machine in GiB; None if unknown.
        bf16: True if the device computes in bf16.
    """

    device: str
    device_name: str
    cores: int
    threads: int
    thread_policy: str
    memory_gib: float | None
    bf16: bool


@dataclass(frozen=True)
class Diagnosis:
    """The result of ``auricle doctor``; ``free_gib`` is the free disk space at the cache folder."""

    auricle: str
    python: str
    torch: str
    system: str
    hardware: Hardware
    cache: str
    free_gib: float
    formats: tuple[Format, ...]
    extras: tuple[Extra, ...]


def doctor() -> Diagnosis:
    """Try formats, packages and hardware of this machine."""
    import torch

    folder = cache_dir()
    return Diagnosis(
        auricle=__version__,
        python=platform.python_version(),
        torch=torch.__version__,
        system=f"{platform.system()} {platform.machine()}",
        hardware=hardware(),
        cache=str(folder),
        free_gib=shutil.disk_usage(_existing(folder)).free / GIB,
        formats=tuple(try_formats()),
        extras=tuple(extras()),
    )


def try_formats() -> Iterator[Format]:
    """Encode a short tone in memory in each format and decode it again."""
    import numpy as np

    from auricle.audio.write import MEDIA_FORMATS, SOUND_FILE_FORMATS, encode_audio

    tone = 0.5 * np.sin(2 * np.pi * TONE_HZ / TONE_RATE * np.arange(int(TONE_SECONDS * TONE_RATE)), dtype=np.float32)
    for suffix in (*SOUND_FILE_FORMATS, *MEDIA_FORMATS):
        try:
            problem = _difference(encode_audio(tone, TONE_RATE, suffix), len(tone))
        except ImportError:
            problem = "needs the [media] extra: pip install 'auricle[media]'"
        except Exception as error:  # a codec may fail in any way; the failure is reported
            problem = f"{type(error).__name__}: {error}"
        yield Format(suffix, not problem, problem)


def _difference(file: bytes, samples: int) -> str:
    """Return what is wrong with the decoded tone, or "". AAC begins with silence, therefore the pitch is compared."""
    import numpy as np

    from auricle.audio.decode import read

    audio = read(file)
    middle = audio.wave[samples // 4 : 3 * samples // 4]
    pitch = np.abs(np.fft.rfft(middle)).argmax() * audio.rate / max(len(middle), 1)
    if len(audio.wave) < samples or abs(pitch - TONE_HZ) > LARGEST_ERROR_HZ:
        return (
            f"decodes to {len(audio.wave)} of {samples} samples with a pitch of {pitch:.0f} instead of {TONE_HZ:.0f} Hz"
        )
    return ""


def extras() -> list[Extra]:
    """Return the optional groups in the metadata of this package, in their order, without 'all'."""
    groups: dict[str, list[str]] = {}
    for line in metadata.requires("auricle") or []:
        match = re.match(r"([\w.-]+)(?:\[[^]]*\])?([^;]*);.*extra == ['\"]([\w-]+)['\"]", line)
        if match and match[3] != "all":
            groups.setdefault(match[3], []).append(match[1] + match[2].strip())
    return [_extra(name, needs) for name, needs in groups.items()]


def _extra(name: str, requirements: list[str]) -> Extra:
    installed, missing = [], []
    for requirement in requirements:
        package = re.split(r"[<>=!~ ]", requirement)[0]
        version = _version(package)
        if version is None:
            missing.append(package)
        elif _older(version, requirement):
            missing.append(f"{requirement} (found {version})")
        else:
            installed.append(f"{package} {version}")
    alone = " in an environment of its own" if name in ALONE else ""
    return Extra(name, tuple(installed), tuple(missing), f"pip install 'auricle[{name}]'{alone}")


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _older(version: str, requirement: str) -> bool:
    """Return True if the version is below the minimum of the requirement (``>=``)."""
    floor = re.search(r">=\s*([\d.]+)", requirement)
    return floor is not None and _numbers(version) < _numbers(floor[1])


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def hardware() -> Hardware:
    """Return the device and precision that are chosen by default, and the means of the processor."""
    import torch

    from auricle.core.devices import pick_device, resolve_precision

    device = pick_device("auto")
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    bf16 = resolve_precision("auto", device) == "bf16"
    return Hardware(
        device.type, name, available_cores(), torch.get_num_threads(), POLICY.describe(), _memory_gib(), bf16
    )


def _processor() -> str:
    """Return the model of the processor, from Linux if possible, otherwise from Python."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    except (AttributeError, ValueError, OSError):
        return None


def _existing(folder: Path) -> Path:
    """Return the folder or its nearest ancestor that exists."""
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
