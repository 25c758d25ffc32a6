"""HEAR: decoding of events and scores as published, task folders written and read, its classifier, and a suite of them."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.core.randomness import RandomKey
from auricle.data.manifest.manifest import Segment
from auricle.evaluation.results import ResultsStore
from auricle.evaluation.suites.hear.events import Decoding, decode_events, decodings, timestamp_labels
from auricle.evaluation.suites.hear.folder import HEAR_METRICS, HearFolder, fold_rotation
from auricle.evaluation.suites.hear.predictor import GRIDS, PredictorSettings, fit_predictor, make_network
from auricle.evaluation.suites.hear.write import file_names
from auricle.metrics.events import event_counts
from auricle.metrics.table import METRICS
from helpers.evaluation_data import corpus, table
from helpers.paths import GOLDEN
from helpers.sounds import tone, write_sound

WANT = json.loads((GOLDEN / "evaluation/hear.json").read_text())
ARRAYS = load_file(GOLDEN / "evaluation/hear.safetensors")
CLIPS = ("clip0.wav", "clip1.wav", "clip2.wav")


def spans(events):
    return tuple(sorted(Segment(e["start"] / 1e3, e["end"] / 1e3, e["label"]) for e in events))


def decoded(setting: str):
    width, shortest = (float(part.split("=")[1]) for part in setting.split(","))
    decoding, times = Decoding(width, shortest), ARRAYS["timestamps_ms"]
    return [decode_events(ARRAYS[f"prob/{clip}"], times, ("x", "y"), decoding) for clip in CLIPS]


@pytest.mark.parametrize("setting", WANT["events"])
def test_probabilities_become_the_published_events(setting):
    for found, clip in zip(decoded(setting), CLIPS):
        want = spans(WANT["events"][setting][clip])
        assert [(e.label, round(e.onset, 6), round(e.offset, 6)) for e in found] == [
            (e.label, round(e.onset, 6), round(e.offset, 6)) for e in want
        ]


@pytest.mark.parametrize("score", WANT["event_scores"])
def test_events_have_the_published_scores(score):
    truth = [spans(WANT["reference_events"][clip]) for clip in CLIPS]
    for setting, values in WANT["event_scores"][score].items():
        found = decoded(setting)
        assert METRICS[HEAR_METRICS[score]](found, truth) == pytest.approx(values[0][1], abs=1e-9)
        if len(values) == 3:  # precision and recall
            collar = 0.2 if "200ms" in score else 0.05
            counts = event_counts(found, truth, collar, 0.2 if "20perc" in score else None)
            hits = counts.hits.total()
            assert hits / counts.predicted.total() == pytest.approx(dict(values)["precision"], abs=1e-9)
            assert hits / counts.true.total() == pytest.approx(dict(values)["recall"], abs=1e-9)


@pytest.mark.parametrize("kind", WANT["scene_scores"])
def test_scenes_have_the_published_scores(kind):
    scores, targets = ARRAYS[f"{kind}/score"], ARRAYS[f"{kind}/target"]
    for name, want in WANT["scene_scores"][kind].items():
        if (kind, name) != (
            "multilabel",
            "top1_acc",
        ):  # several labels have no single best one; no task of HEAR asks for it
            assert METRICS[HEAR_METRICS[name]](scores, targets) == pytest.approx(want, abs=1e-9), name


def test_folds_rotate_as_published():
    folds = [f"fold{i:02d}" for i in range(5)]
    found = [{"train": train, "valid": valid, "test": test} for _, train, valid, test in fold_rotation(folds)]
    assert found == WANT["splits_from_folds"]


def test_labels_hold_at_timestamps_as_published():
    golden = WANT["timestamp_labels"]
    events = [Segment(start / 1e3, end / 1e3, label) for label, start, end in golden["events"]]
    found = timestamp_labels(events, np.array(golden["timestamps"]), ("x", "y"))
    assert [[name for name, holds in zip("xy", row) if holds] for row in found] == golden["labels"]


def test_the_grid_of_a_task_names_its_decodings():
    found = decodings({"median_filter_ms": [150], "min_duration": [50, 60]})
    assert found == (Decoding(150, 50), Decoding(150, 60))


def test_eight_of_sixteen_settings_are_drawn_and_the_draw_is_fixed():
    found = GRIDS["default"].candidates(RandomKey(42))
    assert len(set(found)) == 8
    assert found == GRIDS["default"].candidates(RandomKey(42))
    assert all((s.hidden_dim, s.batch_size, s.epochs, s.dropout) == (1024, 1024, 500, 0.1) for s in found)


def test_layers_start_with_the_gain_of_the_activation_before():
    network = make_network(400, 300, PredictorSettings(1, 500, initialisation="normal"), RandomKey(0))
    first, last = network[0].weight, network[-1].weight
    assert first.std().item() == pytest.approx((2 / 900) ** 0.5, rel=0.02)
    assert last.std().item() == pytest.approx((2 * 2 / 800) ** 0.5, rel=0.02)


def test_the_predictor_keeps_the_epoch_of_its_best_validation():
    source = np.random.default_rng(0)
    targets = np.eye(3, dtype=np.float32)[source.integers(0, 3, 60)]
    features = (targets @ source.normal(size=(3, 8)) + 0.1 * source.normal(size=(60, 8))).astype(np.float32)
    seen = []

    def validate(values):
        seen.append(values)
        return METRICS["accuracy"](values, targets[40:]), len(seen)

    settings = PredictorSettings(1, 16, lr=1e-2, epochs=40, check_every=2, patience=3)
    fitted = fit_predictor(
        features[:40], targets[:40], features[40:], validate, settings, RandomKey(1), multilabel=False
    )
    assert fitted.validation > 0.9
    assert fitted.epoch == 2 * fitted.choice
    assert np.allclose(fitted.predict(features[40:]), seen[fitted.choice - 1])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A task in folds written from a table, and one of events in fixed parts written by hand."""
    place = tmp_path_factory.mktemp("hear")
    manifest = corpus(place / "tones", per_class=6)
    labels = table(manifest, place / "tones.csv")
    source, out = str(place / "tones"), str(place / "tasks/tones-v1-full")
    options = ["--labels", str(labels), "--rates", "16000", "--seconds", "0.25", "--out", out]
    answer = main(["prepare", "hear", source, *options])
    assert answer == 0
    _write_event_task(place / "tasks/beeps-v1-full")
    (place / "suite.yaml").write_text(
        "adapter: hear\ntasks:\n  - {name: tones, source: tasks/tones-v1-full, grid: fast}\n"
        "  - {name: beeps, task: beeps, grid: faster}\n  - {name: esc50, task: esc50}\n"
    )
    return place


