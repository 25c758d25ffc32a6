"""The tiny data sets of the golden EfficientAT runs, and a replay of these runs with the project's own objectives.

Every number that the program drew was recorded; ``Draws`` gives them back in their order.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from auricle.audio.decode import read
from auricle.audio.sources import AudioSource
from auricle.core.randomness import BatchKey
from auricle.data.augment.waveform import rolled, with_gain
from auricle.data.batch import Batch, collate
from auricle.data.datasets.base import Crop, Sample, SampleIndex, fit_length
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.methods.base import TrainProgress
from auricle.methods.distillation.config import TeacherConfig
from auricle.methods.distillation.objective import Distillation
from auricle.methods.distillation.stored import StoredTeacher
from auricle.methods.supervised.clips import mixed_samples, with_binary_labels
from auricle.methods.supervised.config import AugmentConfig, LearningConfig
from auricle.methods.supervised.objective import Supervised
from auricle.metrics.classification import average_precision_per_class, roc_auc_per_class
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.training.optimizers import make_optimizer
from auricle.training.schedules import exponential_linear
from helpers.golden_files import read_golden, under
from helpers.paths import SHARED

FOLDER = SHARED / "golden" / "efficientat_training"
DATA = FOLDER / "data"
RATE = 32000
LONGEST = 10 * RATE
CLASSES = {"audioset": 527, "fsd50k": 200, "openmic": 20, "esc50": 50, "dcase20": 10}


def golden_json(name: str) -> Any:
    """A JSON file of the goldens; empty where they do not stand beside the project."""
    path = FOLDER / name
    return json.loads(path.read_text()) if path.is_file() else {}


# ---- data


@dataclass(frozen=True)
class Item:
    """A clip as the program decodes it: its name, waveform (S,) at 32 kHz, labels (C,), and what was annotated (C,)."""

    name: str
    wave: np.ndarray
    labels: np.ndarray
    known: np.ndarray


def packed(file: str) -> list[tuple[str, bytes, np.ndarray]]:
    """Name, mp3 bytes and target of every row of an HDF5 file."""
    h5py = pytest.importorskip("h5py", reason="the packed data sets are HDF5 files; h5py is not installed")
    with h5py.File(DATA / file) as content:
        rows = zip(content["audio_name"], content["mp3"], content["target"])
        return [(name.decode(), bytes(mp3), np.asarray(target)) for name, mp3, target in rows]


def decoded(mp3: bytes) -> np.ndarray:
    return AudioSource("mp3", mp3).read(RATE, "soxr")


def decoded_as_published(mp3: bytes) -> np.ndarray:
    """The program's own reading, by PyAV: of a stereo file, of every frame the left block, then the right one.

    The library that this project reads mp3 with differs by 1e-6. Adam turns that into 1e-4 of a weight within two steps.
    """
    import io

    av = pytest.importorskip("av", reason="the published runs read mp3 with PyAV, which is not installed")
    with av.open(io.BytesIO(mp3)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return np.concatenate([frame.reshape(-1) for frame in frames]).astype(np.float32)


def packed_items(file: str, classes: int) -> list[Item]:
    """The clips of an HDF5 file with packed bits as targets."""
    everything = np.ones(classes, np.float32)
    return [
        Item(name, decoded_as_published(mp3), np.unpackbits(target)[:classes].astype(np.float32), everything)
        for name, mp3, target in packed(file)
    ]


def openmic_items(file: str) -> list[Item]:
    return [
        Item(name, decoded_as_published(mp3), target[:20].astype(np.float32), target[20:].astype(np.float32))
        for name, mp3, target in packed(file)
    ]


def table(path: Path, separator: str) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=separator))


def wav_items(folder: Path, rows: list[tuple[str, int]], classes: int) -> list[Item]:
    eye, everything = np.eye(classes, dtype=np.float32), np.ones(classes, np.float32)
    return [
        Item(Path(name).name, read(folder / name, rate=RATE, mono="mean").wave, eye[label], everything)
        for name, label in rows
    ]


def esc50_items(part: str) -> list[Item]:
    """Fold 1 is tested."""
    rows = [row for row in table(DATA / "esc50/meta/esc50.csv", ",") if (row["fold"] == "1") == (part == "valid")]
    return wav_items(DATA / "esc50/audio_32k", [(row["filename"], int(row["target"])) for row in rows], 50)


def dcase20_items(part: str) -> list[Item]:
    rows = table(DATA / "dcase20/meta.csv", "\t")
    scenes = sorted({row["scene_label"] for row in rows})
    split = {"train": "fold1_train.csv", "valid": "fold1_evaluate.csv"}[part]
    members = {row["filename"] for row in table(DATA / "dcase20/evaluation_setup" / split, "\t")}
    chosen = [(row["filename"], scenes.index(row["scene_label"])) for row in rows if row["filename"] in members]
    return wav_items(DATA / "dcase20", chosen, 10)


@cache
def items(program: str, part: str) -> list[Item]:
    """The clips of a program's training ("train") or validation ("valid") part, in its order."""
    if program == "audioset":
        names = {"train": ("balanced_train", "unbalanced_train"), "valid": ("eval",)}[part]
        return [item for name in names for item in packed_items(f"audioset/{name}_segments_mp3.hdf", 527)]
    if program == "fsd50k":
        names = {"train": "train", "valid": "val", "eval": "eval"}
        return packed_items(f"fsd50k/FSD50K.{names[part]}_mp3.hdf", 200)
    if program == "openmic":
        return openmic_items(f"openmic/openmic_{'train' if part == 'train' else 'test'}.csv_mp3.hdf")
    return esc50_items(part) if program == "esc50" else dcase20_items(part)


