"""HEAR's interface: EfficientAT's published wrappers, any encoder as a module, and the checks of the validator."""

import importlib
from types import ModuleType

import pytest
import torch

from auricle.compat.hear import BLOCKS, GATES, POOLINGS, WRAPPERS, Hear, Wrapper, wrapper
from auricle.compat.hear import encoder as hear_encoder
from auricle.compat.hear.validator import validate
from auricle.core.errors import AuricleError
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.hub.convert.efficientat import read_published
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.ensemble import Ensemble
from helpers.efficientat_golden import close, golden, network
from helpers.encoders import FAMILIES

LMEL = (*BLOCKS, "mel_avgs")
SIZES = {
    **dict(zip((f"mn{w}_all_b_mel_avgs" for w in ("01", "02", "04", "05")), (184, 224, 320, 368))),
    "mn10_all_b_mel_avgs": 600,
    "mn01_all_b_avg_time_pool": 384,
    "mn05_all_b_avg_max_time_pool": 1472,
    "mn10_all_b_avg_time_pool": 2816,
    "mn10_all_b": 472,
    "mn10_all_b_mel_avgs_cat_avg_max_ch_pool": 1072,
    "mn10_all_b_mel_avgs_avg_time_pool": 2944,
    "mn10_all_b_all_se": 1032,
    "mn10_all_b_clf1": 1432,
    "mn10_all_b_clf2": 1752,
    "mn10_all_b_logits": 999,
    "mn10_all_se": 560,
    "mn10_all_se_clf1": 1520,
    "mn10_all_se_clf2": 1840,
    "mn10_all_se_logits": 1087,
    "mn10_all_se_mel_avgs": 688,
    "mn10_allmode_all_b_clf1": 2087,
    "mn10_allmode_all_se_clf2": 2495,
    "mn10_b0_1_2_3": 80,
    "mn10_b4_5_6_7": 200,
    "mn10_b8_9_10_11": 352,
    "mn10_b12_13_14_15": 592,
    "mn10_b5_11_13": 312,
    "mn10_b11_13_15": 432,
    "mn10_clf1": 960,
    "mn10_clf2": 1280,
    "mn10_logits": 527,
    "mn10_mel_avgs": 128,
    "mn10_b7": 80,
    "mn10_b15": 160,
}


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def networks():
    """Initial networks of each width, made once."""
    made: dict[str, MN] = {}

    def of(width: str) -> MN:
        return made.setdefault(width, MN(MNConfig(width=int(width) / 10)).eval())

    return of


def test_every_published_wrapper_has_its_name():
    assert len(WRAPPERS) == 76
    with pytest.raises(AuricleError, match="mn10_all_b_mel_avgs"):
        wrapper("mn10_all_b_mel_avg")


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_the_published_ones(name, networks):
    hear = wrapper(name).load_model(networks(name[2:4]))
    assert hear.scene_embedding_size == SIZES[name]
    assert hear.embed(noise(1, 5120)).shape == (1, SIZES[name])


def test_the_number_of_bands_counts():
    hear = wrapper("mn10_all_b_mel_avgs_mels40").load_model(MN(MNConfig(front_end=EfficientATMel(n_mels=40).id)))
    assert hear.scene_embedding_size == 512


