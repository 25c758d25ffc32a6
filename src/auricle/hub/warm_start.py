"""Start pre-training from existing weights (``pretrain --resume FILE``). Tensors of other sizes are an error."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from auricle.core.errors import AuricleError
from auricle.hub.run_folder import RunFolder, weights_in
from auricle.hub.weight_file import check_finite, reading

HEAD = "offline_predictor."  # the second head of M2D-X and its variants: its size depends on the teacher or the classes


@dataclass(frozen=True)
class Resumed:
    """The result of ``resume``: which tensors were loaded.

    Attributes:
        source: the file or run folder.
        loaded: number of tensors loaded from it.
        missing: names of tensors that the source lacks; they keep their initial values.
        unexpected: names of tensors of the source that the objective lacks.
        reshaped: names of tensors of a second head for other targets; they keep their initial values.
    """

    source: Path
    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"started from {self.source}: {self.loaded} tensors loaded"]
        for what, names in (
            ("not in the file, initialised", self.missing),
            ("in the file, not used", self.unexpected),
            ("of another size in the file, initialised", self.reshaped),
        ):
            if names:
                lines.append(f"  {len(names)} {what}: {', '.join(names)}")
        return "\n".join(lines)


def resume(objective: nn.Module, source: Path | str) -> Resumed:
    """Load the weights of an objective from another source.

    The statistics of the data are not loaded ([m2d 5.5](docs/specification/m2d.md#s5-5) recommends this). A second head for other
    targets is not loaded either, so that M2D-X can start from M2D-AS weights.

    Args:
        objective: the module to fill; modified in place.
        source: a run folder, a weight file, a published M2D or MAE-AST file, or the name of one.

    Returns:
        Resumed: names of the tensors that were loaded and left out.

    Raises:
        AuricleError: if another tensor has another shape, or no tensor matches.
    """
    source = Path(source)
    tensors = read_tensors(resolve_source(source))
    own = {name: value for name, value in objective.state_dict().items() if not name.endswith("norm_stats")}
    available = {name: value for name, value in tensors.items() if not name.endswith("norm_stats")}
    shared = own.keys() & available.keys()
    reshaped = {n for n in shared if n.startswith(HEAD) and available[n].shape != own[n].shape}
    common = shared - reshaped
    mismatches = [
        f"{n}: {_form(available[n])} in the file, {_form(own[n])} expected"
        for n in sorted(common)
        if _form(available[n]) != _form(own[n])
    ]
    if mismatches:
        raise AuricleError(
            f"{source} was made with other sizes ({len(mismatches)} tensors; {mismatches[0]}); set the model's sizes to match"
        )
    if not common:
        raise AuricleError(
            f"no tensor in {source} matches this objective; expected a run folder, an encoder or a published file of its family"
        )
    objective.load_state_dict({name: available[name] for name in common}, strict=False)
    missing, unexpected = own.keys() - shared, available.keys() - shared
    return Resumed(source, len(common), tuple(sorted(missing)), tuple(sorted(unexpected)), tuple(sorted(reshaped)))


def _form(tensor: Tensor) -> str:
    """The shape of a tensor, and what it holds if that is not floating-point numbers."""
    shape = str(tuple(tensor.shape))
    return shape if tensor.is_floating_point() else f"{shape} of {str(tensor.dtype).removeprefix('torch.')}"


def resolve_source(source: Path | str) -> Path:
    """Return the file of a published name (downloaded if necessary); any other source unchanged.

    Raises:
        AuricleError: for a published weight that holds only the encoder: pre-training cannot continue from it.
    """
    from auricle.hub import weight_cache as weights
    from auricle.hub.published import table as records

    source = Path(source)
    record = None if source.exists() else records.find(str(source))
    if record is None:
        return source
    if not record.further:
        raise AuricleError(
            f"'{record.name}' cannot be pre-trained further: it holds only the encoder, without predictor and target; "
            "'auricle models list' shows which can"
        )
    return weights.obtain(record)


def read_tensors(source: Path | str) -> dict[str, Tensor]:
    """Read the tensors of a run folder or weight file under their names in an objective.

    Raises:
        AuricleError: if there is no such file, or it is damaged.
    """
    source = Path(source)
    if source.is_dir():
        for weights in sorted(RunFolder(source).checkpoints.glob("step-*/weights.safetensors"), reverse=True):
            try:
                return read_tensors(weights)
            except AuricleError as error:
                print(f"{error}; using the checkpoint before it", file=sys.stderr)
        return read_tensors(weights_in(source))
    if not source.is_file():
        raise AuricleError(f"there is no run or weight file {source} to resume from")
    with reading(source):
        tensors = _ours(source) if source.suffix == ".safetensors" else _published(source)
    check_finite(tensors, source)
    return tensors


def _ours(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    from auricle.hub.weight_file import describe

    if file.name != "weights.safetensors":
        describe(file)
    tensors = load_file(file)
    return tensors if any(name.startswith("online.") for name in tensors) else _with_prefix(tensors)


def _published(file: Path) -> dict[str, Tensor]:
    from auricle.hub.convert import m2d, mae_ast
    from auricle.hub.pickles import read_pickle

    content = read_pickle(file)
    if mae_ast.is_published(content):
        return _with_prefix(mae_ast.build(content, file).state_dict())
    return m2d.to_ours(m2d.published_tensors(content, file))


def _with_prefix(encoder: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add the prefix that an encoder's tensors have in an objective."""
    return {f"online.{name}": value for name, value in encoder.items()}
