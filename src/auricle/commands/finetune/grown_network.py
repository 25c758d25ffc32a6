"""``auricle finetune --from RUN`` where RUN trained the whole network: its encoder learns on, with more labels and classes."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.commands.finetune.detector import FULL, kept_goal, options_of_training, say
from auricle.commands.finetune.whole_network import clip_windows, open_quietly, reader_of
from auricle.core.errors import AuricleError, first_line
from auricle.core.options import with_values
from auricle.methods.supervised.config import FinetuneConfig

if TYPE_CHECKING:
    from auricle.detectors.files import PartScores
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.supervised.labelled_clips.parts import Parts
    from auricle.models.base import Encoder
    from auricle.models.label_space import LabelSpace

OF_THE_NEW_CLIPS = (
    "labels", "label_column", "group_column", "classes", "valid", "test", "fold", "negatives", "unlabelled", "background"
)  # fmt: skip  # settings that the joined table takes the place of


def trained_whole(config: FinetuneConfig) -> bool:
    """Return True if ``--from`` names a run that trained the whole network, of which no features are kept."""
    from auricle.detectors.files import load_description
    from auricle.hub.run_folder import RunFolder
    from auricle.methods.registry import read_settings

    if config.detector.from_run is None:
        return False
    run = RunFolder.open(config.detector.from_run)
    if run.detector.is_file():
        return bool(load_description(run.path).get("head", {}).get("kind") == FULL)
    return run.encoder.is_file() and isinstance(read_settings(run.read_config(), str(run.config)), FinetuneConfig)


def grown_config(
    config: FinetuneConfig, named: Collection[str], recipe: str = "", *, quiet: bool = False
) -> tuple[FinetuneConfig, bool]:
    """Write the table of new and earlier clips and the network to start from, and return the settings that learn from them.

    Args:
        config: the settings, with ``--from``.
        named: the options that were typed or given by name.
        recipe: a published recipe that was named.
        quiet: nothing said.

    Returns:
        The settings, and whether frozen heads alone are asked for (``--how probe`` or ``head``).

    Raises:
        AuricleError: for what cannot be learnt, and for a folder that holds something; nothing is written then.
    """
    from auricle.core.io import make_folder
    from auricle.data.manifest.formats import write_manifest
    from auricle.detectors.growing import joined_classes
    from auricle.detectors.replay import joined_clips
    from auricle.hub.load import read_run
    from auricle.hub.run_folder import RunFolder
    from auricle.training.run import default_folder

    if recipe:
        raise AuricleError(f"--from continues a run with its own settings: leave --recipe {recipe} or --from out")
    source = str(config.detector.from_run)
    folder, heads = RunFolder.open(source), config.detector.how in ("probe", "head")
    encoder = read_run(folder.path)
    if config.model not in (FinetuneConfig.model, source):
        raise AuricleError(f"--from {source} learns on with the network of that run: leave --model {config.model} out")
    if encoder.info.label_space is None:
        raise AuricleError(f"--from {source}: the weights of this run have no classes")
    config = replace(config, out=config.out or default_folder(config))
    run = RunFolder(Path(str(config.out)))
    RunFolder.check_free(run.path)
    old_space = encoder.info.label_space.uncalibrated()
    new, space = _read(with_values(config, {"model": source, "weights": None, "kind": old_space.kind}), old_space)
    joint = joined_classes(old_space, space, source)
    replay = joined_clips(new, _earlier(folder, quiet), old_space, joint, folder.path)
    if not quiet:
        say(replay.message(source))
    make_folder(run.path, "choose another --out")
    write_manifest(replay.clips, run.grown_table)
    blank = FinetuneConfig(config.method, config.source)
    defaults = {**vars(blank), **vars(blank.data)}
    values = {
        **{name: defaults[name] for name in OF_THE_NEW_CLIPS},
        **kept_goal(folder.path, config, named),
        "model": source,
        "weights": None,
        "kind": joint.kind,
        "background": joint.background or ("none",),
    }
    grown = with_values(replace(config, source=str(run.grown_table)), values)
    if heads:
        return with_values(grown, {"from_run": None}), True
    with _removed_on_error(run):
        return _with_start(grown, named, encoder, joint, run, quiet), False


def _read(config: FinetuneConfig, old: LabelSpace) -> tuple[Parts, LabelSpace]:
    from auricle.methods.supervised.labelled_clips.read import read_labelled
    from auricle.training.distributed import dist_context

    with dist_context(config.train.device, quiet=True) as dist:
        parts, space, _ = read_labelled(config, dist, old.ids)
    return parts, space


def _earlier(folder: RunFolder, quiet: bool) -> Parts | None:
    """Return the clips that a run learnt from; None, with a word, where its table is gone."""
    from auricle.methods.registry import read_settings
    from auricle.methods.supervised.labelled_clips.read import read_labelled
    from auricle.training.distributed import dist_context

    saved = read_settings(folder.read_config(), str(folder.config))
    assert isinstance(saved, FinetuneConfig)
    try:
        with redirect_stderr(io.StringIO()), dist_context("cpu", quiet=True) as dist:
            return read_labelled(saved, dist).parts
    except (AuricleError, OSError) as error:
        if not quiet:
            say(
                f"health: the earlier clips of {folder.path} cannot be read ({first_line(error)}), so nothing reminds the network "
                "of its old classes: look at their scores before and after"
            )
        return None


def _with_start(
    config: FinetuneConfig, named: Collection[str], encoder: Encoder, space: LabelSpace, run: RunFolder, quiet: bool
) -> FinetuneConfig:
    """Write ``start.safetensors``, whose head has rows for the new classes, and return the settings of the training."""
    from auricle.detectors.new_classes import fit_new_classes
    from auricle.detectors.whole_network import FROM_FITTED_HEAD
    from auricle.hub.weight_file import save_encoder
    from auricle.models.heads.base import MAIN
    from auricle.models.heads.widen import with_more_classes

    assert encoder.info.label_space is not None
    old = len(encoder.info.label_space)
    values: dict[str, Any] = {"how": FULL, "head": "keep"}
    wide = with_more_classes(encoder, space, seed=config.train.seed)
    what = f"of {config.detector.from_run}, with {len(space) - old} new classes"
    if MAIN in wide.heads:  # else the head is the network's own, and its new rows are learnt from random ones
        data = open_quietly(config)
        assert data.encoder is not None
        head = wide.heads[MAIN]
        if len(space) > old:
            reader = reader_of(data, with_values(config, {"heads": (head.kind,)}), quiet)
            fit_new_classes(head, old, reader(data.dataset.manifest)[0], space.kind)  # type: ignore[arg-type]
        if not options_of_training(config, named):
            values |= {**FROM_FITTED_HEAD, **clip_windows(config, data)}
    save_encoder(wide, run.start, lineage={"model": config.model, "source": config.source, "head": what})
    return with_values(config, {**values, "model": str(run.start), "weights": None})


@contextmanager
def _removed_on_error(run: RunFolder) -> Iterator[None]:
    """Remove what was written for a training that cannot begin."""
    try:
        yield
    except BaseException:
        remove_start(run)
        raise


def remove_start(run: RunFolder) -> None:
    """Remove table and start of a run that was refused before it began."""
    if not run.config.exists():
        for path in run.before_the_run:
            path.unlink(missing_ok=True)
        if run.path.is_dir() and not any(run.path.iterdir()):
            run.path.rmdir()


def growth(config: FinetuneConfig, parts: list[PartScores], space: LabelSpace) -> dict[str, Any]:
    """Return ``{"grown_from": …}`` for the files of a run that grew by ``--from``; {} for another one."""
    from auricle.data.manifest.formats import read_manifest
    from auricle.detectors.files import load_scores
    from auricle.detectors.replay import growth_of
    from auricle.hub.load import read_run
    from auricle.hub.run_folder import RunFolder

    source = config.detector.from_run
    if source is None:
        return {}
    before = load_scores(source) if RunFolder(Path(source)).detector_scores.is_file() else []
    old = read_run(Path(source)).info.label_space
    assert old is not None
    return {"grown_from": growth_of(source, before, parts, old, space, read_manifest(config.source))}
