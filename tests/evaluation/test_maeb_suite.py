"""MAEB: mteb's own evaluator runs our encoders on small tasks made here, without network; the suite keeps the scores."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.compat.mteb import encoder
from auricle.core.errors import AuricleError, MissingExtra
from auricle.evaluation.results import ResultsStore
from auricle.evaluation.suites.maeb.library import scores_of
from auricle.evaluation.suites.read import read_suite
from helpers.encoders import FAMILIES

needs_mteb = pytest.mark.skipif(
    importlib.util.find_spec("mteb") is None, reason="mteb, the extra [mteb], is not installed"
)
TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(TESTS))
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MTEB_CACHE", raising=False)
    return tmp_path


def suite(*names: str) -> str:
    rows = "\n".join(f"  - {{name: {name}, task: 'helpers.maeb_tasks:{name}'}}" for name in names)
    Path("toy.yaml").write_text(f"adapter: maeb\ntasks:\n{rows}\n", encoding="utf-8")
    return "toy.yaml"


def test_the_shipped_suites_name_the_tasks_of_the_benchmark():
    every, audio = ({task.name for task in read_suite(name).tasks} for name in ("maeb", "maeb-audio"))
    assert (len(every), len(audio)) == (30, 19)
    assert audio < every
    assert {task.name: task.subsets for task in read_suite("maeb").tasks}["FSD2019Kaggle"] == ("curated",)


def test_without_mteb_the_install_line_is_said(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mteb", None)
    for name in ("mteb.models", "mteb.models.abs_encoder"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "auricle.evaluation.suites.maeb.encoder", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'auricle\[mteb\]'"):
        encoder(FAMILIES["logmel-stats"].make())
    assert main(["evaluate", "--suite", "maeb-audio", "--model", "logmel-stats", "--quiet"]) == 2
    assert "pip install 'auricle[mteb]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ("{subsets: [curated]}", "needs a 'name' or a 'task'"),
        ("{name: A, subsets: curated}", "subsets should be a list"),
        ("{name: A, seconds: 5}", "unknown setting seconds"),
    ],
)
def test_a_wrong_record_is_refused(record, words):
    Path("wrong.yaml").write_text(f"adapter: maeb\ntasks:\n  - {record}\n", encoding="utf-8")
    with pytest.raises(AuricleError, match=words):
        read_suite("wrong.yaml")


def test_scores_are_kept_by_split_subset_and_experiment():
    experiments = [{"accuracy": 0.5}, {"accuracy": 0.7}]
    found = {
        "test": [
            {"hf_subset": "default", "main_score": 0.6, "scores_per_experiment": experiments},
            {"hf_subset": "fra", "main_score": 0.8},
        ]
    }
    assert scores_of(found, "accuracy") == {"test / 0": 0.5, "test / 1": 0.7, "test fra": 0.8}


@needs_mteb
def test_mteb_evaluates_an_encoder_and_its_cache_reads_the_result_files(here):
    import mteb

    from helpers.maeb_tasks import TonePairs, Tones

    model = encoder(FAMILIES["logmel-stats"].make(), name="anna/tones")
    cache = mteb.ResultCache(here / "mteb")
    found = mteb.evaluate(model, [Tones(), TonePairs()], cache=cache, show_progress_bar=False)
    assert {result.task_name: result.get_score() > 0.6 for result in found.task_results} == {
        "Tones": True,
        "TonePairs": True,
    }
    folder = here / "mteb" / "results" / "anna__tones" / model.model.fingerprint()
    assert {file.name for file in folder.iterdir()} == {
        "Tones.json",
        "TonePairs.json",
        "model_meta.json",
        "run_settings.jsonl",
    }
    again = mteb.results.TaskResult.from_disk(folder / "Tones.json", load_historic_data=False)
    assert again.get_score() == pytest.approx(found.task_results[0].get_score(), abs=1e-6)
    assert json.loads((folder / "model_meta.json").read_text())["modalities"] == ["audio"]


@needs_mteb
def test_rows_that_mteb_batches_have_the_embeddings_of_the_embedder():
    from mteb._create_dataloaders import create_dataloader

    from auricle.inference.embedder import Embedder
    from helpers.maeb_tasks import Tones, rows

    network, values = FAMILIES["mn"].make(), rows(6)
    want = Embedder(network)([entry["bytes"] for entry in values["audio"]]).clip
    for size in (1, 4):
        loader = create_dataloader(
            Tones.audio(values), task_metadata=Tones.metadata, input_column="audio", batch_size=size
        )
        options = {
            "task_metadata": Tones.metadata,
            "hf_split": "test",
            "hf_subset": "default",
            "show_progress_bar": False,
        }
        np.testing.assert_allclose(
            encoder(network, batch_size=size).encode(loader, **options), want, rtol=1e-4, atol=1e-4
        )


@needs_mteb
def test_the_description_holds_what_is_known_of_a_published_model():
    from auricle.evaluation.suites.maeb.meta import model_meta
    from auricle.inference.config import EncodeSettings

    network = FAMILIES["mn"].make()
    network.update_info(name="mn04_as", licence="MIT")
    meta = model_meta(network, 96, EncodeSettings(pooling="mean_std"))
    assert (meta.name, meta.revision, meta.license) == ("auricle/mn04_as", network.fingerprint(), "mit")
    assert (meta.n_parameters, meta.embed_dim) == (sum(p.numel() for p in network.parameters()), 96)
    assert (meta.open_weights, meta.framework, meta.training_datasets) == (True, ["PyTorch"], {"AudioSet"})
    assert meta.experiment_name  # other vectors of one model are another experiment
    network.update_info(name="/home/anna/runs/first.safetensors", licence="no idea")
    own = model_meta(network, 96)
    assert (own.name, own.license, own.open_weights) == ("auricle/first", "not specified", None)
    network.update_info(name="hf://anna/frogs")
    assert (model_meta(network, 96).name, model_meta(network, 96).open_weights) == ("anna/frogs", True)


@needs_mteb
def test_a_suite_keeps_scores_says_what_it_cannot_measure_and_goes_on_where_it_was(here, capsys):
    line = [
        "evaluate",
        "--suite",
        suite("Tones", "EmptyClip", "Unreachable", "Captions"),
        "--model",
        "logmel-stats",
        "--quiet",
    ]
    assert main(line) == 1
    said = capsys.readouterr().err
    assert "EmptyClip, test, row 4 (empty.wav): holds no samples" in said
    assert "mteb could not load the data of Unreachable (made/here): no route to the hub" in said
    assert "logmel-stats has no text side" in said
    (row,) = ResultsStore(here / "cache" / "results.sqlite").select()
    assert (row.task, row.protocol, row.version[:5], row.metric) == ("Tones", "maeb", "mteb ", "accuracy")
    assert (row.clips, row.classes, len(row.scores)) == (9, 3, 3)
    assert row.test_ratio == pytest.approx(9 / 6)
    assert row.score == pytest.approx(np.mean(list(row.scores.values())))
    assert list((here / "cache" / "mteb" / "results").glob("auricle__logmel-stats/*/Tones.json"))
    assert main([*line, "--tasks", "Tones"]) == 0
    assert "measured" in capsys.readouterr().out
    assert len(ResultsStore(here / "cache" / "results.sqlite").select()) == 1