# ---- draws


class Draws:
    """Recorded draws, taken in their order."""

    def __init__(self, recorded: list[list[Any]]):
        self.rest = list(recorded)

    def next(self, function: str) -> Any:
        name, value = self.rest.pop(0)
        assert name == function, f"the program drew with {name} here, not with {function}"
        return value

    def comes(self, function: str) -> bool:
        return bool(self.rest) and self.rest[0][0] == function


@dataclass
class Recorded:
    """A source of random numbers that gives recorded ones, whatever is asked for."""

    whole: list[int]
    order: list[int]
    real: float = 0.0

    def integers(self, low: int, high: int) -> int:
        return self.whole.pop(0)

    def permutation(self, n: int) -> np.ndarray:
        return np.array(self.order)

    def random(self) -> float:
        return self.real

    def beta(self, a: float, b: float) -> float:
        return self.real


class RecordedKey(BatchKey):
    """The draws of one batch of a recorded run."""

    def __init__(self, edges: list[int], order: list[int], shares: list[float], coin: float):
        super().__init__(0, 0, tuple(range(len(shares) or 1)))
        object.__setattr__(self, "source", Recorded(edges, order, coin))
        object.__setattr__(self, "shares", shares)

    def shared(self, purpose: str) -> Any:
        return self.source  # type: ignore[attr-defined]

    def each(self, purpose: str) -> Any:
        return [Recorded([], [], share) for share in self.shares]  # type: ignore[attr-defined]


# ---- a run


