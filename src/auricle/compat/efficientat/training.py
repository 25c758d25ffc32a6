"""Run a training line of EfficientAT: ``ex_esc50.py --cuda --pretrained_name=mn40_as_ext --fold=1``.

The data set is read in its official layout, the network is written to a weight file, and both stand beside the run folder in
``<run>-data``, where ``auricle finetune --continue <run>`` finds them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from auricle.compat.datasets import read_dataset
from auricle.compat.efficientat.programs import ProgramLine
from auricle.compat.efficientat.settings import (
    ONE_LABEL,
    config_of,
    first_temperature,
    is_dymn,
    network_name,
    remarks,
    weights_name,
)
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import TEST_SPLITS, TRAINING_SPLITS, VALIDATION_SPLITS, Manifest
from auricle.data.published.folders import dataset_folder

if TYPE_CHECKING:
    from auricle.methods.supervised.config import FinetuneConfig
    from auricle.models.base import Encoder
    from auricle.models.efficientat.encoder import EfficientAT

Load = Callable[[str], "Encoder"]
Change = Callable[["FinetuneConfig"], "FinetuneConfig"]
DATASETS = {
    "ex_audioset": "audioset",
    "ex_pl_audioset": "audioset",
    "ex_dcase20": "dcase20",
    "ex_fsd50k": "fsd50k",
    "ex_esc50": "esc50",
    "ex_openmic": "openmic",
}
CACHE = "tau_urban_acoustic_scene20_r"  # and the sample rate: folder below --cache_path
FRONT_END = {"resample_rate": "sample_rate", "window_size": "win_length", "hop_size": "hop_length"}
FRONT_END |= {name: name for name in ("n_fft", "n_mels", "fmin")}


def train(line: ProgramLine, load: Load, change: Change | None = None) -> int:
    """Train as a line says, and print the scores of the last epoch. Return 0, or 1 if unreadable clips were replaced.

    Args:
        load: loads published weights by name.
        change: applies settings of ``auricle finetune``.
    """
    from auricle.commands.finetune.finetune import finetune_run
    from auricle.compat.efficientat.published_epochs import published_epochs
    from auricle.training.log import import_wandb, updates_and_epochs

    if line.wandb is not None:
        import_wandb()  # before anything is written
    for remark in remarks(line):
        print(f"note: {remark}", file=sys.stderr)
    manifest = program_parts(line, dataset_of(line))
    out = line.output_dir or f"runs/{line['experiment_name']}-{time.strftime('%y%m%d-%H%M%S')}"
    inputs = Path(f"{out}-data")
    config = config_of(
        line, str(inputs / "manifest.csv"), str(inputs / f"{Path(network_name(line)).stem}.safetensors"), out
    )
    config = config if change is None else change(config)
    if Path(str(config.out)).exists():
        raise AuricleError(f"{config.out} exists; choose another --output_dir")
    write_inputs(config, starting_network(line, load, manifest.label_classes(), config.train.seed), manifest)
    result = finetune_run(config, callbacks=(published_epochs(line),))
    training = result.training
    assert training is not None  # the loop trained
    print(f"{result.run}: {updates_and_epochs(training.steps, training.epochs)}, loss {training.loss:.4f}")
    print(", ".join(f"{name} {value:.4f}" for name, value in result.validation.items()))
    return 1 if result.replaced else 0


def folder_of(line: ProgramLine) -> Path:
    return dataset_folder(DATASETS[line.script], line.dataset_dir, "--dataset_dir")


def dataset_of(line: ProgramLine) -> Manifest:
    """Return the clips of the data set; with ``--cache_path``, of the resampled recordings that are kept there."""
    if not line.get("cache_path"):
        return read_dataset(DATASETS[line.script], folder_of(line))
    from auricle.commands.prepare.published import PublishedConfig, prepare_published

    cache = Path(line["cache_path"]) / f"{CACHE}{line['resample_rate']}"
    source, rate = str(folder_of(line)), line["resample_rate"]
    prepare_published(PublishedConfig(DATASETS[line.script], source, str(cache), cache=True, sample_rate=rate))
    return read_manifest(cache)


def write_inputs(config: FinetuneConfig, encoder: Encoder, manifest: Manifest) -> None:
    """Write the manifest and the network that a run starts from."""
    from auricle.core.io import make_folder
    from auricle.hub.weight_file import save_encoder

    source = Path(config.source)
    make_folder(source.parent, "choose another --output_dir")
    write_manifest(manifest, source)
    save_encoder(encoder, config.model, lineage={"line": "an original's training line", "start": encoder.info.name})


# ---- the clips
def program_parts(line: ProgramLine, manifest: Manifest) -> Manifest:
    """Return the clips of a program, with the splits train and valid: the part that it scores after every epoch.

    That part is the test part of the data set in every program but FSD50K's
    ([efficientat_training 1](docs/specification/efficientat_training.md#s1)).
    """
    rows = manifest.table
    if line.script == "ex_esc50":
        folds = rows.numbers("fold")
        train, scored = folds != line["fold"], folds == line["fold"]
    else:
        held = VALIDATION_SPLITS if line.script == "ex_fsd50k" else TEST_SPLITS
        train, scored = manifest.in_splits(TRAINING_SPLITS), manifest.in_splits(held)
    for name, part in (("train on", train), ("validate on", scored)):
        if not part.any():
            raise AuricleError(f"{manifest.root} holds no clips to {name}: {wanted_part(line)}")
    clips = [
        replace(clip, split="train" if train[row] else "valid", fold=None)
        for row, clip in enumerate(manifest)
        if train[row] or scored[row]
    ]
    return replace(manifest, clips=clips, classes=manifest.label_classes())


def wanted_part(line: ProgramLine) -> str:
    if line.script == "ex_esc50":
        return f"--fold {line['fold']} needs clips in this fold and in others"
    return (
        f"{line.script} needs {'training and validation' if line.script == 'ex_fsd50k' else 'training and test'} clips"
    )


# ---- the network
def starting_network(line: ProgramLine, load: Load, classes: tuple[str, ...], seed: int) -> EfficientAT:
    """Return the network that a line trains.

    Published weights keep their strides and their spectrogram, unless the line types other ones (which is how the networks
    of other hops and strides were made). The upper band edge follows ``--fmax_aug_range``
    ([efficientat_training 6](docs/specification/efficientat_training.md#s6)).

    Raises:
        AuricleError: for options that published weights cannot have.
    """
    from auricle.models.label_space import LabelSpace

    name = weights_name(line)
    encoder = new_network(line, classes, seed) if name is None else published_network(line, load, name)
    space, named = encoder.info.label_space, [(word, word) for word in classes]
    if "max_lr" in line.values and encoder.num_classes() != len(classes):  # ImageNet's, for AudioSet
        encoder = encoder.with_classes(len(classes), classes=named, label_type=label_type(line), seed=seed)
    elif encoder.num_classes() == len(classes) and space is not None and not space.named:
        encoder.set_label_space(LabelSpace.of(named, label_type(line)))
    if is_dymn(line):
        encoder.set_temperature(first_temperature(line))
    return encoder


def new_network(line: ProgramLine, classes: tuple[str, ...], seed: int) -> EfficientAT:
    """Return a network with random weights."""
    from auricle.models.efficientat.config import DyMNConfig, MNConfig
    from auricle.models.efficientat.dymn import DyMN
    from auricle.models.efficientat.mn import MN

    front = spectrogram(line, {name: line[name] for name in FRONT_END})
    shared: dict[str, Any] = {
        "num_classes": len(classes),
        "width": line["model_width"],
        "strides": tuple(line.get("strides", (2, 2, 2, 2))),
        "front_end": front.id,
    }
    named: dict[str, Any] = {
        "classes": [(name, name) for name in classes],
        "label_type": label_type(line),
        "name": network_name(line),
        "seed": seed,
    }
    if is_dymn(line):
        return DyMN(DyMNConfig(**shared), **named)
    frames = int(front.num_frames(10 * front.sample_rate))
    config = MNConfig(**shared, head=line["head_type"], se_dims=line["se_dims"], frames=frames)
    return MN(config, **named)


def label_type(line: ProgramLine) -> Any:
    return "multiclass" if line.script in ONE_LABEL else "multilabel"


def published_network(line: ProgramLine, load: Load, name: str) -> EfficientAT:
    """Return the network of published weights, with the spectrogram and strides that the line types."""
    loaded = load(name)
    if loaded.info.family not in ("mn", "dymn"):
        raise AuricleError(f"{name} is not a network of EfficientAT but one of the family {loaded.info.family}")
    encoder = cast("EfficientAT", loaded)
    config = encoder.config
    for option, field in (("head_type", "head"), ("se_dims", "se_dims")):
        own = getattr(config, field, None)
        if option in line.typed and own is not None and own != line[option]:
            raise AuricleError(f"{name} has --{option} {own}, not {line[option]}; leave the option out")
    typed = {option: line[option] for option in line.typed if option in FRONT_END}
    changed = replace(config, front_end=spectrogram(line, typed, encoder.front).id)
    if "strides" in line.typed:
        changed = replace(changed, strides=tuple(line["strides"]))
    return rebuilt(encoder, changed)


def spectrogram(line: ProgramLine, sizes: dict[str, Any], front: Any = None) -> Any:
    """Return the spectrogram of a line.

    Args:
        sizes: values of options by the original's name.
        front: that of the published weights, which the sizes replace; None: the default.
    """
    from auricle.frontends.efficientat_mel import EfficientATMel

    front = replace(front or EfficientATMel(), **{FRONT_END[name]: value for name, value in sizes.items()})
    fmax = line["fmax"] or front.sample_rate // 2 - line.get("fmax_aug_range", 2000) // 2
    return replace(front, fmax=fmax)


def rebuilt(encoder: EfficientAT, config: Any) -> EfficientAT:
    """Return a network of another configuration with the same tensors."""
    if config == encoder.config:
        return encoder
    space = encoder.info.label_space
    classes = list(space.classes) if space is not None and space.classes else None
    twin = type(encoder)(config, name=encoder.info.name, classes=classes)  # type: ignore[call-arg]
    twin.load_state_dict(encoder.state_dict())
    twin.update_info(licence=encoder.info.licence, source=encoder.info.source)
    return twin