def _write_event_task(folder):
    folder.mkdir(parents=True)
    metadata = {
        "task_name": "beeps",
        "version": "v1",
        "mode": "full",
        "embedding_type": "event",
        "prediction_type": "multilabel",
        "split_mode": "trainvaltest",
        "splits": [{"name": "train"}, {"name": "valid"}, {"name": "test"}],
        "sample_duration": 2.0,
        "evaluation": ["event_onset_200ms_fms", "segment_1s_er"],
    }
    (folder / "task_metadata.json").write_text(json.dumps(metadata))
    (folder / "labelvocabulary.csv").write_text("idx,label\n0,high\n1,low\n")
    for part in ("train", "valid", "test"):
        labels = {}
        for i in range(3):
            wave = np.zeros(32000, np.float32)
            wave[8000:16000] = tone(0.5, 16000, 2700.0, seed=i)
            wave[20000:28000] = tone(0.5, 16000, 300.0, seed=i)
            write_sound(folder / "16000" / part / f"{i}.wav", wave)
            labels[f"{i}.wav"] = [
                {"label": "high", "start": 500.0, "end": 1000.0},
                {"label": "low", "start": 1250.0, "end": 1750.0},
            ]
        (folder / f"{part}.json").write_text(json.dumps(labels))


def test_a_written_folder_has_the_published_layout(folders):
    folder = HearFolder.open(folders / "tasks/tones-v1-full")
    assert folder.metadata["split_mode"] == "presplit_kfold"
    assert folder.split_names == ("fold00", "fold01", "fold02")
    assert folder.classes == ("high", "low", "middle")
    clips = folder.clips(16000)
    assert len(clips) == 18
    assert all(clips.audio(clip).is_file() for clip in clips)
    splits = folder.splits(clips)
    assert [len(split.test) for split in splits] == [6, 6, 6]
    assert all(len({*s.train, *s.valid, *s.test}) == 18 for s in splits)


