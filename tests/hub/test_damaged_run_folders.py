"""Side files of a run folder that are damaged or lost: named, passed over, or made again."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.core.io import machine_id
from auricle.detectors.features import load_features
from auricle.detectors.files import load_description, load_scores
from auricle.hub.run_folder import RunFolder
from auricle.hub.weight_file import save_encoder
from auricle.methods.registry import read_settings
from auricle.reports.page import build_report
from auricle.reports.run_view import RunView
from auricle.training.checkpoint import CheckpointStore, find_damage, optimizer_tensors
from auricle.training.log import read_log
from helpers.detector_runs import make_detector
from helpers.raw_weights import small_m2d

JSON = ["", "{", "[]", "null", "3", '"x"', "[" * 100_000, "\0\0", '{"a": NaN}']


@pytest.fixture
def run(tmp_path) -> RunFolder:
    run = RunFolder.create(tmp_path / "run", {"method": "m2d", "data": "x"})
    save_encoder(small_m2d(), run.encoder, lineage={"epoch": 2, "step": 10})
    run.metrics.write_text(json.dumps({"kind": "step", "step": 1, "epoch": 1, "loss": 0.5}) + "\n")
    return run


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[1, 2]", "3", "a: [", "a: 2001-99-99", "? [a]\n: b", "[" * 5000, "\0", "a: !!python/object:os.system {}",
        "1: 2", "a: &a [*a]", "\ufffe", "- " * 3000,
    ],
)  # fmt: skip
def test_a_damaged_configuration_is_named(run, text):
    run.config.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(AuricleError, match=r"config\.yaml"):
        read_settings(run.read_config(), str(run.config))


@pytest.mark.parametrize(
    "values", [{"train": 3}, {"train": {"epochs": "many"}}, {"model": {"depth": [1]}}, {"train": {"lr": "3e-4"}}]
)
def test_a_setting_of_another_type_is_named(run, values):
    run.write_config({"method": "m2d", "source": "x"} | values)
    with pytest.raises(AuricleError, match=r"config\.yaml holds .*expected"):
        read_settings(run.read_config(), str(run.config))


def test_bytes_that_are_no_text_are_named(run):
    run.config.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(AuricleError, match=r"config\.yaml is damaged .* the encoder in the folder can be used"):
        run.read_config()


@pytest.mark.parametrize("text", JSON)
def test_a_damaged_environment_is_left_out(run, text):
    (run.path / "environment.json").write_text(text)
    environment = RunView.open(run.path).environment
    assert isinstance(environment, dict)


@pytest.mark.parametrize(
    "line",
    [*JSON, '{"kind": "step", "epoch": 1}', '{"kind": "step", "step": 7, "epoch": 9, "words": 3}',
     '{"kind": 3}', '{"step": 1}', '{"kind": "step", "step": "one"}', '{"kind": "step", "epoch": null}',
     '{"kind": "step", "epoch": 1e999}', '{"kind": "step", "step": 7, "ep'],
)  # fmt: skip
def test_damaged_lines_of_the_log_are_left_out(run, line):
    with open(run.metrics, "a") as file:
        file.write(line + "\n" + json.dumps({"kind": "step", "step": 2, "epoch": 3.0, "loss": 0.4}) + "\n")
    assert [row["step"] for row in read_log(run.metrics, "step")] == [1, 2]
    assert RunView.open(run.path).epochs == 3.0


@pytest.mark.parametrize("lineage", [{"epoch": "two"}, {"epoch": None}, {}])
def test_the_epochs_of_a_run_come_from_the_log_where_the_encoder_does_not_hold_them(run, lineage):
    save_encoder(small_m2d(), run.encoder, lineage=lineage)
    assert RunView.open(run.path).epochs == 1.0


def test_a_run_that_is_written_at_once_is_there_whole_or_not_at_all(tmp_path):
    path = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt), RunFolder.create_whole(path, {"method": "x"}):
        raise KeyboardInterrupt
    assert not path.exists()
    killed = path / f".run.{machine_id()}-99999999.tmp"
    killed.mkdir(parents=True)
    with RunFolder.create_whole(path, {"method": "x"}) as draft:
        draft.encoder.write_bytes(b"weights")
        assert not RunFolder(path).config.exists()
    assert not killed.exists(), "what a killed process left is removed"
    assert RunFolder.open(path).encoder.read_bytes() == b"weights"
    assert sorted(os.listdir(path)) == ["command.txt", "config.yaml", "encoder.safetensors", "environment.json"]


def test_of_two_processes_that_write_one_run_folder_the_second_is_refused(tmp_path):
    with pytest.raises(AuricleError, match="holds a run already"), RunFolder.create_whole(tmp_path / "run", {"a": 1}):
        RunFolder(tmp_path / "run").write_config({"a": 2})
    assert RunFolder.open(tmp_path / "run").read_config() == {"a": 2}


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_damaged_arrays_of_a_detector_are_named(tmp_path, share):
    run = RunFolder(make_detector(tmp_path, clips=6, sounds=False))
    for file, read in ((run.features, load_features), (run.detector_scores, lambda _: load_scores(run.path))):
        whole = file.read_bytes()
        file.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(AuricleError, match=f"{file.name} cannot be read"):
            read(file)


def _paths(values: object, path: tuple = ()) -> list[tuple]:
    """The paths of all values inside JSON; of a list, its first."""
    keys = list(values) if isinstance(values, dict) else [0] if isinstance(values, list) and values else []
    return [path, *(found for key in keys for found in _paths(values[key], (*path, key)))]


def _with(values: dict, path: tuple, value: object) -> dict:
    """A copy of JSON with another value at a path; without that key for ``...``."""
    copy = json.loads(json.dumps(values))
    place = copy
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return copy


NESTED = json.loads("[" * 900 + "]" * 900)
STRANGE = [..., None, True, -1, 0.37, 10**400, 1e308, float("nan"), "x", [], {}, [1, "a", None], NESTED, "a" * 10_000]


def test_a_strange_value_in_the_description_of_a_detector_is_named_or_harmless(tmp_path):
    run = RunFolder(make_detector(tmp_path, clips=6, sounds=False))
    described, refusals = json.loads(run.detector.read_text()), list[str]()
    for path in _paths(described)[1:]:
        for value in STRANGE:
            run.detector.write_text(json.dumps(_with(described, path, value)))
            try:
                load_description(run.path)
            except AuricleError as error:
                refusals.append(str(error))
    assert len(refusals) > 100
    assert all("detector.json" in message and len(message) < 1000 for message in refusals)
    for path, value in [
        (("head", "settings", "strength"), "a"),
        (("trials", 0, "loss"), "b"),
        (("parts", "train", "clips"), ...),
    ]:
        run.detector.write_text(json.dumps(_with(described, path, value)))
        page = build_report(run.path).read_text()
        assert f"detector.json is damaged: its &#x27;{'.'.join(map(str, path))}" in page.replace("'", "&#x27;")


@pytest.mark.parametrize("file", ["features", "detector_scores"])
def test_arrays_of_a_detector_with_other_shapes_kinds_or_values_are_named(tmp_path, file):
    run = RunFolder(make_detector(tmp_path, clips=6, sounds=False))
    path = getattr(run, file)
    whole = dict(np.load(path))
    for name, array in whole.items():
        number = array.dtype.kind in "iuf"
        damaged = [
            None,
            array[:-1],
            array[:0],
            array[None],
            np.array(3.0),
            np.full(array.shape, 1j),
            np.array([{}], object),
        ]
        damaged += [np.full(array.shape, value) for value in (7, 0.5)] if name in ("targets", "known") else []
        damaged += [np.full(array.shape, np.inf), np.full(array.shape, "x")] if number else [np.full(array.shape, 3.0)]
        for other in damaged[name.startswith("layer") :]:  # an encoder may have no layers
            np.savez(path, **{key: value for key, value in {**whole, name: other}.items() if value is not None})
            with pytest.raises(AuricleError, match="cannot be read"):
                load_features(path) if file == "features" else load_scores(run.path)


def test_features_that_name_a_clip_twice_are_refused(tmp_path):
    run = RunFolder(make_detector(tmp_path, clips=6, sounds=False))
    np.savez(run.features, **{**np.load(run.features), "ids": np.full(6, "a")})
    with pytest.raises(AuricleError, match="names a clip twice"):
        load_features(run.features)


def test_a_message_that_repeats_a_megabyte_is_cut():
    message = str(AuricleError("the name is " + "a" * 1_000_000 + "; choose another"))
    assert len(message) < 5000
    assert message.endswith("; choose another")


def test_a_damaged_description_of_a_detector_costs_the_report_its_sections_alone(tmp_path):
    run = RunFolder(make_detector(tmp_path, clips=6, sounds=False))
    run.detector.write_text('{"format": 1}')
    assert "detector.json is damaged" in build_report(run.path).read_text()


def test_a_report_shows_no_scores_of_a_detector_whose_calibration_is_lost_with_its_weights(tmp_path):
    run = RunFolder(make_detector(tmp_path, clips=6, sounds=False))
    run.encoder.write_bytes(run.encoder.read_bytes()[:1000])
    page = build_report(run.path).read_text()
    assert "encoder.safetensors is missing or damaged" in page
    assert "not calibrated" not in page


@pytest.fixture
def store(tmp_path) -> CheckpointStore:
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    store = CheckpointStore(tmp_path / "checkpoints")
    for step in (1, 2):
        store.save({"micro_step": step, "log_size": 0, "health": {}}, network, optimizer_tensors(optimizer))
    return store


@pytest.mark.parametrize("text", [*JSON, '{"state": "step-000000001"}', '{"state": 3, "score": "high"}'])
def test_a_damaged_note_of_the_best_checkpoint_costs_no_checkpoint(store, text):
    (store.folder / "best.json").write_text(text)
    assert store.best() is None
    store.prune()
    assert store.read().state["micro_step"] == 2


@pytest.mark.parametrize(
    "text",
    [*JSON, '{"format": 1, "where": {"micro_step": 2, "log_size": 0}, "sha256": {}}',
     '{"format": 1, "where": "micro_step log_size", "sha256": {}}', '{"format": 1, "where": {"micro_step": "2"}, "sha256": 3}'],
)  # fmt: skip
def test_a_checkpoint_with_a_damaged_description_is_passed_over(store, text):
    newest = store.checkpoints()[0]
    (newest / "state.json").write_text(text)
    log: list[str] = []
    assert store.read(log.append).state["micro_step"] == 1
    assert str(newest) in log[0]


def test_a_checkpoint_of_a_newer_version_is_not_called_damaged(store):
    newest = store.checkpoints()[0]
    (newest / "state.json").write_text('{"format": 99}')
    with pytest.raises(AuricleError, match="newer version"):
        find_damage(newest)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_a_checkpoint_has_the_rights_that_the_umask_gives(store):
    newest = store.checkpoints()[0]
    rights = {path.name: stat.S_IMODE(path.stat().st_mode) for path in newest.iterdir()}
    assert set(rights.values()) == {rights["state.json"]}
