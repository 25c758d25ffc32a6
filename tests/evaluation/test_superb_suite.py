"""SUPERB with our own heads: tiny tasks of all six kinds, published settings, what is missing, what is broken."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.evaluation.results import ResultsStore
from auricle.evaluation.suites.contract import WorkContext
from auricle.evaluation.suites.read import read_suite
from auricle.evaluation.suites.superb.clips import SILENCE, UNKNOWN, keyword_clips, labelled_clips, speaker_clips
from auricle.evaluation.suites.superb.featurizer import Featurizer
from auricle.evaluation.suites.superb.heads import ClassHead, PhoneHead, SpeakerHead
from auricle.evaluation.suites.superb.hidden_states import HiddenStates
from auricle.evaluation.suites.superb.inputs import LiveInputs, Waves, store_means
from auricle.evaluation.suites.superb.scoring import measure_task
from auricle.evaluation.suites.superb.settings import HeadSettings, head_settings
from auricle.hub.weight_file import save_encoder
from auricle.metrics.speech import edit_distance, equal_error_rate, token_error_rate
from helpers.encoders import m2d, mae_ast
from helpers.sounds import tone, write_sound

HERTZ = {"a": 300.0, "b": 900.0, "c": 2700.0}


def write_clips(folder):
    """Tones of three pitches by six speakers in five sessions, in parts, with labels, slots and transcripts of two phones."""
    rows = ["filename,label,split,fold,transcript,labels"]
    for i in range(30):
        name, other = "abc"[i % 3], "abc"[(i // 3) % 3]
        part = ("train", "train", "train", "valid", "test")[i // 3 % 5]
        wave = np.concatenate([tone(0.6, 16000, HERTZ[name], seed=i), tone(0.2, 16000, HERTZ[other], seed=i)])
        write_sound(folder / f"audio/{i}.wav", wave)
        slots = f'"action={name},object={other},location=none"'
        rows.append(f"{i}.wav,{name},{part},{i // 6},{name} {other},{slots}")
    (folder / "meta.csv").write_text("\n".join(rows) + "\n")
    for i in range(12):  # four speakers of verification, three clips each
        write_sound(folder / f"speakers/id{i % 4}/{i}.wav", tone(2.1, 16000, 200.0 * 2 ** (i % 4), seed=i))
    return folder


SUITE = """
adapter: superb
tasks:
  - {name: KS, source: audio, labels: meta.csv, label_column: label, words: [a, b], noise: noise, steps: 150, lr: 0.01}
  - {name: IC, source: audio, labels: meta.csv, label_column: labels, split_by: split, steps: 300, lr: 0.01}
  - {name: ER, source: audio, labels: meta.csv, label_column: label, split_by: folds, steps: 100, accumulate: 1, lr: 0.01}
  - {name: PR, source: audio, labels: meta.csv, label_column: label, steps: 6, accumulate: 1}
  - {name: emotions, task: ER, source: audio, labels: meta.csv, label_column: label, recipe: mae-ast, steps: 3}
  - {name: SID, dataset: voxceleb1}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = write_clips(tmp_path_factory.mktemp("superb"))
    write_sound(
        folder / "noise/hiss.wav", 0.1 * np.random.default_rng(0).standard_normal(16000 * 11).astype(np.float32)
    )
    (folder / "suite.yaml").write_text(SUITE)
    return folder