def test_a_suite_of_hear_scores_scenes_and_events_and_names_what_is_missing(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    store = tmp_path / "scores.sqlite"
    command = [
        "evaluate",
        "--suite",
        str(folders / "suite.yaml"),
        "--data",
        str(folders / "tasks"),
        "--store",
        str(store),
    ]
    text = (folders / "suite.yaml").read_text().replace("tasks/tones", "tones")
    (folders / "suite.yaml").write_text(text)
    assert main([*command, "--model", "logmel-stats"]) == 1
    assert "zenodo.org/records/5887964" in capsys.readouterr().err
    rows = {(row.task, row.metric): row for row in ResultsStore(store).select()}
    assert set(rows) == {("tones", "accuracy"), ("beeps", "onset_f"), ("beeps", "segment_error_rate")}
    assert len(rows["tones", "accuracy"].scores) == 3
    assert rows["tones", "accuracy"].score > 0.4
    (file, *_) = sorted(tmp_path.glob("evaluations/*test.predicted-scores.json"))
    assert "aggregated_scores" in json.loads(file.read_text())
    assert main([*command, "--model", "logmel-stats"]) == 1  # finished works are not measured again
    assert len(list(ResultsStore(store).select())) == 3


def test_clips_whose_names_would_be_the_same_are_all_written(tmp_path):
    ids = ["a/b.wav", "a-b.wav", "a-b.flac", "A-B.wav", "c.wav", "ü/\u2028.wav", "x" * 300, "x" * 299 + "y"]
    names = file_names(ids)
    assert len({name.casefold() for name in names}) == len(ids)
    assert names[4] == "c.wav"
    assert all("/" not in name and len(name.encode()) <= 255 for name in names)
    assert sorted(file_names(ids[::-1])) == sorted(names)  # the same names when the task is written again


def test_events_are_cut_to_what_is_written_and_another_task_keeps_its_folder(tmp_path, capsys):
    rows = ["filename,onset,offset,label,split"]
    for number, part in enumerate(["train"] * 3 + ["valid", "test"]):
        name = "a-b.wav" if number == 1 else "a/b.wav" if number == 2 else f"{number}.wav"
        write_sound(tmp_path / "sounds" / name, tone(1.0, seed=number))
        rows += [f"{name},0.1,0.3,x,{part}", f"{name},0.4,7.0,y,{part}", f"{name},0.8,0.9,x,{part}"]
    labels, out = tmp_path / "labels.csv", tmp_path / "task-v1-full"
    labels.write_text("\n".join(rows) + "\n")
    command = [
        "prepare",
        "hear",
        str(tmp_path / "sounds"),
        "--labels",
        str(labels),
        "--out",
        str(out),
        "--rates",
        "16000",
    ]
    assert main([*command, "--seconds", "0.5", "--split-by", "split"]) == 0
    spans = json.loads((out / "train.json").read_text())
    assert len(spans) == 3
    assert all([(e["start"], e["end"]) for e in span] == [(100, 300), (400, 500)] for span in spans.values())
    assert main([*command, "--seconds", "0.5", "--split-by", "split"]) == 0  # goes on where it was
    assert main([*command, "--split-by", "split"]) == 2
    assert "another --seconds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("task_metadata.json", "{", "no JSON"),
        ("task_metadata.json", '{"embedding_type": "scene"}', "prediction_type"),
        ("labelvocabulary.csv", "a,b\n", "idx and label"),
        ("fold00.json", '{"x.wav": ["purple"]}', "purple"),
        ("fold00.json", "[]", "expected names"),
        ("labelvocabulary.csv", "idx,label\n0,low\n1,low\n", "twice"),
        ("labelvocabulary.csv", "idx,label\n0,low\n", "at least two"),
        ("fold00.json", '{"../fold01/low-1.wav": ["low"]}', "without folders"),
        ("labelvocabulary.csv", f"idx,label\n0,{'x' * 200_000}\n", "field limit"),
    ],
)
def test_a_damaged_task_folder_is_refused_in_words(folders, tmp_path, file, text, message):
    folder = shutil.copytree(folders / "tasks/tones-v1-full", tmp_path / "task")
    (folder / file).write_text(text)
    with pytest.raises(AuricleError, match=message):
        HearFolder.open(folder).clips(16000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evaluation": ["top1_acc"]}, "no score of events"),
        ({"splits": [1, 2, 3]}, "splits should be names"),
        ({"splits": ["train", "train", "valid"]}, "each once"),
        ({"sample_duration": "long"}, "sample_duration"),
        ({"evaluation_params": [1]}, "settings by name"),
        ({"evaluation_params": {"max_epochs": 10**12}}, "max_epochs"),
        ({"evaluation_params": {"event_postprocessing_grid": {"median_filter_ms": [1e12]}}}, "median_filter_ms"),
        (
            {"evaluation_params": {"event_postprocessing_grid": {"median_filter_ms": [float("nan")]}}},
            "median_filter_ms",
        ),
    ],
)
def test_settings_of_a_task_folder_that_cannot_be_used_are_refused_in_words(folders, tmp_path, changes, message):
    folder = shutil.copytree(folders / "tasks/beeps-v1-full", tmp_path / "task")
    values = json.loads((folder / "task_metadata.json").read_text())
    (folder / "task_metadata.json").write_text(json.dumps(values | changes))
    with pytest.raises(AuricleError, match=message):
        HearFolder.open(folder).clips(16000)


