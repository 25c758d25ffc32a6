"""Searching an index: like examples, by scores of labels, near duplicates, within filters."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import datetime, time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from auricle.core.errors import AuricleError
from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from auricle.index.search.examples import embedder_of
from auricle.index.search.find import IndexSearch, SearchSettings, _nearest_to_any
from auricle.index.search.nearest import NearestSpans
from auricle.index.search.query import read_query
from auricle.index.search.relevance import nearest_scores
from auricle.index.search.results import SearchResults
from auricle.index.search.span_filter import SpanFilter
from helpers.sounds import write_sound
from helpers.tagging import LoudestBand
from helpers.tone_index import RECORDINGS, ToneIndex, make_tone_index


class OtherEncoder(LoudestBand):
    def architecture(self):
        return {"family": "other"}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> ToneIndex:
    return make_tone_index(tmp_path_factory.mktemp("tones"))


@pytest.fixture(scope="module")
def session(made) -> IndexSearch:
    return IndexSearch(made.index, lambda: embedder_of(made.index, made.encoder))


def find(session: IndexSearch, *texts: str, unlike: tuple[str, ...] = (), **settings) -> SearchResults:
    where = settings.pop("where", SpanFilter())
    query = read_query(texts, unlike, session.index.info)
    return session(query, SearchSettings(where=where, **settings))


def heard(results: SearchResults) -> list[str]:
    """What is heard in the middle of each match."""
    bands = {Path(name).name: what for name, what in RECORDINGS.items()}
    return [bands[Path(m.span.path).name][int((m.span.start + m.span.end) / 2)] for m in results]


def places(results: SearchResults) -> list[tuple[str, float]]:
    return [(Path(match.span.path).name, match.span.start) for match in results]


# ---- by example
@pytest.mark.parametrize("name", ["low", "middle", "high"])
def test_sound_finds_its_like_first(session, made, name):
    results = find(session, str(made.examples / f"{name}.wav"), top_k=3)
    assert heard(results) == [name] * 3
    assert results.method == "nearest"
    similarities = [match.similarity for match in results]
    assert similarities == sorted(similarities, reverse=True)
    assert results.matches[0].tags[0].label == name


def test_part_of_a_recording_finds_what_is_heard_there_and_not_itself(session, made):
    night = made.sounds / "pond/20240601_220000.WAV"
    results = find(session, f"{night}@2-3", top_k=3)
    assert heard(results) == ["high"] * 3
    assert (night.name, 2.0) not in places(results)


def test_part_ends_with_its_recording_wherever_its_end_is_said_to_be(session, made):
    night = made.sounds / "pond/20240601_220000.WAV"
    results = find(session, f"{night}@2-99999999999", top_k=3)
    assert len(results) == 3
    assert any("with the recording" in note for note in results.notes)
    with pytest.raises(AuricleError, match="starts at 99999.000 s, but the file ends"):
        find(session, f"{night}@99999-99999999999")


def test_recording_of_the_index_is_not_found_by_itself(session, made):
    name = "pond/20240601_220000.WAV"
    results = find(session, str(made.sounds / name), top_k=50)
    assert Path(name).name not in {file for file, _ in places(results)}
    assert "windows; a span counts by the nearest of them" in results.notes[0]


def test_span_of_the_index_is_an_example_and_not_found_itself(session, made):
    first = find(session, str(made.examples / "high.wav"), top_k=1).matches[0].span
    results = find(session, f"#{first.id}", top_k=3)
    assert heard(results) == ["high"] * 3
    assert first.id not in {match.span.id for match in results}


def test_silence_in_an_example_is_named(session, made, tmp_path):
    sound, rate = soundfile.read(made.examples / "low.wav", dtype="float32")
    write_sound(tmp_path / "silent.wav", np.zeros(rate, np.float32), rate)
    assert any("silent.wav: digital silence" in note for note in find(session, str(tmp_path / "silent.wav")).notes)
    longer = np.concatenate([np.resize(sound, rate), np.zeros(3 * rate, np.float32)])
    write_sound(tmp_path / "half.wav", longer, rate)
    assert any(
        re.search(r"\d windows? of .*half.wav", note) for note in find(session, str(tmp_path / "half.wav")).notes
    )
    assert not any("silence" in note for note in find(session, str(made.examples / "low.wav")).notes)


def test_folder_of_examples_counts_each_recording(session, made):
    results = find(session, str(made.examples), top_k=6, method="nearest")
    assert set(heard(results)) == {"low", "middle", "high"}


def test_what_is_not_meant_moves_behind(session, made):
    both = [str(made.examples / "low.wav"), str(made.examples / "middle.wav")]
    with_both = find(session, *both, top_k=4)
    without = find(session, *both, unlike=(f"{made.examples / 'middle.wav'}@0-0.9",), top_k=2)
    assert set(heard(with_both)) == {"low", "middle"}
    assert heard(without) == ["low", "low"]


@pytest.mark.parametrize("method", ["nearest", "rocchio", "linear"])
def test_every_method_finds_what_is_like_and_unlike(session, made, method):
    settings = {"unlike": (str(made.examples / "high.wav"),), "method": method, "top_k": 3}
    assert heard(find(session, str(made.examples / "low.wav"), **settings)) == ["low"] * 3


def test_overlapping_spans_count_once_unless_asked_for(session, made):
    example = str(made.examples / "low.wav")
    once = places(find(session, example, top_k=50))
    every = places(find(session, example, top_k=50, overlapping=True))
    assert len(every) == len(session.index)
    for name in {file for file, _ in once}:
        starts = sorted(start for file, start in once if file == name)
        assert all(b - a > 0.5 for a, b in pairwise(starts))


def test_least_similarity_cuts_the_answer(session, made):
    results = find(session, str(made.examples / "low.wav"), top_k=50, min_score=0.9)
    assert set(heard(results)) == {"low"}


def test_nearest_with_negatives_is_what_comparing_everything_gives():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((400, 6)).astype(np.float32)
    exact = NearestSpans(np.arange(400) * 3, vectors)
    like, unlike = exact.units.of(vectors[:3] + 0.1), exact.units.of(vectors[5:9])
    scores = nearest_scores(exact.units.rows(slice(None)), like, unlike)
    expected = exact.ids[np.argsort(-scores, kind="stable")[:10]]
    ranked = partial(_nearest_to_any, exact, exact, like, unlike)
    assert ranked(None, 10)[0].tolist() == expected.tolist()
    allowed = expected[::2]
    assert ranked(allowed, 10)[0].tolist() == allowed.tolist()


def test_label_of_the_user_names_matches_and_similarity_is_their_score(session, made):
    results = find(session, str(made.examples / "low.wav"), top_k=50, label="hum")
    assert {match.label for match in results} == {"hum"}
    assert all(match.score == min(max(match.similarity, 0), 1) for match in results)
    assert results.model == ""


# ---- by label, and within filters
def test_label_finds_the_highest_scores_first(session):
    results = find(session, "label:low > 0.5", top_k=50)
    scores = [match.score for match in results]
    assert scores == sorted(scores, reverse=True)
    assert min(scores) > 0.5
    assert results.model == f"{session.index.info.model}@{session.index.info.fingerprint}"


def test_conditions_and_examples_combine(session, made):
    results = find(session, str(made.examples / "low.wav"), "label:high > 0.9", top_k=50)
    assert set(heard(results)) == {"high"}
    assert results.matches[0].label == "high"
    below = find(session, "label:low < 0.5 and high < 0.5", top_k=50)
    assert set(heard(below)) == {"middle"}


@pytest.mark.parametrize(
    ("where", "files"),
    [
        (SpanFilter(after=time(21), before=time(4)), {"20240601_220000.WAV", "20240602_030000.WAV"}),
        (SpanFilter(after=datetime(2024, 6, 2)), {"20240602_030000.WAV", "S4A01234_20240602_120000.wav"}),
        (SpanFilter(recorders=("s4a01234",)), {"S4A01234_20240602_120000.wav"}),
        (SpanFilter(places=("pond",), before=datetime(2024, 6, 2)), {"20240601_220000.WAV"}),
        (SpanFilter(paths=("hill/*",)), {"S4A01234_20240602_120000.wav"}),
    ],
)
def test_filters_limit_every_query(session, made, where, files):
    for query in (str(made.examples / "high.wav"), "label:high"):
        results = find(session, query, where=where, top_k=50)
        assert {file for file, _ in places(results)} == files
        assert results.searched < len(session.index)


def test_empty_answers_say_why(session, made):
    assert find(session, "label:low > 0.9999").notes == ("no span matches",)
    assert "there is no place 'pnd'; did you mean pond?" in find(session, "#1", where=SpanFilter(places=("pnd",))).notes
    nobody = find(session, "#1", where=SpanFilter(paths=("nowhere/*",)))
    assert (len(nobody), nobody.searched) == (0, 0)
    assert "the filters leave none of" in nobody.notes[0]


# ---- duplicates
def test_copies_are_duplicates_and_neighbouring_windows_are_not(made, tmp_path):
    sounds = tmp_path / "sounds"
    shutil.copytree(made.sounds, sounds)
    shutil.copy(sounds / "hill/S4A01234_20240602_120000.wav", sounds / "copy.wav")
    config = IndexConfig((str(sounds),), out=str(tmp_path / "INDEX"), window=1.0, hop=0.5)
    index_recordings(config, made.encoder)
    session = IndexSearch(SoundIndex.open(tmp_path / "INDEX"))
    results = find(session, "duplicates", near=0.999999)
    groups: dict[int, set[str]] = {}
    for match in results:
        groups.setdefault(match.group, set()).add(Path(match.span.path).name)
    assert len(groups) == 7  # windows of the recording of 4 s
    assert all(names == {"copy.wav", "S4A01234_20240602_120000.wav"} for names in groups.values())
    few = find(session, "duplicates", near=0.999999, top_k=2)
    assert {match.group for match in few} == {1, 2}
    assert "7 groups" in few.notes[0]
    assert len(find(session, "duplicates", where=SpanFilter(paths=("hill/*",)), near=0.999999)) == 0


# ---- what is refused
def test_unknown_spans_unreadable_examples_and_other_models_are_refused(session, made, tmp_path):
    with pytest.raises(AuricleError, match="no span #999"):
        find(session, "#999")
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(AuricleError, match="broken.wav cannot be read"):
        find(session, str(tmp_path / "broken.wav"))
    with pytest.raises(AuricleError, match="cannot be read"):
        find(session, f"{made.examples / 'low.wav'}@70-80")
    with pytest.raises(AuricleError, match="is not the model that made the index"):
        embedder_of(made.index, OtherEncoder())


def test_lost_vectors_are_named_with_what_to_do(made, tmp_path):
    folder = Path(shutil.copytree(made.index.folder, tmp_path / "INDEX"))
    shutil.rmtree(folder / "search", ignore_errors=True)
    for damage in (lambda file: file.write_bytes(file.read_bytes()[:-9]), Path.unlink):
        for shard in (folder / "vectors").glob("shard-*.safetensors"):
            damage(shard)
        with pytest.raises(AuricleError, match=r"vectors of the index cannot be read .*run 'auricle index'"):
            find(IndexSearch(SoundIndex.open(folder)), "#1")


def test_model_that_is_gone_is_named_with_what_to_do(made):
    index = SoundIndex.open(made.index.folder)
    index.info = replace(index.info, model="/gone/run")
    with pytest.raises(AuricleError, match=r"/gone/run, cannot be loaded .* --model"):
        embedder_of(index)


def test_session_sees_recordings_that_were_added_later(made, tmp_path):
    sounds = tmp_path / "sounds"
    shutil.copytree(made.sounds / "pond", sounds / "pond")
    config = IndexConfig((str(sounds),), out=str(tmp_path / "INDEX"), window=1.0, hop=0.5)
    index_recordings(config, made.encoder)
    session = IndexSearch(SoundIndex.open(tmp_path / "INDEX"), lambda: embedder_of(made.index, made.encoder))
    example = str(made.examples / "middle.wav")
    before = find(session, example, top_k=50)
    shutil.copytree(made.sounds / "hill", sounds / "hill")
    index_recordings(config, made.encoder)
    after = find(session, example, top_k=50)
    assert "S4A01234_20240602_120000.wav" in {file for file, _ in places(after)} - {file for file, _ in places(before)}
