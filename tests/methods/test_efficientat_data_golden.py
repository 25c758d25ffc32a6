"""What EfficientAT's programs read, their front end, new heads and evaluation: decoded clips, bands, fresh entries, mAP."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.audio.decode import read
from auricle.core.options import with_values
from auricle.data.datasets.base import fit_length
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.frontends.spec_augment import MelAugment, moved_edges
from auricle.methods.registry import preset_values
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.data import balanced_clip_weights
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from helpers.efficientat_training import (
    DATA,
    FOLDER,
    RATE,
    Recorded,
    Replay,
    decoded,
    golden_json,
    items,
    packed,
    published_scores,
    start_network,
)
from helpers.golden_files import close, read_golden

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the golden vectors stand beside the project only")
ITEMS, EVALUATIONS, HEADS = (golden_json(f"{name}.json") for name in ("items", "evaluate", "head_replacement"))


@pytest.fixture(scope="module")
def stored():
    return read_golden(FOLDER / "items.safetensors")[0]


def compare(name: str, wave: np.ndarray, stored, atol: float) -> None:
    """A waveform with the length, the sums and the stored parts of a golden item."""
    case = ITEMS[name]
    assert len(wave) == case["shape"][-1]
    assert not wave[case["zero_from"] :].any()
    assert float(np.square(wave, dtype=np.float64).sum()) == pytest.approx(case["sumsq"], rel=1e-3)
    parts = {key: value for key, value in stored.items() if key.partition("@")[0] == name}
    assert parts
    for key, value in parts.items():
        start = int(key.partition("@")[2] or 0)
        close(torch.from_numpy(wave[start : start + len(value)]), value, atol)


@pytest.mark.parametrize("name", [name for name in ITEMS if name.startswith("decode:")])
def test_mp3_bytes_are_decoded_as_by_the_program(name, stored):
    _, file, row = name.split(":")
    mp3 = packed(file)[int(row)][1]
    if ITEMS[name]["shape"][-1] == 2 * len(decoded(mp3)):
        pytest.skip("a stereo file: the program lays its channels one after the other, this project averages them")
    compare(name, decoded(mp3), stored, 2e-6)


PADDED = {
    "audioset.balanced.r32000.item0": ("audioset", 0),
    "audioset.balanced.r32000.item2": ("audioset", 2),
    "fsd50k.train.item1.crop": ("fsd50k", 1),
    "openmic.train.item0": ("openmic", 0),
}


@pytest.mark.parametrize("name", PADDED)
def test_clips_are_brought_to_ten_seconds_as_by_the_program(name, stored):
    program, index = PADDED[name]
    start = ITEMS[name].get("draws", [[None, [0]]])[0][1][0]
    compare(name, fit_length(items(program, "train")[index].wave[start:], 10 * RATE), stored, 2e-6)


def test_rare_classes_of_audioset_are_drawn_more_often(stored):
    labels = np.stack([item.labels for item in items("audioset", "train")])
    close(torch.from_numpy(balanced_clip_weights(labels, 100.0)).float(), stored["audioset.sampler_weights"], 1e-4)


def test_wav_items_are_read_at_32_khz(stored):
    for name, wave in (
        ("esc50.fold1.train.item0", items("esc50", "train")[0].wave),
        ("dcase20.train.item0", items("dcase20", "train")[0].wave),
    ):
        compare(name, wave[: ITEMS[name]["shape"][-1]], stored, 1e-4)
    file = DATA / "esc50" / "audio_32k" / ITEMS["esc50.fold1.train"]["names"][0]
    compare("esc50.clip1s.r8000.item0", read(file, rate=8000, mono="mean").wave[:8000], stored, 1e-4)


@pytest.mark.parametrize("name", golden_json("mel_downstream.json"))
def test_the_range_of_the_upper_edge_decides_the_band(name):
    tensors, _ = read_golden(FOLDER / "mel_downstream.safetensors")
    case = golden_json("mel_downstream.json")[name]
    augment = MelAugment(case["settings"].get("fmin_aug_range", 10), case["settings"].get("fmax_aug_range", 2000))
    front = EfficientATMel(fmax=case["fmax"])
    close(front(tensors["waveform"]), tensors[f"{name}.eval"], 1e-4)
    moved = moved_edges(front, augment, Recorded(list(case["train_draws"]), []))
    assert [moved.fmin, moved.fmax] == case["train_band"]
    close(moved(tensors["waveform"]), tensors[f"{name}.train"], 1e-4)


@pytest.mark.parametrize("recipe", ["efficientat-2023-esc50", "efficientat-2023-dcase20"])
def test_recipes_with_a_narrow_range_set_the_upper_edge_of_the_program(recipe):
    config = with_values(FinetuneConfig("supervised", "d"), preset_values("supervised", recipe))
    net = MN(MNConfig(width=0.1, num_classes=3)).with_fmax(config.augment.fmax)
    assert net.front == EfficientATMel(fmax=golden_json("mel_downstream.json")["range_1_1000"]["fmax"])
    wave = torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
    close(net.frontend(wave).values, net.front(wave), 0.0)
    assert MN(MNConfig(**vars(net.config))).front == net.front  # the weight file holds it


CASES = [(name, case) for name, case in HEADS.get("gen24", {}).items()]


@pytest.mark.parametrize(("name", "case"), CASES, ids=[name for name, _ in CASES])
def test_a_new_number_of_classes_takes_all_entries_but_the_published_ones(name, case):
    if name.startswith("dymn"):
        net = DyMN(DyMNConfig(width=0.1))
    else:
        net = MN(MNConfig(width=0.1, head=case["head_type"]))
    counts = sum(key not in ("norm_stats",) for key in net.state_dict())
    assert counts == case["entries_total"]
    if case["classes"] == 527:
        return
    before, after = net.state_dict(), net.with_classes(case["classes"], seed=1).state_dict()
    fresh = {
        key for key, value in after.items() if value.shape != before[key].shape or not torch.equal(value, before[key])
    }
    wanted = set(case["entries_not_taken_from_the_checkpoint"])
    unchanged = {"classifier.1.bias", "classifier.1.running_mean", "classifier.1.num_batches_tracked"}
    assert fresh <= wanted
    assert wanted - fresh <= unchanged


EVALUATED = {
    "audioset": ("audioset", ("mn",)),
    "audioset.dymn": ("audioset", ("dymn",)),
    "audioset.ensemble": ("audioset", ("mn", "dymn", "mn")),
    "fsd50k": ("fsd50k", ("mn",)),
    "fsd50k.variable": ("fsd50k", ("mn",)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", EVALUATED)
def test_an_evaluation_prints_the_published_scores(name):
    program, models = EVALUATED[name]
    case = EVALUATIONS["gen24"][name]
    nets = [start_network(program, model, {"pretrain_final_temp": 1.0}).eval() for model in models]
    run = evaluation(program, case)
    part = "valid" if program == "audioset" else "eval"
    logits, labels = [], []
    size = 1 if run.variable else 4
    found = items(program, part)
    for begin in range(0, len(found), size):
        rows = range(begin, min(begin + size, len(found)))
        waves = torch.from_numpy(np.stack([run.sample(index, part, 0).crop.values for index in rows]))
        for _ in range(2):
            run.draws.next("torch.randint")
        with torch.no_grad():
            logits.append(torch.stack([net(waves).logits for net in nets]).mean(0).numpy())
        labels.append(np.stack([found[index].labels for index in rows]))
    scores = published_scores(np.concatenate(logits), np.concatenate(labels))
    printed = [f"  {key}: {value:.3f}" for key, value in scores.items()]
    for line, wanted in zip(printed, case["stdout"][2:], strict=True):
        assert float(line.split()[1]) == pytest.approx(float(wanted.split()[1]), abs=0.0015), (line, wanted)


def evaluation(program: str, case) -> Replay:
    """A replay of the program's reading alone."""
    arguments = {"max_lr": 1e-3, "weight_decay": 0.0, "mixup_alpha": 0, "kd_lambda": 0.1, "temperature": 1}
    made = {"program": f"ex_{program}.py", "model": "mn", "arguments": {**arguments, **case["arguments"]}}
    return Replay(f"gen24.{program}", {**made, "draws": case["draws"]})
