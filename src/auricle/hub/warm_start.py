"""``pretrain --resume FILE``: start from given weights. Tensors that do not fit are reported; other sizes are an error."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.hub.run_folder import RunFolder

HEAD = "offline_predictor."  # the second head of M2D-X and its relatives: its width follows the teacher or the classes


@dataclass(frozen=True)
class Resumed:
    """What was loaded.

    Attributes:
        source: the file or run folder.
        loaded: number of tensors taken from it.
        missing: names of tensors that the source does not hold; they keep their initial values.
        unexpected: names of tensors of the source that the objective does not have.
        reshaped: names of tensors of a second head for other targets; they keep their initial values.
    """

    source: Path
    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"started from {self.source}: {self.loaded} tensors taken"]
        for what, names in (
            ("not in the file, left fresh", self.missing),
            ("in the file, unknown here", self.unexpected),
            ("of another size in the file, left fresh", self.reshaped),
        ):
            if names:
                lines.append(f"  {len(names)} {what}: {', '.join(names)}")
        return "\n".join(lines)


def resume(objective: nn.Module, source: Path) -> Resumed:
    """Load the weights of an objective from another source.

    The statistics of the data stay as they are (specification m2d 5.5: the recommended behaviour), and so does a second
    head that was made for other targets: M2D-AS weights may go on as M2D-X.

    Args:
        objective: filled in place.
        source: a run folder, a weight file, a published M2D or MAE-AST file, or the name of one.

    Raises:
        AuricleError: if another tensor has another shape, or nothing fits.
    """
    tensors = tensors_of(located(source))
    own = {name: value for name, value in objective.state_dict().items() if not name.endswith("norm_stats")}
    given = {name: value for name, value in tensors.items() if not name.endswith("norm_stats")}
    shared = own.keys() & given.keys()
    reshaped = {n for n in shared if n.startswith(HEAD) and given[n].shape != own[n].shape}
    common = shared - reshaped
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
            f"nothing in {source} fits this objective; expected a run folder, an encoder or a published file of its family"
        )
    objective.load_state_dict({name: given[name] for name in common}, strict=False)
    missing, unexpected = own.keys() - shared, given.keys() - shared
    return Resumed(source, len(common), tuple(sorted(missing)), tuple(sorted(unexpected)), tuple(sorted(reshaped)))


def located(source: Path) -> Path:
    """Return the file of a published name, downloaded unless it is here; any other source as it is.

    Raises:
        AuricleError: for a published weight that holds the encoder alone, from which pre-training cannot go on.
    """
    from auricle.hub import weight_cache as weights
    from auricle.hub.published import table as records

    record = None if source.exists() else records.find(str(source))
    if record is None:
        return source
    if not record.further:
        raise AuricleError(
            f"'{record.name}' cannot be pre-trained further: it holds the encoder alone, without predictor and target; "
            "'auricle models list' says which can"
        )
    return weights.obtain(record)


def tensors_of(source: Path) -> dict[str, Tensor]:
    """Read tensors by the names that they have in an objective."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from auricle.hub.convert import m2d, mae_ast
    from auricle.hub.weight_file import describe, read_pickle

    if source.is_dir():
        for weights in sorted(RunFolder(source).checkpoints.glob("step-*/weights.safetensors"), reverse=True):
            try:
                return load_file(weights)
            except SafetensorError:
                print(f"{weights} is damaged; taking the one before it", file=sys.stderr)
        return tensors_of(source / "encoder.safetensors")
    if not source.is_file():
        raise AuricleError(f"there is no run or weight file {source} to resume from")
    if source.suffix == ".safetensors":
        if source.name != "weights.safetensors":
            describe(source)
        tensors = load_file(source)
        return tensors if any(name.startswith("online.") for name in tensors) else online(tensors)
    content = read_pickle(source)
    if mae_ast.recognises(content):
        return online(mae_ast.build(content, source).state_dict())
    return m2d.to_ours(m2d.published_tensors(content, source))


def online(encoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Name an encoder's tensors as an objective does."""
    return {f"online.{name}": value for name, value in encoder.items()}