def test_a_suite_scores_every_task_and_says_what_is_missing(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("AURICLE_DATASETS", str(tmp_path / "none"))
    store = tmp_path / "scores.sqlite"
    command = ["evaluate", "--suite", str(place / "suite.yaml"), "--store", str(store)]
    weights = tmp_path / "model.safetensors"
    save_encoder(mae_ast("128x2"), weights)
    assert main([*command, "--model", str(weights)]) == 1
    assert "VoxCeleb1, speaker identification is not there" in capsys.readouterr().err
    rows = {row.task: row for row in ResultsStore(store).select()}
    assert set(rows) == {"KS", "IC", "ER", "PR", "emotions"}
    assert rows["KS"].score > 0.5
    assert rows["IC"].score > 0.2
    assert len(rows["ER"].scores) == 5
    assert rows["ER"].score > 0.6
    assert rows["PR"].metric == "token_error_rate"
    assert rows["KS"].protocol == "superb, 150 steps, lr 0.01"
    assert rows["emotions"].protocol == "superb, as mae-ast, 3 steps, lr 0.0001"
    learnt = json.loads(sorted(tmp_path.glob("evaluations/*superb-head.json"))[0].read_text())
    assert sum(learnt[0]["layer_weights"]) == pytest.approx(1)
    assert main([*command, "--model", str(weights)]) == 1  # finished works are not measured again
    assert len(list(ResultsStore(store).select())) == 5


def test_stored_means_give_the_head_what_whole_frames_do(place):
    clips = Manifest.read(place / "audio")
    states = HiddenStates(m2d())
    live = LiveInputs(Waves(clips), states)
    stored, failed = store_means(live, 7, "m2d", True)
    assert not failed
    torch.manual_seed(0)
    featurizer, head = Featurizer(2), ClassHead(160, [4])
    featurizer.weights.data = torch.tensor([0.3, -0.5])
    found = []
    for inputs in (live, stored):
        hidden, lengths = inputs([3, 11, 4])
        found.append(head(featurizer(hidden), lengths))
    assert torch.allclose(*found, atol=1e-5)


def test_a_clip_is_decoded_once_and_the_batches_in_which_it_is_encoded_do_not_matter(place):
    class Counted(Waves):
        def __init__(self, clips):
            super().__init__(clips)
            self.asked: list[int] = []

        def read(self, row):
            self.asked.append(row)
            return super().read(row)

    clips, states = Manifest.read(place / "audio"), HiddenStates(m2d())
    waves = Counted(clips)
    few, _ = store_means(LiveInputs(waves, states), 2, "m2d", True)  # in two rounds: sixteen clips are decoded at once
    assert waves.asked == list(range(30))
    all_at_once, _ = store_means(LiveInputs(Waves(clips), states), 64, "m2d", True)
    assert torch.allclose(few.means, all_at_once.means, atol=1e-5)


def test_training_clips_are_cut_at_random_and_tested_ones_are_not(place):
    live = LiveInputs(Waves(Manifest.read(place / "audio")), HiddenStates(m2d()), crop=4000)
    stored, _ = store_means(live, 16, "m2d", True)
    assert live([0], True)[1].item() == round(4000 / 1280)
    assert not torch.equal(stored([0], True)[0], stored([0], True)[0])
    assert torch.equal(stored([0])[0], stored([0])[0])


def test_keyword_classes_are_the_words_any_other_word_and_seconds_of_noise(place):
    found = keyword_clips(Manifest.read(place / "audio", labels=place / "meta.csv", label_column="label"), ["a", "b"],
                          Manifest.read(place / "noise"), "split")  # fmt: skip
    labels = [found.names[0][int(target[0])] for target in found.targets]
    assert found.names == (("a", "b", UNKNOWN, SILENCE),)
    assert {name: labels.count(name) for name in found.names[0]} == {"a": 10, "b": 10, UNKNOWN: 10, SILENCE: 11}
    silent = [c for c in found.clips if c.labels == (SILENCE,)]
    assert [c.split for c in silent].count("train") == 9
    assert {c.end - c.start for c in silent} == {1}


def test_a_fold_keeps_a_fifth_of_its_training_part_for_validation(place):
    found = labelled_clips(Manifest.read(place / "audio", labels=place / "meta.csv", label_column="label"), "folds")
    assert [(len(s.train), len(s.valid), len(s.test)) for s in found.splits] == [(20, 4, 6)] * 5
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0)).numpy()
    first = found.splits[0]
    assert set(first.valid) == set(np.sort([*first.train, *first.valid])[order[20:]])


def test_speakers_are_told_apart_by_the_cosine_of_their_embeddings(place, tmp_path):
    paths = sorted(str(p.relative_to(place / "speakers")) for p in (place / "speakers").rglob("*.wav"))
    clips = Manifest([Clip(p, p, labels=(p.split("/")[0],)) for p in paths], place / "speakers")
    tested = [p for p in paths if p[:3] in ("id2", "id3")]
    lines = [f"{int(a[:3] == b[:3])} {a} {b}" for a in tested for b in tested if a < b]
    trials = tmp_path / "trials.txt"
    trials.write_text("\n".join([*lines, "0 id2/2.wav id0/0.wav", "1 id1/1.wav id1/5.wav"]))
    with pytest.raises(AuricleError, match="no speaker is left"):
        speaker_clips(clips, trials)
    trials.write_text("\n".join([*lines, "1 id2/2.wav gone.wav"]))
    task = speaker_clips(clips, trials)
    assert task.names == (("id0", "id1"),)
    assert task.notes == ("1 of 16 trials name recordings that are not there",)
    settings = HeadSettings("speakers", 6, 4, metric="equal_error_rate")
    rounds, failed = measure_task(mae_ast("128x2"), task, settings, (1,), WorkContext())
    assert not failed
    assert 0 <= rounds[0].score <= 0.5