def test_events_that_no_recording_holds_are_refused_and_undefined_scores_are_not_kept(folders, tmp_path, capsys):
    folder = shutil.copytree(folders / "tasks/beeps-v1-full", tmp_path / "task")
    for start, end in ((float("nan"), 5), (500, 5), (-1, 5), (10**400, 10**401)):
        (folder / "train.json").write_text(json.dumps({"0.wav": [{"label": "low", "start": start, "end": end}]}))
        with pytest.raises(AuricleError, match=r"train\.json: 0\.wav: its labels"):
            HearFolder.open(folder).clips(16000)
    values = json.loads((folder / "task_metadata.json").read_text())
    scenes = {"embedding_type": "scene", "evaluation": ["aucroc"]}
    (folder / "task_metadata.json").write_text(json.dumps(values | scenes))
    for part, labels in (("train", ["low"]), ("valid", ["high"]), ("test", ["low"])):
        found = {"0.wav": labels} if part == "test" else {"0.wav": ["low"], "1.wav": ["high"]}
        (folder / f"{part}.json").write_text(json.dumps(found))
    suite = tmp_path / "suite.yaml"
    suite.write_text("adapter: hear\ntasks:\n  - {source: task, grid: faster}\n")
    store = str(tmp_path / "scores.sqlite")
    assert main(["evaluate", "--suite", str(suite), "--model", "logmel-stats", "--store", store]) == 2
    assert "test gives no roc_auc" in capsys.readouterr().err
