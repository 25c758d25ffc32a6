"""``auricle models``: list published weights, describe one, download and install it, convert it to another layout."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.core.options import argument, check_choices, option

if TYPE_CHECKING:
    from auricle.hub.published.record import PublishedRecord, Table
    from auricle.models.base import Encoder

LAYOUTS = ("auricle", "efficientat", "m2d", "mae-ast")


@dataclass(frozen=True)
class ListModelsConfig:
    """Rows of the table to list."""

    family: str | None = option(None, "list only this family: mn, dymn, m2d …")
    repositories: bool = option(
        False, "list the repositories of the Hugging Face Hub whose weights are on this machine"
    )


@dataclass(frozen=True)
class ShowConfig:
    """The model to describe."""

    name: str = argument("a published name, a weight file, a run folder, or hf://owner/name")
    record: str | None = option(
        None, "published name of the network in a file whose tensors do not determine all settings", advanced=True
    )
    input_size: str | None = option(
        None, "mel bins x frames of a published M2D file, if its folder's name does not hold them", advanced=True
    )
    sample_rate: int | None = option(
        None, "hertz, of a published M2D file, if its folder's name does not hold it", advanced=True
    )


@dataclass(frozen=True)
class GetConfig:
    """The weights to download and install."""

    names: tuple[str, ...] = argument("published names, or hf://owner/name", many=True)
    weights: str | None = option(None, "use this file of the published name instead of a download")
    offline: bool = option(False, "download nothing; AURICLE_OFFLINE=1 does the same")


@dataclass(frozen=True)
class ConvertConfig:
    """The model to convert, and the layout."""

    source: str = argument("a weight file, a run folder, a published name, or hf://owner/name")
    to: str = option(help="layout to write", choices=LAYOUTS)
    out: str = option(help="file to write")
    record: str | None = option(
        None, "published name of the network in a file whose tensors do not determine all settings", advanced=True
    )
    input_size: str | None = option(
        None, "mel bins x frames of a published M2D file, if its folder's name does not hold them", advanced=True
    )
    sample_rate: int | None = option(
        None, "hertz, of a published M2D file, if its folder's name does not hold it", advanced=True
    )

    def __post_init__(self) -> None:
        check_choices(self)


@dataclass(frozen=True)
class VerifyConfig:
    """The models to check."""

    names: tuple[str, ...] = argument("published names, weight files, run folders or hf://owner/name", many=True)


@dataclass(frozen=True)
class ModelDescription:
    """Description of a model: facts in the order of the output, and papers as keys of ``hub.published.citations``."""

    name: str
    facts: dict[str, Any]
    papers: tuple[str, ...] = ()
    licence: str = "not stated"


@dataclass(frozen=True)
class InstalledWeight:
    """A weight on this machine: our file, its checksum, its licence, and a note for its users."""

    name: str
    file: str
    size: int
    sha256: str
    licence: str
    note: str = ""


@dataclass(frozen=True)
class InstallResult:
    """The installed weights, and (name, error) of those that failed."""

    installed: tuple[InstalledWeight, ...]
    failed: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ConvertedWeight:
    """The written file, the number of tensors in it, and a hint: what programs that read the layout need besides."""

    file: str
    layout: str
    tensors: int
    size: int
    sha256: str
    licence: str
    hint: str = ""


def list_models(config: ListModelsConfig) -> Table:
    """Return the table of published weights. Raises AuricleError for an unknown family."""
    from auricle.hub.published import table

    return table.list_models(config.family)


def show(config: ShowConfig) -> ModelDescription:
    """Describe a name, a file or a run folder: architecture, size, front end, licence, score, source and lineage."""
    from auricle.hub.huggingface.name import is_repository
    from auricle.hub.load import locate
    from auricle.hub.published.table import find, get

    if is_repository(config.name):
        return _of_repository(config)
    path, kind = locate(config.name)
    record = find(config.name)
    if record is not None and kind != "file":
        return _described(record)
    if kind == "none":
        get(config.name)  # raises, with the nearest names
    return _opened(path, config)


def _of_repository(config: ShowConfig) -> ModelDescription:
    """Describe a repository of the Hugging Face Hub: what the hub and the card say, and the weights if they are here."""
    from auricle.commands.models.repositories import facts_of_repository

    name, facts, file = facts_of_repository(config.name)
    if file is None:
        return ModelDescription(
            name, facts, licence=str(facts.get("licence") or facts.get("card: license") or "not stated")
        )
    opened = _opened(file, config)
    return ModelDescription(name, {**facts, **opened.facts}, opened.papers, opened.licence)


def _described(record: PublishedRecord) -> ModelDescription:
    from auricle.hub import weight_cache as weights

    row = record.row()
    facts = {key: row[key] for key in ("family", "summary", "use", "front_end", "parameters", "classes", "class_order")}
    facts |= {"label_type": record.label_type, "AudioSet mAP": record.score, "architecture": row["config"]}
    facts |= {"statistics": record.statistics, "release": record.release}
    facts |= {"further pre-training": record.further, "licence": record.licence, "source": record.source}
    facts |= {"published scores": dict(record.scores)}
    facts |= {"download": list(record.urls), "file": record.file or None, "note": record.note}
    here = weights.converted(record)
    facts["kept at"] = str(here) if here.is_file() else None
    return ModelDescription(record.name, facts, record.papers, record.licence)


def _opened(path: Path, config: ShowConfig) -> ModelDescription:
    """Describe a file by its content."""
    from auricle.hub.load import load
    from auricle.hub.run_folder import weights_in
    from auricle.hub.weight_file import describe, is_described

    encoder = load(path, record=config.record, input_size=config.input_size, sample_rate=config.sample_rate)
    file = weights_in(path) if path.is_dir() else path
    lineage = describe(file)["lineage"] if file.suffix == ".safetensors" and is_described(file) else {}
    info, classes = asdict(encoder.info), encoder.info.classes or ()
    del info["label_spaces"]
    facts = {"family": info.pop("family"), "parameters": count(encoder), "classes": len(classes)}
    facts["label_type"] = encoder.info.label_type
    facts |= {"architecture": _full_config(encoder), "fingerprint": encoder.fingerprint()}
    facts |= info | {"statistics": list(encoder.statistics()), "lineage": lineage, "file": str(file)}
    facts["heads"] = {name: head_facts(encoder, name) for name in encoder.info.head_names}
    papers = tuple(lineage.get("papers", ()))
    return ModelDescription(facts.pop("name"), facts, papers, encoder.info.licence)


def head_facts(encoder: Encoder, name: str) -> dict[str, Any]:
    """Return what a head is and what its logits mean, as JSON values.

    Returns:
        "kind" of the head ("own": a part of the network), "labels" (multiclass or multilabel), "classes" (names), "background",
        "calibration" (scale and offset of each class), "calibration_fitted_on", "thresholds" ({class: probability}) and
        "thresholds_fitted_on"; empty where there is none.
    """
    settings = encoder.architecture().get("heads", {}).get(name, {"kind": "own"})
    space = encoder.info.label_spaces[encoder.info.head_names.index(name)]
    if space is None:
        return {"kind": settings["kind"], "labels": None, "classes": []}
    scale, offset = space.scale or (1.0,) * len(space), space.offset or (0.0,) * len(space)
    pairs = [{"scale": one, "offset": other} for one, other in zip(scale, offset)]
    calibrated = dict(zip(space.ids, pairs)) if space.scale or space.offset else {}
    background = set(space.background)
    return {
        "kind": settings["kind"],
        "labels": space.kind,
        "classes": [shown for id, shown in zip(space.ids, space.names) if id not in background],
        "background": list(space.background),
        "calibration": calibrated,
        "calibration_fitted_on": space.calibration_fitted_on,
        "thresholds": dict(zip(space.ids, space.thresholds)),
        "thresholds_fitted_on": space.thresholds_fitted_on,
    }


def _full_config(encoder: Encoder) -> dict[str, Any] | None:
    """Return the configuration, with the number of heads where it holds "one per 64 channels"."""
    config = encoder.architecture().get("config")
    heads = getattr(getattr(encoder, "config", None), "attention_heads", None)
    return {**config, "num_heads": heads} if config and heads else config


def count(encoder: Encoder) -> int:
    """Return the number of parameters."""
    return sum(parameter.numel() for parameter in encoder.parameters())


def get_models(config: GetConfig) -> InstallResult:
    """Download, convert and install published weights. A name that fails is reported; the others are still installed.

    Raises:
        AuricleError: No name is known, or ``weights`` is set with several names. Then nothing is downloaded.
    """
    from auricle.hub.huggingface.name import is_repository
    from auricle.hub.published import table as records

    if config.weights is not None and len(config.names) != 1:
        raise AuricleError(f"--weights is the file of one name, {len(config.names)} were given")
    if not config.names:
        raise AuricleError("name one published weight at least")
    if not any(records.find(name) or is_repository(name) for name in config.names):
        records.get(config.names[0])  # raises, with the nearest names
    installed: list[InstalledWeight] = []
    failed: list[tuple[str, str]] = []
    for name in config.names:
        try:
            installed.append(_bring(name, config) if is_repository(name) else _install(records.get(name), config))
        except AuricleError as error:
            failed.append((name, str(error)))
    return InstallResult(tuple(installed), tuple(failed))


def _bring(name: str, config: GetConfig) -> InstalledWeight:
    """Download the weights of a repository of the Hugging Face Hub, and load them once."""
    from auricle.core.io import sha256_of
    from auricle.hub.load import load, repository_weights

    if config.weights is not None:
        raise AuricleError("--weights is a file of a published name; a repository brings its own")
    file = repository_weights(name, offline=config.offline or None)
    encoder = load(name, offline=True)
    return InstalledWeight(name, str(file), file.stat().st_size, sha256_of(file), encoder.info.licence)


def _install(record: PublishedRecord, config: GetConfig) -> InstalledWeight:
    from auricle.hub import checksums
    from auricle.hub import weight_cache as weights

    if record.config is None:
        raise AuricleError(f"'{record.name}' is computed: there are no weights to download")
    file = weights.converted(record)
    if config.weights is not None:
        local = Path(config.weights).expanduser()
        if not local.is_file():
            raise AuricleError(f"there is no weight file {local}")
        weights.install(record, local)
    elif not file.is_file():
        weights.install(record, weights.obtain(record, offline=config.offline or None))
    checksums.check(file)
    noted = checksums.noted(file)
    return InstalledWeight(record.name, str(file), noted["size"], noted["sha256"], record.licence, record.note)


def convert(config: ConvertConfig) -> ConvertedWeight:
    """Write the encoder of a run folder, a weight file or a published name in another layout.

    - ``auricle``: a safetensors file.
    - ``efficientat``: the flat state dict of MN and DyMN.
    - ``m2d``: for a run folder the training checkpoint with everything that pre-training needs, for an encoder the
      encoder-only layout, for an encoder with a classifier the layout of the evaluation tool.
    - ``mae-ast``: the checkpoint of fairseq.

    Raises:
        AuricleError: The layout cannot hold the encoder, or the output is the source itself.
    """
    from auricle.core.io import sha256_of
    from auricle.hub.load import load

    source, out = Path(config.source).expanduser(), Path(config.out).expanduser()
    if source.exists() and out.exists() and source.samefile(out):
        raise AuricleError(f"{out} is the source itself; choose another --out")
    if out.is_dir():
        raise AuricleError(f"{out} is a folder; --out names a file in it")
    known = {"record": config.record, "input_size": config.input_size, "sample_rate": config.sample_rate}
    encoder = load(config.source, **known)  # type: ignore[arg-type]
    heads = encoder.architecture().get("heads", {})
    if heads and config.to != "auricle":
        raise AuricleError(
            f"the layout '{config.to}' has no place for {'the head' if len(heads) == 1 else 'the heads'} {', '.join(heads)} of "
            f"{config.source}; use --to auricle, or convert the weights that the head was put on"
        )
    tensors, hint = WRITERS[config.to](encoder, source, out)
    size, digest = out.stat().st_size, sha256_of(out)
    return ConvertedWeight(str(out), config.to, tensors, size, digest, encoder.info.licence, hint)


def _to_auricle(encoder: Encoder, source: Path, out: Path) -> tuple[int, str]:
    from auricle.core.io import sha256_of
    from auricle.hub.run_folder import weights_in
    from auricle.hub.weight_file import save_encoder

    if out.suffix != ".safetensors":
        raise AuricleError(f"{out}: Auricle's weight files end in .safetensors")
    file = weights_in(source) if source.is_dir() else source
    lineage = {"file": file.name, "sha256": sha256_of(file)} if file.is_file() else {"published": encoder.info.name}
    save_encoder(encoder, out, lineage=lineage)
    return len(encoder.state_dict()), ""


def _to_efficientat(encoder: Encoder, source: Path, out: Path) -> tuple[int, str]:
    from auricle.hub.convert.efficientat import settings_not_in_tensors, to_published
    from auricle.hub.pickles import write_pickle

    _family(encoder, ("mn", "dymn"), "efficientat")
    tensors = to_published(encoder.state_dict())
    write_pickle(tensors, out)
    open_settings = settings_not_in_tensors(tensors, encoder.settings())  # type: ignore[operator]
    settings = ", ".join(f"{name} {value}" for name, value in open_settings.items())
    return len(tensors), f"the layout does not store these settings; give them to the program that reads it: {settings}"


def _to_m2d(encoder: Encoder, source: Path, out: Path) -> tuple[int, str]:
    from auricle.hub.convert.m2d import m2d_content
    from auricle.hub.convert.m2d_names import folder_name, parse_name
    from auricle.hub.pickles import write_pickle
    from auricle.hub.warm_start import read_tensors

    _family(encoder, ("m2d",), "m2d")
    config = encoder.architecture()["config"]
    if "front_end" in encoder.architecture():
        raise AuricleError(
            f"the layout m2d does not store the front end: its readers assume M2D's log-mel; this encoder takes "
            f"'{encoder.info.front_end}' and cannot be written in it"
        )
    if config["num_heads"] not in (None, max(1, config["embed_dim"] // 64)):
        raise AuricleError(
            f"the layout m2d does not store the number of heads: its readers assume one head per 64 channels; "
            f"this encoder has {config['num_heads']} for {config['embed_dim']} channels and cannot be written in it"
        )
    ours = (
        read_tensors(source) if source.is_dir() else {f"online.{n}": value for n, value in encoder.state_dict().items()}
    )
    content, tensors = m2d_content(ours)
    write_pickle(content, out)
    if parse_name(out.resolve().parent.name):
        return tensors, ""
    wanted = folder_name(config["input_size"], config["patch_size"], config["sample_rate"])
    return tensors, f"the original reads sizes from the folder's name: put it into one such as {wanted}-NAME"


def _to_mae_ast(encoder: Encoder, source: Path, out: Path) -> tuple[int, str]:
    from auricle.hub.convert.mae_ast import published_content
    from auricle.hub.pickles import write_pickle

    _family(encoder, ("mae-ast",), "mae-ast")
    content = published_content(encoder)  # type: ignore[arg-type]
    write_pickle(content, out)
    return len(content["model"]), "settings of training that the network does not hold are the original's defaults"


WRITERS = {"auricle": _to_auricle, "efficientat": _to_efficientat, "m2d": _to_m2d, "mae-ast": _to_mae_ast}


def _family(encoder: Encoder, families: tuple[str, ...], layout: str) -> None:
    if encoder.info.family not in families:
        raise AuricleError(f"the layout '{layout}' holds {' and '.join(families)}, not {encoder.info.family}")