def test_a_clip_that_cannot_be_read_is_counted_and_nan_features_are_refused(place, tmp_path):
    clips = list(Manifest.read(place / "audio", labels=place / "meta.csv", label_column="label"))
    (place / "audio/broken.wav").write_bytes(b"no sound")
    broken = Clip("broken.wav", "broken.wav", labels=("a",), fold=1)
    task = labelled_clips(Manifest([*clips, broken], place / "audio"), "folds")
    settings = HeadSettings("classes", 2, 8)
    rounds, failed = measure_task(m2d(), task, settings, (1,), WorkContext())
    assert set(failed) == {"broken.wav"}
    assert len(rounds) == 5
    encoder = m2d()
    encoder.patch_embed.proj.bias.data[0] = float("nan")
    with pytest.raises(AuricleError, match="NaN"):
        measure_task(encoder, task, settings, (1,), WorkContext())
    (place / "audio/broken.wav").unlink()


def test_published_settings_are_those_of_the_specification():
    ks, m2d_ks, mae = head_settings("KS"), head_settings("KS", "m2d"), head_settings("KS", "mae-ast")
    assert (ks.steps, ks.batch_size, ks.accumulate, ks.lr, ks.balanced) == (200_000, 32, 1, 1e-4, True)
    assert (m2d_ks.lr, m2d_ks.stats, m2d_ks.steps) == (1e-4, (-11.506255149841309, 4.314857482910156), 200_000)
    assert (mae.steps, mae.batch_size, mae.lr, mae.last_layer, mae.train_encoder) == (10_000, 512, 1e-5, True, True)
    assert head_settings("ASV", "m2d").lr == 5e-5
    for name, tasks in (("superb", 6), ("superb-m2d", 6), ("superb-mae-ast", 3)):
        assert len(read_suite(name).tasks) == tasks


@pytest.mark.parametrize(
    ("record", "words"),
    [("{name: KX, source: a}", "KS"), ("{name: KS}", "needs a 'source'"), ("{name: KS, source: a, steps: 0}", "above 0"),
     ("{name: PR, source: a, recipe: mae-ast}", "has no task"), ("{name: KS, source: a, recipe: m2e}", "did you mean m2d")],
)  # fmt: skip
def test_wrong_records_are_refused_in_words(tmp_path, record, words):
    (tmp_path / "suite.yaml").write_text(f"adapter: superb\ntasks:\n  - {record}\n")
    with pytest.raises(AuricleError, match=words):
        read_suite(tmp_path / "suite.yaml")


def test_heads_have_the_published_forms():
    frames, lengths = torch.randn(3, 20, 24), torch.tensor([20, 7, 1])
    speaker = SpeakerHead(24, 5).eval()
    assert speaker(frames, lengths).shape == (3, 512)
    assert speaker.linear.in_features == 3000
    low = SpeakerHead.loss(speaker, frames, lengths, torch.zeros(3, 1, dtype=torch.long))
    assert low > 5  # the margin makes even chance costly
    phones = PhoneHead(24, 6)
    phones.linear.weight.data.zero_()
    phones.linear.bias.data = torch.tensor([0.0, 0, 0, 1, 0, 0])
    assert [tokens.tolist() for tokens in phones.predict(frames, lengths)] == [[3], [3], [3]]
    head = ClassHead(24, [2, 3])
    far = frames.clone()
    far[1, 7:] = 1e3
    assert torch.allclose(head(far, lengths)[1], head(frames[1:2, :7], torch.tensor([7]))[0], atol=1e-5)


def test_error_rates_of_sequences_and_pairs():
    assert edit_distance("kitten", "sitting") == 3
    assert token_error_rate(["ab", ""], ["ab", "cd"]) == 0.5
    same = np.array([1, 1, 1, 0, 0, 0])
    assert equal_error_rate(np.array([3, 2, 1, 0, -1, -2.0]), same) == 0
    assert equal_error_rate(np.array([3, 2, 0, 1, -1, -2.0]), same) == pytest.approx(1 / 3)
    assert equal_error_rate(np.zeros(6), same) == 0.5
    with pytest.raises(AuricleError, match="different"):
        equal_error_rate(np.ones(2), np.ones(2))


def test_noise_validates_only_where_words_do_too(place):
    words = Manifest.read(place / "audio", labels=place / "meta.csv", label_column="label")
    few = Manifest([c for c in words if c.split != "valid"], place / "audio")
    found = keyword_clips(few, ["a", "b", "c"], Manifest.read(place / "noise"), "split")
    (split,) = found.splits
    valid = [found.clips.clips[row].labels[0] for row in split.valid]
    assert set(valid) - {SILENCE}
    assert len(valid) == int(0.1 * (len(split.train) + len(split.valid)))
