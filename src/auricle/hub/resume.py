"""``--resume FILE``: start from these weights. What does not fit is said; sizes that differ are an error."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from auricle.errors import AuricleError


@dataclass(frozen=True)
class Resumed:
    """loaded: tensors taken; missing: ours that the file does not hold (they stay fresh).

    unexpected: the file's that we do not know.
    """

    source: Path
    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"started from {self.source}: {self.loaded} tensors taken"]
        for what, names in (
            ("not in the file, left fresh", self.missing),
            ("in the file, unknown here", self.unexpected),
        ):
            if names:
                lines.append(f"  {len(names)} {what}: {', '.join(names)}")
        return "\n".join(lines)


def resume(objective: nn.Module, source: Path) -> Resumed:
    """Fill ``objective`` from a run folder, a weight file of ours, or a published M2D file.

    The statistics of the data stay as they are (specification m2d 5.5: the recommended behaviour). Raises AuricleError
    when a tensor has another shape or nothing fits.
    """
    tensors = tensors_of(source)
    own = {name: value for name, value in objective.state_dict().items() if not name.endswith("norm_stats")}
    given = {name: value for name, value in tensors.items() if not name.endswith("norm_stats")}
    common = own.keys() & given.keys()
    wrong = [
        f"{n}: {tuple(given[n].shape)} there, {tuple(own[n].shape)} here"
        for n in sorted(common)
        if given[n].shape != own[n].shape
    ]
    if wrong:
        raise AuricleError(
            f"{source} was made with other sizes ({len(wrong)} tensors; {wrong[0]}); set the model's sizes to match"
        )
    if not common:
        raise AuricleError(
            f"nothing in {source} fits this objective; expected a run folder, an encoder or a published M2D file"
        )
    objective.load_state_dict({name: given[name] for name in common}, strict=False)
    return Resumed(source, len(common), tuple(sorted(own.keys() - common)), tuple(sorted(given.keys() - common)))


def tensors_of(source: Path) -> dict[str, Tensor]:
    """Tensors by the names of an objective of ours."""
    from safetensors.torch import load_file

    from auricle.hub.convert import m2d
    from auricle.hub.files import describe
    from auricle.hub.pickles import read_pickle

    if source.is_dir():
        states = sorted(source.glob("state/step-*/weights.safetensors"))
        return load_file(states[-1]) if states else tensors_of(source / "encoder.safetensors")
    if not source.is_file():
        raise AuricleError(f"there is no run or weight file {source} to resume from")
    if source.suffix == ".safetensors":
        if source.name != "weights.safetensors":
            describe(source)
        tensors = load_file(source)
        return (
            tensors
            if any(name.startswith("online.") for name in tensors)
            else {f"online.{k}": v for k, v in tensors.items()}
        )
    return m2d.to_ours(m2d.published_tensors(read_pickle(source), source))
