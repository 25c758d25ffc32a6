"""Evaluation from audio to result: folds, baselines, notes, and clear messages for what makes a score meaningless."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.core.io import dumps
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.embeddings.cache import EmbeddingCache
from auricle.evaluation.compare import score_difference
from auricle.evaluation.evaluation import Coverage, Evaluation, Score, class_values, make_predictions
from auricle.evaluation.probes.base import Features
from auricle.evaluation.protocols import Protocol
from auricle.evaluation.runner import baseline_notes, evaluate
from auricle.evaluation.scoring import FoldScore
from auricle.evaluation.splits import draw_folds, make_splits, split_notes
from auricle.evaluation.statistics import task_statistics
from auricle.evaluation.targets import class_targets, labelled
from auricle.evaluation.tasks import Task
from auricle.inference.config import EmbedSettings, EncodeSettings
from auricle.inference.embedder import embed
from auricle.inference.pipeline import clip_batches
from helpers.encoders import logmel_stats, m2d
from helpers.evaluation_data import CLASSES, corpus, table
from helpers.sounds import tone, write_sound


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    return corpus(tmp_path_factory.mktemp("tones"))


@pytest.fixture
def cache(tmp_path):
    return EmbeddingCache(tmp_path / "cache")


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))


def changed(manifest, **change):
    return replace(manifest, clips=tuple(replace(clip, **change) for clip in manifest))


def splits_of(manifest, split_by="auto"):
    return make_splits(manifest, class_targets(manifest), split_by)


def test_folds_hold_every_clip_out_once(manifest):
    for split_by in ("folds", "groups", "drawn"):
        folds = splits_of(manifest, split_by)
        assert np.array_equal(np.sort(np.concatenate([f.test for f in folds])), np.arange(len(manifest)))
        for fold in folds:
            assert not set(fold.train) & set(fold.test)


def test_drawn_folds_keep_groups_whole_and_classes_even(manifest):
    groups = [clip.group for clip in manifest]
    for seed in range(5):
        part = draw_folds(class_targets(manifest).values, groups, 3, seed)
        assert all(len({p for p, g in zip(part, groups) if g == group}) == 1 for group in groups)
        counts = {(p, clip.labels[0]): 0 for p in part for clip in manifest}
        for p, clip in zip(part, manifest):
            counts[p, clip.labels[0]] += 1
        assert set(counts.values()) == {2}


def test_a_split_has_its_validation_part(manifest):
    names = ("train", "train", "train", "valid", "test", "test")
    clips = tuple(replace(clip, split=names[i % 6], fold=None) for i, clip in enumerate(manifest))
    (fold,) = splits_of(replace(manifest, clips=clips))
    assert [len(rows) for rows in (fold.train, fold.valid, fold.test)] == [9, 3, 6]


@pytest.mark.parametrize(
    ("change", "split_by", "message"),
    [
        ({"fold": None}, "folds", "no fold column"),
        ({"fold": 1}, "folds", "only fold '1'"),
        ({"split": "train"}, "split", "split train and test"),
        ({}, "foldz", "unknown --split-by"),
    ],
)
def test_missing_folds_are_reported(manifest, change, split_by, message):
    with pytest.raises(AuricleError, match=message):
        splits_of(changed(manifest, **change), split_by)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"fold": None, "group": None}, "no folds, split or groups"),
        ({"fold": 1, "group": None}, "only fold 1"),
        ({"fold": None, "group": None, "split": "train"}, "no train and test part"),
        ({"fold": None, "group": "one site"}, "no folds, split or groups"),
    ],
)
def test_without_folds_stratified_ones_are_drawn_and_said(manifest, cache, change, found):
    clips = changed(manifest, **change)
    result = evaluate(logmel_stats(), Task("", seconds=0.2), manifest=clips, cache=cache, baselines=False)
    assert [(s.fold, s.classes_scored) for s in result.score.scores] == [(f"fold {i}", 3) for i in range(1, 6)]
    assert found in result.notes[0]
    assert "5 stratified folds were drawn" in result.notes[0]


def test_drawn_folds_keep_the_groups_of_a_table_without_folds(manifest):
    clips = replace(manifest, clips=tuple(replace(c, fold=None, group=None) for c in manifest))
    pairs = tuple(replace(c, group=f"bird {i // 2}") if i < 4 else c for i, c in enumerate(clips))
    for split in splits_of(replace(clips, clips=pairs), "drawn"):
        assert not {pairs[r].group for r in split.train} & {pairs[r].group for r in split.test} - {None}


def test_groups_of_one_clip_each_are_no_way_to_split(manifest):
    alone = tuple(replace(c, fold=None, group=c.id) for c in manifest)
    assert len(splits_of(replace(manifest, clips=alone))) == 5


def test_the_refusal_of_clips_without_labels_names_the_tables_of_the_folder_or_what_the_table_lacks(tmp_path):
    for name in ("a.wav", "b.wav"):
        write_sound(tmp_path / name, tone(440))
    table = tmp_path / "meta.csv"
    table.write_text("file_name,digit\na.wav,1\nb.wav,2\n")
    with pytest.raises(AuricleError, match=f"tables there: {table}"):
        labelled(read_manifest(tmp_path))
    with pytest.raises(AuricleError, match="no column of labels; columns that are not used: digit; --label-column"):
        labelled(read_manifest(table))


def test_a_manifest_without_labels_is_refused_before_any_audio_is_read(manifest, cache):
    with pytest.raises(AuricleError, match="none of the 18 clips has a label"):
        evaluate(logmel_stats(), Task(""), manifest=changed(manifest, labels=()), cache=cache)
    with pytest.raises(AuricleError, match="same label"):
        labelled(changed(manifest, labels=("x",)))
    assert cache.computed == 0


def test_duplicate_ids_are_refused(manifest):
    with pytest.raises(AuricleError, match="duplicate ids"):
        Manifest((*manifest.clips, manifest.clips[0]), manifest.root)


def notes_of(manifest):
    return " | ".join(split_notes(manifest, class_targets(manifest), splits_of(manifest)))


def test_leaking_groups_are_noted(manifest):
    clips = tuple(replace(clip, group=f"speaker {i % 2}") for i, clip in enumerate(manifest))
    assert "2 groups (speaker 0, speaker 1) in both the training and the test part of fold 1" in notes_of(
        replace(manifest, clips=clips)
    )
    assert notes_of(manifest) == ""


def test_a_class_absent_from_a_fold_and_a_class_of_one_clip_are_noted(manifest):
    rare = Clip("rare.wav", path="low-0.wav", labels=("rare",), fold=1)
    notes = notes_of(replace(manifest, clips=(*manifest.clips, rare)))
    assert "fold 1: 1 class (rare) absent from its training part (their clips count as wrong)" in notes
    assert "fold 2: 1 class (rare) absent from its test part" in notes
    assert "1 class (rare) with a single clip" in notes


def test_a_training_part_of_one_class_is_refused(manifest):
    clips = [replace(clip, fold=1 if clip.labels == ("low",) else 2) for clip in manifest]
    with pytest.raises(AuricleError, match="one class only"):
        splits_of(replace(manifest, clips=tuple(clips)))


def test_an_evaluation_holds_all_that_a_report_needs(manifest, cache):
    found = evaluate(m2d(), Task("", name="tones", seconds=0.2), manifest=manifest, cache=cache, few_shot=True)
    assert [row.model for row in found.baselines] == [f"untrained {found.score.model}", "logmel-stats", "chance"]
    assert found.baselines[1].score > 0.8
    assert found.baselines[2].score == pytest.approx(1 / 3)
    assert found.classes == CLASSES
    assert found.classes_scored == 3
    assert len(found.score.scores) == 3
    assert found.score.score == pytest.approx(np.mean([s.score for s in found.score.scores]))
    assert found.score.std == pytest.approx(np.std([s.score for s in found.score.scores], ddof=1))
    assert {p.id for p in found.predictions} == set(manifest.ids)
    assert found.confusion.sum() == len(manifest)
    assert found.interval[0] <= found.score.score <= found.interval[1]
    assert [point.shots for point in found.score.few_shot] == [1, 2, 4, 8]
    assert found.environment["torch"]
    assert all(not p.right for p in found.mistakes())


def test_an_evaluation_is_equal_after_json(manifest, cache, tmp_path):
    found = evaluate(m2d(), Task("", name="tones"), "knn-vote", manifest=manifest, cache=cache, few_shot=True)
    found.save(tmp_path / "result.json")
    assert Evaluation.load(tmp_path / "result.json") == found
    assert str(found) in str(Evaluation.load(tmp_path / "result.json"))


def test_an_evaluation_of_the_first_edition_is_read(manifest, cache):
    found = evaluate(logmel_stats(), Task("", metric="d_prime"), manifest=manifest, cache=cache, baselines=False)
    saved = json.loads(json.dumps(found.to_json()))
    saved["metric"] = "d-prime"
    saved["score"]["deviation"] = saved["score"].pop("std")
    assert Evaluation.from_json(saved) == found


def test_other_probes_of_the_same_encoder_compute_nothing_again(manifest, cache):
    task = Task("", seconds=0.2)
    for how in ("logistic", "knn-vote", "logistic-cv"):
        evaluate(logmel_stats(), task, how, manifest=manifest, cache=cache)
    assert cache.computed == len(manifest)


class NearestMean:
    """A probe of the tests: the negative distance to the mean of each class."""

    def fit_predict(self, features, targets, split, key):
        x, y = features.vectors(), targets.values
        means = np.stack([x[split.train][y[split.train, c] > 0].mean(0) for c in range(y.shape[1])])
        return -np.linalg.norm(x[split.test][:, None] - means, axis=2)


def test_any_object_with_fit_predict_is_a_probe(manifest, cache):
    chosen = Protocol("nearest-mean", NearestMean(), "distance to the mean of each class")
    found = evaluate(logmel_stats(), Task("", seconds=0.2), chosen, manifest=manifest, cache=cache)
    assert found.protocol == "nearest-mean"
    assert found.score.score > 0.8


def test_features_hold_every_level_of_the_embeddings(manifest):
    encoder, ids = m2d(), manifest.ids[::-1][:4]
    embedded = embed(manifest, encoder, layers=(0, 1), level="frames")
    features = Features.from_embeddings(embedded, ids)
    assert features.layers.shape[:2] == (4, 2)
    assert np.array_equal(features.layers[:, 1], embedded.layer(1)[::-1][:4])
    assert np.array_equal(features.vectors(), features.layers.reshape(4, -1))
    assert [f.shape[0] for f in features.frames] == [len(t) for t in features.times]
    assert np.array_equal(features.frames[0], embedded.frames[-1])


def test_the_evar_probe_trains_on_random_windows_in_training(manifest, cache):
    found = evaluate(logmel_stats(), Task("", seconds=0.1), "evar", manifest=manifest, cache=cache, seeds=(1, 2))
    assert cache.computed == 2 * len(manifest)
    assert len(found.score.scores) == 6


def test_broken_clips_are_left_out_and_counted(tmp_path, cache):
    manifest = corpus(tmp_path / "audio")
    (tmp_path / "audio" / "low-0.wav").write_text("no audio")
    unlabelled = Clip("extra", path="low-1.wav")
    whole = replace(manifest, clips=(*manifest.clips, unlabelled))
    found = evaluate(logmel_stats(), Task("", seconds=0.2), manifest=whole, cache=cache)
    assert set(found.failed) == {"low-0.wav"}
    assert found.coverage == Coverage(clips=19, unlabelled=1, failed=1, left_out=0, tested=17)
    assert cache.computed == 17


def test_an_unreadable_clip_changes_no_fold_of_the_others(tmp_path, cache):
    """Folds are drawn once, from all labelled clips; a fold of which nothing is left is left out and said."""
    manifest = changed(corpus(tmp_path / "audio"), fold=None, group=None)
    planned = {manifest.ids[row]: split.name for split in splits_of(manifest, "drawn") for row in split.test}
    lost = [id for id, name in planned.items() if name == "fold 2"] + ["low-0.wav"]
    for id in lost:
        (tmp_path / "audio" / id).write_text("no audio")
    found = evaluate(logmel_stats(), Task("", seconds=0.2), manifest=manifest, cache=cache, baselines=False)
    assert {p.id: p.fold for p in found.predictions} == {k: v for k, v in planned.items() if k not in lost}
    assert any("fold 2 has" in note and "left out" in note for note in found.notes)


def test_a_fold_that_the_metric_has_no_value_for_is_refused_before_audio_is_read(manifest, cache):
    """Each class in a fold of its own: no area under a curve without a negative."""
    parts = {name: i for i, name in enumerate(CLASSES, 1)}
    clips = tuple(replace(clip, fold=parts[clip.labels[0]], group=None) for clip in manifest)
    with pytest.raises(AuricleError, match="fold 1 cannot be scored by roc_auc"):
        evaluate(
            logmel_stats(),
            Task("", seconds=0.2, metric="roc_auc"),
            manifest=replace(manifest, clips=clips),
            cache=cache,
        )
    assert cache.computed == 0


def test_an_infinite_score_is_null_in_json(manifest, cache):
    found = evaluate(logmel_stats(), Task("", seconds=0.2, metric="d_prime"), manifest=manifest, cache=cache)
    assert found.score.std is None
    assert json.loads(dumps(found.to_json()), parse_constant=pytest.fail)["score"]["score"] is None


def test_thousands_of_classes_make_a_small_file_and_an_array_beside_it(tmp_path):
    """2,000 classes and 4,000 clips: the scores are 8 million numbers."""
    classes = tuple(f"species {i:04d}" for i in range(2000))
    scores = np.random.default_rng(0).random((4000, 2000), np.float32)
    clips = [(f"{i}.wav", "test", (classes[i // 2],)) for i in range(4000)]
    score = Score("x", 0.5, None, (FoldScore("test", 0, 0.5, 4000, 0, 4000, 2000),))
    truth = np.eye(2000, dtype=np.float32)[np.arange(4000) // 2]
    evaluation = Evaluation(
        "birds", "logistic", "accuracy", score, (), classes, 2000, False, Coverage(4000, 0, 0, 0, 4000),
        make_predictions(clips, scores, classes), class_scores=class_values(scores, truth, classes, False),
        all_scores=scores,
    )  # fmt: skip
    evaluation.save(tmp_path / "r.json")
    assert (tmp_path / "r.json").stat().st_size < 3e6
    back = Evaluation.load(tmp_path / "r.json")
    assert back == evaluation
    assert np.array_equal(back.all_scores, scores)
    assert back.predictions[7].scores == tuple(np.sort(np.round(scores[7].astype(float), 6))[::-1][:5])
    (tmp_path / "r.scores.npy").write_bytes(b"cut")
    assert Evaluation.load(tmp_path / "r.json").all_scores is None
    replace(evaluation, all_scores=None).save(tmp_path / "r.json")
    assert not (tmp_path / "r.scores.npy").exists()


def test_scores_of_all_classes_as_earlier_versions_wrote_them_are_read(manifest, cache):
    found = evaluate(logmel_stats(), Task("", seconds=0.2), manifest=manifest, cache=cache, baselines=False)
    saved = json.loads(json.dumps(found.to_json()))
    for plain, row in zip(saved["predictions"], found.all_scores, strict=True):
        del plain["top"]
        plain["scores"] = [round(float(v), 6) for v in row]
    del saved["identity"]
    back = Evaluation.from_json(saved)
    assert back.predictions == found.predictions
    assert back.per_class() == found.per_class()
    assert back.task_identity.differences(found.task_identity) == []


def test_what_is_not_the_default_of_an_embedding_is_in_the_name(manifest, cache):
    encode = EncodeSettings(layers=("0", "-1"), pooling="max", precision="bf16")
    found = evaluate(m2d(), Task("", seconds=0.2), manifest=manifest, cache=cache, encode=encode)
    assert found.variant == "layers 0 -1, max, bf16"
    assert found.score.model == f"{m2d().info.name} (layers 0 -1, max, bf16)"
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))).variant == found.variant


def test_few_shots_of_clips_with_several_labels_are_refused_before_audio_is_read(manifest, cache):
    several = replace(manifest, clips=tuple(replace(c, labels=(*c.labels, "sound")) for c in manifest))
    with pytest.raises(AuricleError, match="exactly one label"):
        evaluate(logmel_stats(), Task("", seconds=0.2), manifest=several, cache=cache, few_shot=True)
    assert cache.computed == 0


def test_nan_features_are_refused(manifest, cache):
    encoder = m2d()
    next(encoder.parameters()).data.fill_(float("nan"))
    with pytest.raises(AuricleError, match="none of the 18 clips could be embedded.*no finite embedding"):
        evaluate(encoder, Task(""), manifest=manifest, cache=cache)


def test_a_baseline_that_does_as_well_is_noted(manifest, cache):
    found = evaluate(m2d(), Task("", seconds=0.2), "knn-vote", manifest=manifest, cache=cache)
    not_beaten = [r for r in found.baselines if score_difference(found.score, r).verdict("accuracy") != "better"]
    assert any(row.score >= found.score.score for row in found.baselines)
    assert len([note for note in found.notes if "does as well" in note]) == len(not_beaten) > 0


@pytest.mark.parametrize(
    ("own", "other", "note"),
    [
        ([0.80, 0.90, 0.85, 0.83, 0.87], [0.50, 0.60, 0.55, 0.52, 0.58], ""),
        ([0.55, 0.66, 0.55, 0.50, 0.62], [0.50, 0.60, 0.55, 0.52, 0.58], "no larger than those between the splits"),
        ([0.50, 0.60, 0.55, 0.52, 0.58], [0.80, 0.90, 0.85, 0.83, 0.87], "does as well (0.8500)"),
        ([0.9], [0.1], ""),
        ([0.1], [0.9], "does as well"),
        ([math.inf, math.inf], [2.0, 3.0], ""),
        ([math.inf, 2.0], [math.inf, 2.0], "does as well"),
    ],
)
def test_a_baseline_is_noted_by_the_test_that_comparisons_use(own, other, note):
    def score(name, values):
        folds = tuple(FoldScore(f"fold {i}", 0, v, 80, 0, 20, 3) for i, v in enumerate(values))
        return Score(name, float(np.mean(values)), None, folds)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notes = baseline_notes(score("x", own), [score("untrained x", other)], "accuracy")
    assert len(notes) == bool(note)
    assert note in " ".join(notes)


def test_several_labels_per_clip_are_scored_by_map(manifest, cache):
    clips = tuple(replace(c, labels=(*c.labels, "tone") if i % 2 else c.labels) for i, c in enumerate(manifest))
    found = evaluate(logmel_stats(), Task(""), manifest=replace(manifest, clips=clips), cache=cache)
    assert found.metric == "mAP"
    assert found.multilabel
    assert set(found.per_class()) == {*CLASSES, "tone"}
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("form", ["pooled", "published"])
def test_task_statistics_replace_the_encoders_own(manifest, cache, form):
    own, other = (
        evaluate(m2d(), Task("", seconds=0.2), manifest=manifest, cache=cache, statistics=s, baselines=False)
        for s in ("own", form)
    )
    assert own.score.checksum != other.score.checksum


@pytest.mark.parametrize("form", ["pooled", "published"])
def test_statistics_are_of_the_random_windows_of_training_in_full_batches(tmp_path, form):
    loud = np.concatenate([tone(0.2, 16000, 500.0) * 1e-3, tone(1.8, 16000, 500.0)])
    for i in range(12):
        write_sound(tmp_path / f"{i}.wav", loud, 16000)
    manifest, encoder = read_manifest(tmp_path), logmel_stats()
    start = task_statistics(encoder, manifest, EmbedSettings(seconds=0.2, batch_size=4), form)
    windows = task_statistics(encoder, manifest, EmbedSettings(seconds=0.2, batch_size=4, crop="random"), form)
    assert windows[0] > start[0] + 1
    batches = clip_batches(manifest, 16000, EmbedSettings(seconds=40.0, batch_size=10), in_order=True)
    assert [len(batch) for batch in batches] == [10, 2]  # not cut to bound memory: EVAR's form weighs batches


def test_labels_that_are_numbers_are_ordered_by_number(manifest):
    clips = tuple(replace(c, labels=(("10", "2", "100")[i % 3],)) for i, c in enumerate(manifest))
    assert class_targets(replace(manifest, clips=clips)).classes == ("2", "10", "100")
    assert class_targets(labelled(replace(manifest, clips=clips))).classes == ("2", "10", "100")
    given = replace(manifest, clips=clips, classes=("10", "100", "2"))
    assert class_targets(labelled(given)).classes == ("10", "100", "2")


def test_the_command_evaluates_stores_and_compares(manifest, tmp_path, cached, capsys):
    labels = table(manifest, tmp_path / "meta.csv")
    common = [str(manifest.root), "--model", "logmel-stats", "--labels", str(labels), "--seconds", "0.2"]
    assert main(["evaluate", *common, "--out", str(tmp_path / "r.json")]) == 0
    saved = Evaluation.load(tmp_path / "r.json")
    assert f"logmel-stats  {saved.score.score:.4f} ± {saved.score.std:.4f}" in capsys.readouterr().out
    assert main(["evaluate", *common, "--protocol", "knn", "--json", "--no-baselines"]) == 0
    assert json.loads(capsys.readouterr().out)["protocol"] == "knn-vote"
    assert main(["results", "--format", "csv"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4
    assert main(["results", "--compare", "chance", "logmel-stats"]) == 0
    assert "paired t p" in capsys.readouterr().out


def test_the_first_editions_command_line_is_accepted(manifest, tmp_path, cached, capsys):
    labels = table(manifest, tmp_path / "meta.csv", "filename,fold,label,speaker")
    common = ["logmel-stats", str(manifest.root), "--labels", str(labels), "--no-baselines", "--json"]
    protocols = {"linear": "logistic", "knn": "knn-vote", "fewshot": "logistic"}
    for probe, protocol in protocols.items():
        assert main(["evaluate", probe, *common, "--folding", "groups", "--group-column", "speaker"]) == 0
        answer = json.loads(capsys.readouterr().out)
        assert (answer["protocol"], len(answer["score"]["scores"])) == (protocol, 6)
        assert bool(answer["score"]["few_shot"]) == (probe == "fewshot")
    assert main(["evaluate", "linear", *common, "--protocol", "logistic-cv", "--metric", "balanced-accuracy"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["protocol"], answer["metric"]) == ("logistic-cv", "balanced_accuracy")


def test_a_command_without_model_or_data_is_refused(manifest, cached, capsys):
    assert main(["evaluate", str(manifest.root)]) == 2
    assert "--model" in capsys.readouterr().err
    assert main(["evaluate", "--model", "logmel-stats"]) == 2
    assert "--suite" in capsys.readouterr().err
    assert main(["evaluate", str(manifest.root), "--model", "logmel-stats", "--suite", "quick"]) == 2
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--label-column", "species"], "species"),
        (["--protocol", "knn-vote"], "has no protocol"),
        (["--metric", "mAP", "--folding", "groups"], "group"),
    ],
)
def test_wrong_commands_exit_with_two_and_one_line(manifest, tmp_path, cached, capsys, extra, message):
    labels = table(manifest, tmp_path / "meta.csv")
    assert main(["evaluate", "linear", "logmel-stats", str(manifest.root), "--labels", str(labels), *extra]) == 2
    assert message in capsys.readouterr().err


def test_a_broken_clip_makes_the_command_exit_with_one(tmp_path, cached, capsys):
    manifest = corpus(tmp_path / "audio")
    (tmp_path / "audio" / "low-0.wav").write_bytes(b"")
    labels = table(manifest, tmp_path / "meta.csv")
    assert main(["evaluate", "linear", "logmel-stats", str(manifest.root), "--labels", str(labels)]) == 1
    assert "low-0.wav" in capsys.readouterr().err


def test_the_floor_on_esc10_from_audio(shared, cache):
    task = Task(str(shared / "data/esc10/audio"), labels=str(shared / "data/esc10/meta.csv"), seconds=5.0)
    found = evaluate(logmel_stats(), task, cache=cache, baselines=False)
    assert 0.77 <= found.score.score <= 0.81


@pytest.mark.slow
def test_the_floor_on_the_digits_of_unheard_speakers_from_audio(shared, cache):
    source, labels = str(shared / "data/fsdd/audio"), str(shared / "data/fsdd/meta.csv")
    task = Task(source, labels=labels, label_column="digit", split_by="groups", seconds=1.0)
    found = evaluate(logmel_stats(), task, cache=cache, baselines=False)
    assert 0.51 <= found.score.score <= 0.56