def test_embeddings_of_the_real_network_agree_with_the_original(shared):
    want, _ = golden("hear_mn04_as")
    clip = golden("mn04_as_metro_station-paris")[0]["waveform_32k"]
    enc = read_published(shared / "weights" / "mn04_as_mAP_432.pt")
    second, other = clip[:, 96000:128000], clip[:, 160000:192000]
    both = torch.cat([second, other])

    def hear(*pieces: str, pooling: str = "avg_ch_pool", window_ms: int = 160) -> Hear:
        return Hear(enc, Wrapper("test", "mn04_as", pieces, pooling, window_ms))

    def agree(key: str, got: torch.Tensor) -> None:
        close(got, want[key], atol=1e-4, rtol=0)

    agree("scene_10s", hear(*LMEL).scene(clip))
    agree("scene_12.5s", hear(*LMEL).scene(torch.cat([clip, clip[:, :80000]], dim=1)))
    agree("scene_1s_batch2", hear(*LMEL).scene(both))
    for pooling in POOLINGS:
        if f"scene_1s.all_b.{pooling}" in want:
            agree(f"scene_1s.all_b.{pooling}", hear(*BLOCKS, pooling=pooling).scene(second))
    agree("scene_1s.all_se", hear(*GATES).scene(second))
    agree("scene_1s.b0_to_b15", hear(*(f"b{i}" for i in range(16))).scene(second))
    for piece in ("clf1", "clf2", "logits", "mel_avgs"):
        agree(f"scene_1s.{piece}", hear(piece).scene(second))
    agree("scene_1s.order_check", hear("logits", "b15", "mel_avgs", "clf1", "b5", "se5").scene(second))
    for window, audio, key in ((160, both, "1s_batch2"), (640, second, "1s_win640")):
        embeddings, times = hear(*LMEL, window_ms=window).timestamps(audio)
        agree(f"timestamp_embeddings_{key}", embeddings)
        agree(f"timestamps_ms_{key}", times)


def test_a_clip_shorter_than_half_a_window_still_has_a_time_stamp(networks):
    hear = wrapper("mn01_all_b_mel_avgs").load_model(networks("01"))
    embeddings, times = hear.timestamps(noise(2, 100))
    assert embeddings.shape == (2, times.shape[1], 184)
    assert times[0, 0] == 0


def test_a_single_sample_has_a_single_time_stamp(networks):
    hear = wrapper("mn01_all_b_mel_avgs").load_model(networks("01"))
    assert hear.timestamps(noise(1, 1))[1].tolist() == [[0.0]]


def test_other_inputs_than_batches_of_waveforms_are_refused(networks):
    hear = wrapper("mn01_all_b_mel_avgs").load_model(networks("01"))
    for audio in (noise(16000), noise(1, 0), torch.full((1, 16000), torch.nan)):
        for embed in (hear.scene, hear.timestamps):
            with pytest.raises(AuricleError, match="waveform"):
                embed(audio)


def test_hears_own_tools_import_a_wrapper_by_name(networks):
    """As hearvalidator does: import the module, load a torch module, call the functions with it."""
    module = importlib.import_module("auricle.compat.hear.mn01_all_b_mel_avgs")
    model = module.load_model(networks("01"))
    assert isinstance(model, torch.nn.Module)
    assert module.get_scene_embeddings(noise(2, 16000), model).shape == (2, model.scene_embedding_size)
    embeddings, times = module.get_timestamp_embeddings(noise(2, 16000), model)
    assert embeddings.shape == (2, times.shape[1], model.timestamp_embedding_size)


def test_only_mn_networks_give_hear_embeddings():
    from auricle.models.efficientat.config import DyMNConfig
    from auricle.models.efficientat.dymn import DyMN

    with pytest.raises(AuricleError, match="dymn"):
        wrapper("mn10_all_b").load_model(DyMN(DyMNConfig(width=0.1)))


# ---- ensembles
@torch.no_grad()
def test_the_mean_of_logits_agrees_with_the_original():
    want, _ = golden("ensemble")
    both = Ensemble([network(*golden(name)) for name in ("mn_tiny_mlp_c", "mn_tiny_fc_c")])
    logits = both.core(want["input"][:, 0]).logits
    close(logits, want["ensemble_logits"])
    close(logits.sigmoid(), want["probabilities"])


@torch.no_grad()
def test_members_with_different_front_ends_each_get_the_waveform():
    members = [
        MN(MNConfig(width=0.1, num_classes=4, front_end=EfficientATMel(hop_length=hop).id)).eval() for hop in (320, 160)
    ]
    both, wave = Ensemble(members), noise(2, 50000)
    out = both(wave, torch.tensor([50000, 20000]))
    alone = [member(wave, torch.tensor([50000, 20000])) for member in members]
    close(out.logits, (alone[0].logits + alone[1].logits) / 2)
    assert out.frames.shape == (2, len(alone[0].times), both.info.frame_dim)
    assert torch.equal(out.frames[..., :96], alone[0].frames)
    with pytest.raises(AuricleError, match="different front ends"):
        both.encode(both.frontend(wave))


