"""The scikit-learn transformer: parameters, tags and names as users expect, and any recordings as rows."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks

from auricle.compat.sklearn import AudioEncoder
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.inference.embedder import embed
from helpers.encoders import logmel_stats, m2d, mn
from helpers.sounds import tone, write_sound

RATE = 16000
WAVES = [tone(seconds, RATE, seed=i) for i, seconds in enumerate((0.3, 0.5, 0.3, 0.4))]
CHECKS = [  # those of ``check_estimator`` that do not need rows of numbers
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def paths(tmp_path):
    return [write_sound(tmp_path / f"{i}.wav", wave, RATE) for i, wave in enumerate(WAVES)]


@pytest.mark.parametrize("check", CHECKS)
def test_the_checks_of_scikit_learn_pass(check):
    function = getattr(estimator_checks, check, None)
    if function is None:
        pytest.skip(f"this version of scikit-learn has no {check}")
    function("AudioEncoder", AudioEncoder())


def test_the_tags_say_what_the_rows_are():
    pytest.importorskip("sklearn", minversion="1.6")
    tags = AudioEncoder().__sklearn_tags__()
    given = tags.input_tags
    assert (given.string, given.one_d_array, given.two_d_array) == (True, True, False)
    assert (tags.no_validation, tags.requires_fit) == (True, False)


def test_check_estimator_finds_nothing_to_fail(paths):
    with pytest.warns(Warning, match="Can't test estimator"):
        estimator_checks.check_estimator(AudioEncoder())


def test_a_fit_sets_the_number_of_features_and_nothing_else(paths):
    encoder = AudioEncoder()
    assert np.array_equal(encoder.transform(paths), encoder.fit_transform(paths))
    assert {name for name in vars(encoder) if name.endswith("_")} == {"n_features_in_"}
    assert encoder.n_features_in_ == 1
    assert make_pipeline(clone(encoder)).fit(paths).n_features_in_ == 1


# ---- rows
def test_rows_are_paths_in_any_container(paths, tmp_path):
    expected = embed(paths, logmel_stats()).clip
    strings = list(map(str, paths))
    column = np.array(strings, dtype=object)[:, None]
    lists, generator = (paths, strings, tuple(paths), column.tolist()), (path for path in paths)
    for rows in (*lists, np.array(strings), np.array(paths, dtype=object), column, iter(paths), generator):
        assert np.abs(AudioEncoder().transform(rows) - expected).max() < 1e-4
    again = AudioEncoder().transform([paths[2], paths[0], paths[2]])
    assert np.array_equal(again[0], again[2])
    assert np.abs(again - expected[[2, 0, 2]]).max() < 1e-4
    assert AudioEncoder().transform(strings[1]).shape == (1, 256)


def test_rows_are_waveforms(paths):
    expected = AudioEncoder(cache=False).transform(paths)
    pairs, entries = [(wave, RATE) for wave in WAVES], [{"array": wave, "sampling_rate": RATE} for wave in WAVES]
    for rows in (WAVES, pairs, entries, [torch.from_numpy(wave) for wave in WAVES], [p.read_bytes() for p in paths]):
        assert np.abs(AudioEncoder(sample_rate=RATE).transform(rows) - expected).max() < 1e-2  # 16 bits in the files
    batch = np.stack([WAVES[0], WAVES[2]])
    for rows in (batch, torch.from_numpy(batch), list(batch), batch.astype(np.float64)):
        assert np.abs(AudioEncoder(sample_rate=RATE).transform(rows) - expected[[0, 2]]).max() < 1e-2


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "empty"),
        (np.zeros((150, 4), np.float32), "less than one window"),
        (np.zeros((32000, 2), np.float32), "less than one window"),
        (np.zeros(32000, np.float32), r"\[waveform\]"),
        (np.array([["a.wav", "b.wav"]]), "one column"),
        ([np.zeros(3200)], "sample rate"),
        ([[WAVES[0], WAVES[1]], [WAVES[2]]], "inside a list"),
        (["a.wav", ""], "empty text"),
        (torch.zeros(2, 3200, device="meta"), "NumPy can read"),
        (torch.zeros(2, 3200, dtype=torch.int16), "divide whole numbers"),
        ([3, 4], "expected a path"),
        (None, "expected a path"),
    ],
)
def test_other_rows_are_refused_in_words(rows, words):
    with pytest.raises(AuricleError, match=words):
        AudioEncoder().transform(rows)


@pytest.mark.parametrize("form", ["gradient", "negated later", "half precision"])
def test_rows_are_tensors_of_any_form(form):
    wave = torch.from_numpy(np.stack([WAVES[0], WAVES[2]]))
    forms = {
        "gradient": wave.clone().requires_grad_(),
        "negated later": torch.complex(torch.zeros_like(wave), -wave).conj().imag,
        "half precision": wave.bfloat16(),
    }
    encoder = AudioEncoder(sample_rate=RATE)
    assert np.allclose(
        encoder.transform(forms[form]), encoder.transform(forms[form].detach().resolve_neg().float().numpy()), atol=1e-4
    )


def test_a_row_is_one_recording(paths, tmp_path):
    with pytest.raises(AuricleError, match="expected one per row"):
        AudioEncoder().transform([tmp_path, (WAVES[0], RATE)])
    with pytest.raises(AuricleError, match="1 of 2 recordings failed: audio 1"):
        AudioEncoder().transform([(WAVES[0], RATE), (np.full(9, np.nan), RATE)])
    with pytest.raises(AuricleError, match=r"1 of 2 recordings failed: .*none\.wav"):
        AudioEncoder().transform([paths[0], tmp_path / "none.wav"])


def test_in_a_column_transformer_the_rows_are_a_column(paths):
    table = np.array([[str(path), i] for i, path in enumerate(paths)], dtype=object)
    columns = ColumnTransformer([("sound", AudioEncoder(), [0])], remainder="passthrough")
    assert columns.fit_transform(table).shape == (4, 257)
    assert columns.get_feature_names_out()[[0, 255, 256]].tolist() == [
        "sound__clip_0",
        "sound__clip_255",
        "remainder__x1",
    ]


# ---- columns
def test_columns_have_names(paths):
    cases = {
        "clip": (AudioEncoder(mn()), 1),
        "mean_std": (AudioEncoder(mn(), pooling="mean_std"), 1),
        "layers": (AudioEncoder(m2d(), layers=(0, -1), seconds=0.2), 2),
    }
    for encoder, vectors in cases.values():
        names = encoder.set_params(cache=False).get_feature_names_out()
        assert len(names) == len(set(names)) == encoder.transform(paths).shape[1]
        assert len({name.split("_")[0] for name in names}) == vectors
    assert names[0] == "layer0_0"


def test_pandas_output_has_these_names_and_the_index(paths):
    pandas = pytest.importorskip("pandas")
    series = pandas.Series(paths, index=list("abcd"))
    table = AudioEncoder().set_output(transform="pandas").fit_transform(series)
    assert table.columns[0] == "clip_0"
    assert table.index.tolist() == list("abcd")
    assert AudioEncoder().transform(series.to_frame()).shape == table.shape


def test_set_output_is_there():
    assert "transform" in inspect.signature(AudioEncoder().set_output).parameters


# ---- parameters
def test_weights_and_device_reach_the_encoder(paths, tmp_path):
    save_encoder(mn(), tmp_path / "mine.safetensors")
    encoder = AudioEncoder(tmp_path / "mine.safetensors", device="cpu", cache=False)
    assert np.allclose(encoder.transform(paths), embed(paths, mn()).clip, atol=1e-5)
    with pytest.raises(AuricleError, match="no weight file"):
        AudioEncoder("mn04_as", weights=tmp_path / "none.pt").transform(paths)
    with pytest.raises(AuricleError, match="warp"):
        AudioEncoder(device="warp").transform(paths)


def test_a_network_of_one_length_names_its_columns():
    one_length = mn(se_dims="ct", frames=100)
    assert len(AudioEncoder(one_length).get_feature_names_out()) == one_length.info.clip_dim


def test_a_grid_search_can_set_every_parameter(paths):
    pipeline = make_pipeline(AudioEncoder(cache=False), LogisticRegression())
    pipeline.set_params(audioencoder__pooling="max", audioencoder__seconds=0.2, audioencoder__device="cpu")
    assert pipeline.fit(paths, [0, 1, 0, 1]).predict(paths).shape == (4,)
