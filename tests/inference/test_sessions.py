"""Sessions: made once, called many times, shared between threads, with the answers of a single call."""

from __future__ import annotations

import copy
import gc
import io
import itertools
import threading
import typing
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import numpy as np
import pytest
import torch

import auricle
from auricle.audio.decode import read
from auricle.audio.sources import AudioSource
from auricle.core.errors import AuricleError
from auricle.hub.weight_file import save_encoder
from auricle.inference.config import EmbedOptions, EmbedSettings, EventSettings, TagOptions, TagSettings
from auricle.inference.corpus.tag_worker import frequent_lengths
from auricle.inference.pipeline import equal_length_batches, load_audio
from auricle.inference.tag_results import Failure
from auricle.models.efficientat import onednn
from helpers.encoders import FAMILIES, logmel_stats, m2d, mn
from helpers.sounds import tone, write_sound
from helpers.tagging import LoudestBand

RATE = 32000
LENGTHS = (0.3, 0.7, 1.1, 1.5, 0.4, 2.0, 0.9, 0.6)


@pytest.fixture
def files(tmp_path):
    return [write_sound(tmp_path / f"{i}.wav", tone(s, RATE, seed=i), RATE) for i, s in enumerate(LENGTHS)]


# ---- one session, many calls
def test_a_session_gives_the_answers_of_single_calls(files):
    encoder = mn()
    tagger = auricle.Tagger(encoder, top_k=5)
    assert [tagger(file).results[0] for file in files] == [auricle.tag(f, encoder, top_k=5).results[0] for f in files]
    assert tagger(files) == auricle.tag(files, encoder, top_k=5)
    embedder = auricle.Embedder(encoder)
    alone = [auricle.embed(file, encoder).clip[0] for file in files]
    assert np.abs(embedder(files).clip - alone).max() < 1e-5


def test_eight_threads_share_a_tagger_and_an_embedder(files):
    encoder = mn()
    tagger, embedder = auricle.Tagger(encoder, top_k=5, batch_size=2), auricle.Embedder(encoder, level="frames")
    tags, embeddings = [tagger(file) for file in files], [embedder(file) for file in files]
    start = threading.Barrier(8)

    def work(number: int) -> bool:
        start.wait()
        equal = []
        for i in range(number, number + 24):  # enough calls of one shape for a graph of its own
            result = tagger(files[i % 2 if number < 4 else i % len(files)]).results[0]
            expected = tags[i % 2 if number < 4 else i % len(files)].results[0]
            scores = {tag.label: tag.score for tag in result.tags}
            equal.append(all(abs(scores[tag.label] - tag.score) < 1e-5 for tag in expected.tags))
            other = embedder(files[i % len(files)])
            equal.append(np.abs(other.frames[0] - embeddings[i % len(files)].frames[0]).max() < 1e-4)
        return all(equal)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_a_session_keeps_its_mode_while_the_encoder_trains(files):
    encoder = mn()
    tagger = auricle.Tagger(encoder)
    before = tagger(files[0])
    encoder.train()
    assert tagger(files[0]) == before
    assert encoder.training


def test_the_encoder_is_prepared_once(files, monkeypatch):
    calls = []
    encoder = mn()
    copy = type(encoder)._inference_copy
    monkeypatch.setattr(type(encoder), "_inference_copy", lambda self: calls.append(1) or copy(self))
    for file in files[:3]:
        auricle.tag(file, encoder)
        auricle.embed(file, encoder)
    assert len(calls) == 1
    with torch.no_grad():
        encoder.classifier[5].bias.add_(1.0)
    auricle.tag(files[0], encoder)
    assert len(calls) == 2