def test_members_must_have_the_same_classes():
    pairs = [[("a", "A"), ("b", "B")], [("a", "A"), ("c", "C")]]
    members = [MN(MNConfig(width=0.1, num_classes=2), classes=classes) for classes in pairs]
    with pytest.raises(AuricleError, match="classes"):
        Ensemble(members)
    with pytest.raises(AuricleError, match="two members"):
        Ensemble(members[:1])


def test_arrays_are_waveforms_and_others_are_refused(networks):
    hear = wrapper("mn10_all_b").load_model(networks("10"))
    audio = noise(2, 5120)
    for given in (audio.numpy(), audio.numpy().astype("float64")):
        assert torch.equal(hear.scene(given), hear.scene(audio))
    assert torch.equal(hear.timestamps(audio.numpy())[0], hear.timestamps(audio)[0])
    for wrong, words in (
        (noise(5120, 2), "5120 clips of 2 samples"),
        (noise(5120, 2).numpy(), "5120 clips of 2 samples"),
        (noise(5120), r"wave\[None\]"),
        ([0.1, 0.2], "expected a tensor"),
        (noise(2, 5120).numpy().astype("int16"), "float32"),
    ):
        for call in (hear.scene, hear.timestamps, hear.embed):
            with pytest.raises(AuricleError, match=words):
                call(wrong)


@pytest.mark.parametrize(
    "family", ["m2d", "m2d-ragged-chunks", "mae-ast-patch", "mae-ast-frame", "logmel-stats", "mn", "dymn"]
)
def test_every_family_passes_the_checks_of_the_validator(family):
    encoder = FAMILIES[family].make()
    warnings = validate(hear_encoder, encoder)
    assert all("HEAR advises" in text for text in warnings)
    model = hear_encoder.load_model(encoder)
    for seconds in (0.1, 60.0):
        frames, times = hear_encoder.get_timestamp_embeddings(noise(1, int(seconds * model.sample_rate)), model)
        assert frames.shape == (1, times.shape[1], model.timestamp_embedding_size)
        assert times.max() < 1e3 * seconds


def test_published_encoders_are_modules_by_name():
    module = importlib.import_module("auricle.compat.hear.logmel_stats")
    assert validate(module) is not None
    assert importlib.import_module("auricle.compat.hear.mn04_as").load_model


def test_what_is_no_hear_module_is_refused_in_words():
    with pytest.raises(AuricleError, match="no function load_model"):
        validate("json")
    with pytest.raises(AuricleError, match="name the encoder"):
        hear_encoder.load_model()


def _small_module():
    module = torch.nn.Linear(1, 1)
    module.sample_rate, module.scene_embedding_size, module.timestamp_embedding_size = 16000, 1, 1
    return module


def _embeds_nothing(audio, model):
    return 5


def _divides(*_):
    return 1 / 0


@pytest.mark.parametrize(
    ("load", "stamps", "message"),
    [
        (_divides, _embeds_nothing, "load_model ended in ZeroDivisionError"),
        (lambda: None, _embeds_nothing, "a torch.nn.Module, got NoneType"),
        (_small_module, _embeds_nothing, "two tensors, embeddings and timestamps, got int"),
        (_small_module, _divides, "get_timestamp_embeddings ended in ZeroDivisionError"),
    ],
)
def test_a_module_that_breaks_is_told_which_function_did(load, stamps, message):
    broken = ModuleType("broken")
    broken.load_model, broken.get_timestamp_embeddings, broken.get_scene_embeddings = load, stamps, _embeds_nothing
    with pytest.raises(AuricleError, match=message):
        validate(broken)


@pytest.mark.parametrize(
    ("text", "message"), [("x =", "SyntaxError"), ("raise SystemExit(3)", "SystemExit"), ("1 / 0", "Zero")]
)
def test_a_module_that_cannot_be_imported_says_why(tmp_path, monkeypatch, text, message):
    name = f"broken_{message}".lower()
    (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(AuricleError, match=f"importing {name} ended in {message}"):
        validate(name)
