"""``auricle models verify``: checksum, strict loading, finite numbers, and the promises of the encoder contract."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.commands.models.models import VerifyConfig
from auricle.core.errors import AuricleError

if TYPE_CHECKING:
    from torch import Tensor

    from auricle.models.base import Encoder
    from auricle.models.outputs import EncoderOutput


@dataclass(frozen=True)
class Check:
    """One check: its name, the result, and details as text."""

    what: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class WeightVerification:
    """The checks of one name or file, up to the first one after which no other is possible."""

    name: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)


def verify_models(config: VerifyConfig) -> list[WeightVerification]:
    """Verify each name or file on its own. Raises AuricleError if none of them is a known name or a file."""
    if not config.names:
        raise AuricleError("name one published weight, file or run folder at least")
    files = {name: _file_or_error(name) for name in config.names}
    if all(isinstance(file, AuricleError) for file in files.values()):
        raise next(error for error in files.values() if isinstance(error, AuricleError))
    return [WeightVerification(name, tuple(_checks(name, file))) for name, file in files.items()]


def _file_or_error(name: str) -> Path | AuricleError:
    try:
        return _file(name)
    except AuricleError as error:
        return error


def _file(name: str) -> Path:
    """Return the weight file. A published name must be on this machine: verifying downloads nothing."""
    from auricle.hub import weight_cache as weights
    from auricle.hub.huggingface.name import is_repository
    from auricle.hub.load import locate, repository_weights
    from auricle.hub.published import table as records
    from auricle.hub.run_folder import weights_in

    if is_repository(name):
        return repository_weights(name, offline=True)
    path, kind = locate(name)
    if kind == "folder":
        return weights_in(path)
    if kind == "file":
        return path
    record = records.get(name)
    if record.config is None:
        raise AuricleError(f"'{name}' is computed: there are no weights to verify")
    file = weights.converted(record)
    if not file.is_file():
        raise AuricleError(f"'{name}' is not on this machine; 'auricle models get {name}' downloads it")
    return file


def _checks(name: str, file: Path | AuricleError) -> Iterator[Check]:
    from auricle.hub.load import load
    from auricle.hub.weight_file import reading

    if isinstance(file, AuricleError):
        yield Check("found", False, str(file))
        return
    step = "checksum"
    try:
        with reading(file):
            yield Check(step, *_checksum(file))
            step = "loads"
            encoder = load(file)
            yield Check(step, True, f"{encoder.info.name}: every tensor fits")
            yield Check("finite", *_finite(encoder))
            yield Check("fingerprint", *_fingerprint(encoder, file))
            step = "works"
            yield Check(step, *_works(encoder))
    except AuricleError as error:
        yield Check(step, False, str(error))


def _checksum(file: Path) -> tuple[bool, str]:
    """Compare the checksum with the one noted beside the file, or with the record of a published file."""
    from auricle.core.io import sha256_of
    from auricle.hub import checksums
    from auricle.hub.published import table as records

    if not file.is_file():
        raise AuricleError(f"there is no weight file {file}")
    digest, before = sha256_of(file), checksums.noted(file).get("sha256", "")
    record = records.of_file(file)
    expected = before or (record.sha256 if record else "")
    if not expected:
        return True, f"sha256 {digest}, none known to compare it with"
    return digest == expected, f"sha256 {digest}, {'as expected' if digest == expected else 'expected ' + expected}"


def _finite(encoder: Encoder) -> tuple[bool, str]:
    import torch

    tensors = encoder.state_dict()
    bad = [name for name, value in tensors.items() if not torch.isfinite(value).all()]
    if bad:
        return False, f"{len(bad)} tensors hold NaN or infinity: {', '.join(bad[:5])}"
    return True, f"{len(tensors)} tensors without NaN or infinity"


def _fingerprint(encoder: Encoder, file: Path) -> tuple[bool, str]:
    """Compare the fingerprint with the one in the file; published files have none."""
    from auricle.hub.weight_file import describe

    actual = encoder.fingerprint()
    stored = describe(file).get("fingerprint") if file.suffix == ".safetensors" else None
    if stored is None or stored == actual:
        return True, actual
    return False, f"{actual}, the file has {stored}: tensors or settings were changed"


def _works(encoder: Encoder) -> tuple[bool, str]:
    """Encode two seconds of a rising tone, or as much as it takes, and compare shapes, times and numbers with ``info``."""
    import torch

    rate = encoder.info.sample_rate
    samples = encoder.usable_samples(2.0)
    length = "two seconds" if samples == 2 * rate else f"{samples / rate:.4g} seconds"
    t = torch.arange(samples) / rate
    with torch.inference_mode():
        out = encoder((0.1 * torch.sin(2 * math.pi * (200 + 400 * t) * t))[None])
    wrong = [what for what, holds in _promises(encoder, out).items() if not holds]
    frames = 0 if out.frames is None else out.frames.shape[1]
    if wrong:
        return False, f"on {length} of sound: {', '.join(wrong)}"
    return True, f"{length} give {frames} frames of width {encoder.info.frame_dim}, all finite"


def _promises(encoder: Encoder, out: EncoderOutput) -> dict[str, bool]:
    import torch

    def finite(value: Tensor | None) -> bool:
        return value is None or bool(torch.isfinite(value).all())

    info = encoder.info
    classes = len(info.classes) if info.classes else None
    return {
        "frames have another width": out.frames is not None and out.frames.shape[2] == info.frame_dim,
        "the clip has another width": out.clip.shape[1] == info.clip_dim,
        "times do not rise": bool((out.times.diff() > 0).all()),
        "there are more or fewer logits than classes": classes is None
        or (out.logits is not None and out.logits.shape[1] == classes),
        "numbers are not finite": finite(out.frames) and finite(out.clip) and finite(out.logits),
    }