def test_tagging_in_a_loop_makes_one_graph(files, monkeypatch):
    """PyTorch frees nothing of a graph: a second one for the same weights and shape would be a leak."""
    encoder, made = mn(), []
    monkeypatch.setattr(onednn, "CALLS_BEFORE_GRAPH", 3)
    monkeypatch.setattr(onednn, "SHARED", onednn.SharedGraphs())
    monkeypatch.setattr(onednn, "build_graph", lambda network, values: made.append(1) or network)
    long = np.tile(tone(1.0, RATE), onednn.CALLS_BEFORE_GRAPH + 4)
    expected = auricle.Tagger(encoder, precision="bf16").labels
    save_encoder(encoder, files[0].with_name("mine.safetensors"))
    for model in (encoder, encoder, copy.deepcopy(encoder), files[0].with_name("mine.safetensors")):
        result = auricle.tag(long, model, sample_rate=RATE, window=1.0, hop=1.0, batch_size=1, top_k=5).results[0]
        assert {tag.label for tag in result.tags} == set(expected)
    assert len(made) == 1


def test_a_process_makes_a_limited_number_of_graphs(files, monkeypatch):
    monkeypatch.setattr(onednn, "SHARED", onednn.SharedGraphs())
    monkeypatch.setattr(onednn, "GRAPHS_PER_PROCESS", 0)
    monkeypatch.setattr(onednn, "build_graph", None)
    tagger = auricle.Tagger(mn(), top_k=5)
    answers = [tagger(files[0]) for _ in range(onednn.CALLS_BEFORE_GRAPH + 3)]
    assert all(answer == answers[0] for answer in answers)


def test_a_session_is_freed_with_its_threads(files):
    """At once, without the collector of reference cycles."""
    gc.disable()
    tagger = auricle.Tagger(mn())
    tagger(files)
    encoder, pool = weakref.ref(tagger.encoder), weakref.ref(tagger.pool)
    del tagger
    try:
        assert encoder() is None
        assert pool() is None
    finally:
        gc.enable()


# ---- input
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_a_waveform_is_a_recording(files, channels, make):
    wave = read(files[1]).wave
    array = make(wave if channels == 1 else np.stack([wave, wave]))
    encoder = mn()
    from_file, from_memory = auricle.tag(files[1], encoder), auricle.tag(array, encoder, sample_rate=RATE)
    assert from_memory.results[0].file == "audio"
    assert from_memory.results[0].seconds == pytest.approx(0.7)
    scores = {tag.label: tag.score for tag in from_file.results[0].tags}
    assert all(abs(scores[tag.label] - tag.score) < 1e-5 for tag in from_memory.results[0].tags)
    one, other = auricle.embed(files[1], encoder).clip, auricle.embed(array, encoder, sample_rate=RATE).clip
    assert np.abs(one - other).max() < 1e-5