class Replay:
    """One recorded run: network, objective and optimiser as its arguments ask for.

    Args:
        name: "gen24.esc50" and so on.
        case: its entry of runs.json.
    """

    def __init__(self, name: str, case: dict[str, Any]):
        self.name, self.case, self.arguments = name, case, case["arguments"]
        self.program = case["program"].removeprefix("ex_").removesuffix(".py")
        self.draws = Draws(case["draws"])
        self.variable = bool(self.arguments.get("variable_eval_length"))
        self.encoder = start_network(self.program, case["model"], self.arguments)
        self.start = {key: value.clone() for key, value in self.encoder.state_dict().items()}
        self.lr = self.arguments.get("max_lr") or self.arguments["lr"]
        self.objective = self.make_objective()
        kind = "adamw" if self.arguments.get("adamw") else "adam-l2"
        groups = self.objective.param_groups(self.arguments.get("weight_decay", 0.0))
        self.optimizer = make_optimizer(groups, kind, 0.0, (0.9, 0.999), 1e-8)

    def make_objective(self) -> Supervised:
        a = self.arguments
        learning = LearningConfig(
            decay_all=True,
            norm_warmup=False,
            encoder_lr=a.get("features_lr"),
            head_lr=a.get("classifier_lr"),
            last_layer_lr=a.get("last_layer_lr"),
            kernel_temperature=a.get("pretrain_final_temp") if self.case["model"] == "dymn" else None,
        )
        augment = AugmentConfig(
            mixup=a["mixup_alpha"] or None,
            mixstyle=a.get("mixstyle_p", 0.0),
            mixstyle_alpha=a.get("mixstyle_alpha", 0.4),
            fmin_range=a.get("fmin_aug_range", 10),
            fmax_range=a.get("fmax_aug_range", 2000),
        )
        if self.program != "audioset":
            return Supervised(self.encoder, learning, augment, lr=self.lr)
        teacher = FOLDER / "teacher"
        stored = str(teacher / "teacher_logits.npy"), str(teacher / "fname_to_index.pkl")
        config = TeacherConfig(
            teacher_predictions=stored[0],
            teacher_index=stored[1],
            kd_lambda=a["kd_lambda"],
            teacher_temperature=a["temperature"],
            published_missing=True,
        )
        source = StoredTeacher.read(Path(stored[0]), Path(stored[1]))
        return Distillation(self.encoder, source, config, learning, augment, lr=self.lr, with_labels=True)

    def rate(self, epoch: int) -> float:
        a = self.arguments
        shape = a["last_lr_value"], a["warm_up_len"], a["ramp_down_start"], a["ramp_down_len"]
        return exponential_linear(epoch, self.lr, *shape)

    # ---- samples, in the order of the program's draws

    def sample(self, index: int, part: str, position: int) -> Sample:
        """A clip after the program's chain; only training clips are augmented."""
        if part != "train":
            return self.finished(self.one_clip(index, part, position))
        first = self.program in ("dcase20", "openmic")  # the clip itself is drawn before the coin
        mixes = not self.arguments.get("no_wavmix", not self.arguments.get("wavmix", False))
        own = self.one_clip(index, part, position) if first or not mixes else None
        if not mixes:
            assert own is not None
            return self.finished(own)
        coin = self.draws.next("torch.rand")[0] if own is None else None
        own = own or self.one_clip(index, part, position)
        coin = self.draws.next("torch.rand")[0] if coin is None else coin
        if coin >= 0.5:
            return self.finished(own)
        partner = self.one_clip(self.draws.next("torch.randint")[0], part, position)
        share = self.draws.next("np.beta")
        return self.finished(mixed_samples(own, partner, max(share, 1 - share)))

    def finished(self, sample: Sample) -> Sample:
        return with_binary_labels(sample) if self.program == "openmic" else sample

    def one_clip(self, index: int, part: str, position: int) -> Sample:
        item, training = items(self.program, part)[index], part == "train"
        gain = int(self.arguments.get("gain_augment") or 0) if training else 0
        rolls = training and not self.arguments.get("no_roll", not self.arguments.get("roll", False))
        wave = item.wave
        if self.program == "dcase20":  # whole files; the roll is drawn first
            wave = rolled(wave, self.draws.next("np.random_integers")) if rolls else wave
            wave = self.with_drawn_gain(wave, gain)
        else:
            wave = self.with_drawn_gain(wave, gain)
            wave = self.cut(wave, part)
            wave = rolled(wave, self.draws.next("np.random_integers")) if rolls else wave
        crop = Crop(wave, len(wave), 0.0)
        return Sample(item.name, SampleIndex(0, position, index), crop, RATE, None, item.labels, item.known)

    def with_drawn_gain(self, wave: np.ndarray, gain: int) -> np.ndarray:
        return with_gain(wave, self.draws.next("torch.randint")[0] - gain) if gain else wave

    def cut(self, wave: np.ndarray, part: str) -> np.ndarray:
        if self.variable and part != "train":
            return wave
        size = LONGEST // 2 if self.program == "esc50" else LONGEST
        start = self.draws.next("torch.randint")[0] if self.program == "fsd50k" and len(wave) > size else 0
        return fit_length(wave[start:], size)

    def batch_key(self, clips: int) -> RecordedKey:
        """The draws of a training batch: edges of the mel bank, then those of MixStyle or mixup."""
        edges = [self.draws.next("torch.randint")[0] for _ in range(2)]
        if self.arguments.get("mixstyle_p"):
            coin = self.draws.next("np.rand")
            if coin > self.arguments["mixstyle_p"]:
                return RecordedKey(edges, [], [], coin)
            shares = np.array(self.draws.next("Beta.sample")).reshape(-1).tolist()
            return RecordedKey(edges, self.draws.next("torch.randperm"), shares, coin)
        if self.arguments["mixup_alpha"]:
            order = self.draws.next("torch.randperm")
            return RecordedKey(edges, order, self.draws.next("np.beta"), 0.0)
        return RecordedKey(edges, [], [], 0.0)

    # ---- training and validation

    def train_epoch(self, epoch: int) -> dict[str, float]:
        """Run an epoch; return the means over its batches of what the objective logs."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(epoch) * group.get("lr_scale", 1.0)
        self.objective.train()
        order, size = self.case["batch_order_per_epoch"][epoch], self.arguments["batch_size"]
        logs = []
        for begin in range(0, len(order), size):
            batch = collate([self.sample(index, "train", i) for i, index in enumerate(order[begin : begin + size])])
            loss, log = self.objective(batch, self.progress(epoch), self.batch_key(len(batch)))
            loss.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            logs.append({name: float(value) for name, value in log.items()})
        return {name: float(np.mean([log[name] for log in logs])) for name in logs[0]}

    def progress(self, epoch: int) -> TrainProgress:
        return TrainProgress(epoch, 1, epoch, 1, float(epoch), None)

    def validate(self) -> dict[str, float]:
        """Score the validation part as the program does: means over batches, classes without a positive count as 0."""
        self.objective.eval()
        found = len(items(self.program, "valid"))
        size = 1 if self.variable else self.arguments["batch_size"]
        losses, logits, labels, masks = [], [], [], []
        for begin in range(0, found, size):
            rows = range(begin, min(begin + size, found))
            batch = collate([self.sample(index, "valid", i) for i, index in enumerate(rows)])
            for _ in range(2):
                self.draws.next("torch.randint")  # edges of the mel bank, drawn and not used
            with torch.no_grad():
                view = self.objective.encode(batch, self.no_key(batch))
                losses.append(float(self.objective.label_loss(view).mean()))
            logits.append(view.logits.numpy())
            labels.append(batch.labels.numpy())
            masks.append(batch.label_mask.numpy())
        scores, truth, mask = (np.concatenate(parts) for parts in (logits, labels, masks))
        return {"val_loss": float(np.mean(losses)), **self.scores(scores, truth, mask)}

    def no_key(self, batch: Batch) -> BatchKey:
        return BatchKey(0, 0, tuple(range(len(batch))))

    def scores(self, logits: np.ndarray, labels: np.ndarray, mask: np.ndarray) -> dict[str, float]:
        if self.program in ("esc50", "dcase20"):
            return {"accuracy": float((logits.argmax(1) == labels.argmax(1)).mean())}
        return published_scores(logits, np.where(mask > 0, labels, np.nan))


def published_scores(logits: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """mAP, where a class without a positive counts as 0, and the mean area under the ROC curve."""
    precision = np.nan_to_num(average_precision_per_class(logits, truth))
    return {"mAP": float(precision.mean()), "ROC": float(roc_auc_per_class(logits, truth).mean())}


def start_network(program: str, model: str, arguments: dict[str, Any]) -> MN | DyMN:
    """The network with the start weights of a program, without dropout."""
    tensors, _ = read_golden(FOLDER / "runs_init.safetensors")
    fmin, fmax = arguments.get("fmin_aug_range", 10), arguments.get("fmax_aug_range", 2000)
    front = EfficientATMel(fmin=0, fmax=RATE // 2 - fmax // 2)
    assert fmin in (1, 10)
    classes, kind = CLASSES[program], "multiclass" if program in ("esc50", "dcase20") else "multilabel"
    net: MN | DyMN
    if model == "dymn":
        temperature = arguments.get("pretrain_final_temp", 30.0)
        config = DyMNConfig(width=0.1, num_classes=classes, front_end=front.id, temperature=temperature)
        net, state = DyMN(config, label_type=kind), under(tensors, "init.dymn.")
    else:
        net = MN(MNConfig(width=0.1, num_classes=classes, front_end=front.id), label_type=kind)
        shared = {name: value for name, value in under(tensors, "init.mn.").items() if not name.startswith("ex_")}
        state = {**shared, **under(tensors, f"init.mn.ex_{program}.")}
    fresh = net.state_dict()
    state = {name: as_stored(value, fresh[name]) for name, value in state.items()}
    missing = {name for name in fresh if name not in state}
    assert all(name.endswith(("num_batches_tracked", "norm_stats", "lambdas", "init_v")) for name in missing), missing
    net.load_state_dict({**fresh, **state})
    for module in net.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return net


def as_stored(value: Tensor, like: Tensor) -> Tensor:
    return value.reshape(like.shape).to(like.dtype)
