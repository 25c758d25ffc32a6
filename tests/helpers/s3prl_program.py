"""Run s3prl's ``run_downstream.py`` with our upstreams, where s3prl 0.4.18 stands beside current libraries.

    python tests/helpers/s3prl_program.py -m train -n first -u auricle -k runs/first -d speech_commands -c config.yaml --device cpu

It runs in the Python that has s3prl. s3prl does not import as it is: the functions here stand in for what newer libraries lack
(steps 1, 3 to 5 and 7 of ``docs/specification/evaluation.md``, 6.5). No file of s3prl or torchaudio is changed.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

EFFECTS = [["channels", "1"], ["rate", "16000"], ["gain", "-3.0"]]  # of SUPERB's keyword spotting


def make_importable() -> None:
    """Stand in for what torchaudio and huggingface_hub had when s3prl was written."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"  # its checkpoints hold an argparse.Namespace
    import huggingface_hub

    torchaudio = import_torchaudio()
    torchaudio.set_audio_backend = lambda name: None
    effects = types.ModuleType("torchaudio.sox_effects")
    effects.apply_effects_file = apply_effects_file  # type: ignore[attr-defined]
    effects.apply_effects_tensor = apply_effects_tensor  # type: ignore[attr-defined]
    torchaudio.sox_effects = sys.modules["torchaudio.sox_effects"] = effects
    for name in ("HfFolder", "Repository"):
        if not hasattr(huggingface_hub, name):
            setattr(huggingface_hub, name, type(name, (), {}))


def import_torchaudio() -> Any:
    """Import torchaudio without its compiled library: the wheel's is a CUDA build, which a PyTorch for CPUs cannot load."""
    found = Path.glob

    def without_library(self: Path, pattern: str, **options: Any) -> Iterator[Path]:
        return iter(()) if self.parts[-2:] == ("torchaudio", "lib") else found(self, pattern, **options)

    Path.glob = without_library  # type: ignore[method-assign, assignment]
    try:
        import torchaudio
    finally:
        Path.glob = found  # type: ignore[method-assign]
    return torchaudio


def apply_effects_file(path: str, effects: Sequence[Sequence[str]], **_: Any) -> tuple[Any, int]:
    """Return a file as (1, S) at 16 kHz, 3 dB lower: the only effects that SUPERB's keyword spotting asks for."""
    import torch

    from auricle.audio.decode import read

    if [list(effect) for effect in effects] != EFFECTS:
        raise NotImplementedError(f"only {EFFECTS} are made here, found {effects}")
    wave = read(path, rate=16000).wave * 10 ** (-3 / 20)
    return torch.from_numpy(wave)[None], 16000


def apply_effects_tensor(*_: Any, **__: Any) -> Any:
    """Refuse: no upstream or task that runs here asks for it."""
    raise NotImplementedError("effects on tensors are not made here")


def register_upstreams() -> None:
    """Add our upstreams to s3prl's hub, as the line in ``s3prl/hub.py`` does."""
    from s3prl import hub

    from auricle.compat import s3prl as ours

    for name in ours.__all__:
        setattr(hub, name, getattr(ours, name))


if __name__ == "__main__":
    make_importable()
    register_upstreams()
    from s3prl.run_downstream import main

    main()