def test_waveforms_are_resampled_and_cut_into_windows():
    embedder = auricle.Embedder(logmel_stats(), window=0.5, hop=0.25)
    result = embedder([tone(1.0, 48000), tone(0.6, 48000)], sample_rate=48000)
    assert result.ids == ("audio 0@0-0.5", "audio 0@0.25-0.75", "audio 0@0.5-1", "audio 1@0-0.5", "audio 1@0.1-0.6")
    windows = auricle.Tagger(LoudestBand(), window=0.5, hop=0.25)(tone(1.0, 48000), sample_rate=48000)
    assert [(w.start, w.end) for w in windows.results[0].windows] == [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0)]
    cut = auricle.embed([tone(1.0, RATE)], logmel_stats(), sample_rate=RATE, seconds=0.5)
    assert np.allclose(cut.clip, auricle.embed(tone(1.0, RATE)[: RATE // 2], logmel_stats(), sample_rate=RATE).clip)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(100, np.float32), None, "sample_rate"),
        (np.zeros(100, np.int16), RATE, "float samples"),
        (np.zeros((1, 2, 100), np.float32), RATE, "shape"),
        (np.full(RATE, np.nan, np.float32), RATE, "NaN"),
        (np.zeros(100, np.float32), 0, "sample rate"),
    ],
)
def test_a_wrong_waveform_is_refused(waveform, rate, message):
    for call in (auricle.tag, auricle.embed):
        with pytest.raises(AuricleError, match=message):
            call(waveform, LoudestBand(), sample_rate=rate)


def test_bytes_of_a_file_are_a_recording(files):
    encoder = mn()
    assert auricle.tag(files[0].read_bytes(), encoder).results[0].tags == auricle.tag(files[0], encoder).results[0].tags


def given_by_libraries(file):
    """The recording of a file as other libraries give it."""
    wave = read(file).wave
    return {
        "soundfile": (wave, RATE),
        "soundfile, two channels": (np.stack([wave, wave], axis=1), RATE),
        "scipy": (RATE, wave),
        "torchaudio": (torch.from_numpy(wave)[None], RATE),
        "datasets": {"array": wave, "sampling_rate": RATE, "path": None},
        "datasets, a row": {"audio": {"array": wave.tolist(), "sampling_rate": RATE}, "label": 1},
        "datasets, not decoded": {"bytes": file.read_bytes(), "path": "in the archive.wav"},
        "an open file": io.BytesIO(file.read_bytes()),
        "a path": str(file),
    }


def scores_of(result) -> dict[str, float]:
    return {tag.label: tag.score for tag in result.tags}


def test_what_other_libraries_give_is_a_recording(files):
    encoder = mn()
    tagger, embedder = auricle.Tagger(encoder), auricle.Embedder(encoder)
    expected, vector = scores_of(tagger(files[0]).results[0]), embedder(files[0]).clip
    for what, audio in given_by_libraries(files[0]).items():
        (result,) = tagger(audio).results
        assert scores_of(result) == pytest.approx(expected, abs=1e-5), what
    for what, audio in given_by_libraries(files[0]).items():
        assert np.abs(embedder(audio).clip - vector).max() < 1e-5, what
    several = list(given_by_libraries(files[0]).values())
    assert len(tagger(several).results) == len(several)
    several = list(given_by_libraries(files[0]).values())
    assert np.abs(embedder(several).clip - vector).max() < 1e-5


def test_recordings_in_memory_have_the_windows_and_crops_of_files(files):
    """At another rate too: the whole recording is resampled, then cut."""
    encoder, long = logmel_stats(), files[5]
    wave, content = read(long, rate=48000).wave, long.read_bytes()
    for options in ({"window": 0.5, "hop": 0.3}, {"seconds": 0.4}, {"window": 0.7, "seconds": 0.3}):
        expected = auricle.embed(long, encoder, **options).clip
        assert np.abs(auricle.embed((wave, 48000), encoder, **options).clip - expected).max() < 0.02, options
        assert np.abs(auricle.embed(content, encoder, **options).clip - expected).max() < 1e-4, options
    crops = auricle.embed([(wave, 48000)] * 2, encoder, seconds=0.4, crop="random").clip
    assert np.abs(crops[0] - crops[1]).max() > 1e-3, "a part of each, drawn by its name"
    named = {"array": read(long).wave, "sampling_rate": RATE, "path": long.name}
    drawn = [auricle.embed(x, encoder, seconds=0.4, crop="random").clip for x in (long, named)]
    assert np.abs(drawn[0] - drawn[1]).max() < 1e-3


def test_a_bad_recording_of_several_costs_no_other(files):
    wave = tone(0.5, RATE)
    several = [wave, np.full(RATE, np.nan), b"no sound", io.BytesIO(), files[0], "none.wav", wave]
    tags = auricle.Tagger(LoudestBand())(several, sample_rate=RATE)
    assert [failure.file for failure in tags.failed] == ["audio 1", "audio 2", "audio 3", "none.wav"]
    assert len(tags.results) == 3
    embeddings = auricle.embed(several, logmel_stats(), sample_rate=RATE)
    assert list(embeddings.failed) == ["audio 1", "audio 2", "audio 3", "none.wav"]
    assert embeddings.ids == ("audio 0", str(files[0]), "audio 6")
    for failed in (*(failure.error for failure in tags.failed), *embeddings.failed.values()):
        assert failed.startswith(("audio ", "none.wav: "))


def test_no_embedding_is_not_finite():
    loud = tone(0.5, RATE)
    loud[100] = 3e29
    result = auricle.embed([tone(0.5, RATE), loud], logmel_stats(), sample_rate=RATE, level="frames")
    assert result.ids == ("audio 0",)
    assert np.isfinite(result.clip).all()
    assert "audio 1: holds a sample of 3e+29" in result.failed["audio 1"]
    damaged = m2d()
    torch.nn.init.constant_(next(damaged.parameters()), torch.nan)
    assert "gives no finite embedding" in auricle.embed(tone(0.5, RATE), damaged, sample_rate=RATE).failed["audio"]


def test_a_batch_of_clips_is_not_one_recording():
    batch = torch.zeros(16, RATE)
    for call in (auricle.tag, auricle.embed):
        with pytest.raises(AuricleError, match=r"list\(batch\)"):
            call(batch, LoudestBand(), sample_rate=RATE)
    assert len(auricle.embed(list(batch), LoudestBand(), sample_rate=RATE)) == 16


@pytest.mark.parametrize("audio", [None, 3, [3], {"label": 3}, [["a.wav"]], object()])
def test_what_is_no_recording_is_refused_in_words(audio):
    for call in (auricle.tag, auricle.embed):
        with pytest.raises(AuricleError, match="expected a path"):
            call(audio, LoudestBand())


@pytest.mark.parametrize("make", [logmel_stats, mn, m2d])
def test_a_network_refuses_samples_by_channels(make):
    with pytest.raises(AuricleError, match=r"32000 clips of 2 samples; .* wave.mean\(1\)\[None\]"):
        make()(torch.zeros(RATE, 2))


def test_recordings_are_read_from_an_iterator_when_they_are_needed(files):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield files[number % 2] if number else "none.wav"

    outcomes = auricle.Tagger(LoudestBand()).iterate(source for source in endless())
    first, second = next(outcomes), next(outcomes)
    assert isinstance(first, Failure)
    assert second.file == str(files[1])
    outcomes.close()
    assert len(taken) < 10


def test_recordings_of_one_length_are_scored_together_where_that_is_faster(files, tmp_path):
    encoder = LoudestBand()
    tagger = auricle.Tagger(encoder)
    tagger.whole_batch = 3
    same = [write_sound(tmp_path / f"same{i}.wav", tone(0.5, RATE, seed=i), RATE) for i in range(6)]
    order = [*same[:4], files[0], "none.wav", *same[4:]]
    together, alone = tagger(order), auricle.Tagger(encoder)(order)
    assert together.failed == alone.failed
    assert [r.file for r in together.results] == [r.file for r in alone.results]
    assert [batch[0] for batch in encoder.batches[:4]] == [3, 1, 1, 2]
    for one, other in zip(together.results, alone.results):
        assert [t.score for t in one.tags] == pytest.approx([t.score for t in other.tags], abs=1e-5)


def test_the_graph_of_a_frequent_length_gives_equal_bits_whatever_stands_beside_a_recording(
    files, tmp_path, monkeypatch
):
    monkeypatch.setattr(onednn, "SHARED", onednn.SharedGraphs())
    tagger = auricle.Tagger(mn(), top_k=5)
    tagger.fix_graphs({0.5: 4})
    same = [write_sound(tmp_path / f"same{i}.wav", tone(0.5, RATE, seed=i), RATE) for i in range(6)]
    together, alone = tagger(same), [tagger(file).results[0] for file in same]
    assert list(tagger.encoder.graphs.built) == [(4, 128, 50)]
    mixed = tagger([*same[3:], files[0], "none.wav", *same[:3]])
    assert list(together.results) == alone == [*mixed.results[4:], *mixed.results[:3]]
    assert [failure.file for failure in mixed.failed] == ["none.wav"]


def test_recordings_are_scored_together_where_nearly_all_have_one_length():
    def lengths(*seconds: float) -> dict[float, int]:
        return frequent_lengths(
            [AudioSource("", np.zeros(int(s * 1000), np.float32), sample_rate=1000) for s in seconds]
        )

    assert lengths(*[5.0] * 60, 3.0, 2.0) == {5.0: 4}
    assert lengths(*[5.0] * 40, *[3.0] * 20) == {5.0: 1, 3.0: 1}
    assert lengths(*[30.0] * 60) == {30.0: 1}
    assert lengths(*[5.0] * 7) == {}


def test_a_batch_with_a_bad_recording_spoils_no_other():
    loaded = [load_audio(source, RATE, "soxr", 9.0) for source in _sources(3)]
    assert [len(batch) for batch in equal_length_batches(loaded, lambda samples: 8)] == [3]
    network = LoudestBand()
    tagger, logits = auricle.Tagger(network), network.logits_by_head

    def refuses_loud(waves):
        if waves.abs().max() > 5:
            raise AuricleError("too loud")
        return logits(waves)

    network.logits_by_head, tagger.whole_batch = refuses_loud, 8
    waves = [tone(0.5, RATE), 10 * tone(0.5, RATE), tone(0.5, RATE)]
    result = tagger(waves, sample_rate=RATE)
    assert [r.file for r in result.results] == ["audio 0", "audio 2"]
    assert [(f.file, f.error) for f in result.failed] == [("audio 1", "audio 1: too loud")]


def _sources(count: int):
    from auricle.audio.sources import audio_sources

    return list(audio_sources([tone(0.5, RATE, seed=i) for i in range(count)], RATE))


# ---- settings
def test_keyword_arguments_are_the_fields_of_the_settings():
    assert set(typing.get_type_hints(TagOptions)) == {f.name for c in (TagSettings, EventSettings) for f in fields(c)}
    assert set(typing.get_type_hints(EmbedOptions)) == {f.name for f in fields(EmbedSettings)}


def test_not_set_is_none_and_the_first_editions_values_are_translated():
    assert TagSettings(window=0, hop=0.0) == TagSettings()
    assert TagSettings().window is None
    assert TagSettings(precision="bfloat16").precision == "bf16"
    assert EmbedSettings(seconds=0.0, precision="bfloat16") == EmbedSettings(precision="bf16")
    assert EmbedSettings(precision="bf16").numbers()["precision"] == "bfloat16"  # the keys of old caches
    assert EmbedSettings().numbers()["seconds"] == 0.0


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_embeds_a_waveform(name):
    encoder = FAMILIES[name].make()
    wave = tone(0.8, encoder.info.sample_rate)
    result = auricle.Embedder(encoder, level="frames")(wave, sample_rate=encoder.info.sample_rate)
    with torch.no_grad():
        out = encoder(torch.from_numpy(wave)[None])
    assert np.abs(result.clip[0] - out.clip[0].numpy()).max() < 1e-4 * max(1.0, float(out.clip.abs().max()))
    assert np.allclose(result.times[0], out.times.numpy())
    assert "1 clip" in str(result)


def test_models_of_any_kind_make_a_session(tmp_path):
    from auricle.hub.weight_file import save_encoder

    save_encoder(m2d(), tmp_path / "m2d.safetensors")
    session = auricle.Embedder(str(tmp_path / "m2d.safetensors"))
    assert session.info.family == "m2d"
    assert auricle.Embedder(tmp_path / "m2d.safetensors", weights=None).info == session.info
    assert auricle.Embedder([mn(), mn()]).info.family == "ensemble"
    with pytest.raises(AuricleError, match="cannot tag"):
        auricle.Tagger(tmp_path / "m2d.safetensors")
