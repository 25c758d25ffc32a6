"""``auricle models merge``: several detectors on one backbone become one weight file with several heads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auricle.core.errors import AuricleError
from auricle.core.options import argument, option


@dataclass(frozen=True)
class MergeConfig:
    """The detectors to merge, and where the result goes."""

    detectors: tuple[str, ...] = argument("run folders, weight files or published names with one backbone", many=True)
    out: str = option(help="what to write: a file that ends in .safetensors, or a new folder")
    names: tuple[str, ...] = option(
        (), "a name for each head, in the order of the detectors; none: the names of the folders or files"
    )


@dataclass(frozen=True)
class MergedDetector:
    """The written file, and the number of classes of each head by its name."""

    file: str
    heads: dict[str, int]
    size: int
    licence: str


def merge(config: MergeConfig) -> MergedDetector:
    """Write one weight file with the heads of all detectors.

    Raises:
        AuricleError: for backbones that differ, impossible names, and an --out that exists.
    """
    from auricle.hub.load import load
    from auricle.hub.weight_file import save_encoder
    from auricle.models.merge import merge_detectors

    file = _file(Path(config.out).expanduser())
    parts = [(_name_of(detector), load(detector)) for detector in config.detectors]
    merged = merge_detectors(parts, config.names)
    lineage = {
        "merged": [_origin(detector, encoder.fingerprint()) for detector, (_, encoder) in zip(config.detectors, parts)]
    }
    save_encoder(merged, file, lineage=lineage)
    heads = {name: merged.num_classes(name) or 0 for name in merged.info.head_names}
    return MergedDetector(str(file), heads, file.stat().st_size, merged.info.licence)


def _file(out: Path) -> Path:
    """The weight file to write: ``out`` itself, or in the new folder ``out``, which is then loaded like a run folder."""
    if out.suffix in (".pt", ".pth"):
        raise AuricleError(f"--out {out}: Auricle's weight files end in .safetensors")
    if out.exists():
        raise AuricleError(f"--out {out} exists; choose another name, or remove it")
    return out if out.suffix == ".safetensors" else out / "encoder.safetensors"


def _name_of(detector: str) -> str:
    """The name of a detector's head: that of its folder or file. A weight file of a run folder has the folder's name."""
    path = Path(detector).expanduser().resolve()
    if not path.exists():
        return detector
    if path.is_dir():
        return path.name
    return path.parent.name if path.name.startswith("encoder") and path.parent.name else path.stem


def _origin(detector: str, fingerprint: str) -> dict[str, str]:
    return {"name": _name_of(detector), "fingerprint": fingerprint}
