"""The files for search below an index: made when they are needed, from its present state, and never from an earlier one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.index.build import index_recordings
from auricle.index.config import IndexConfig
from auricle.index.database import SoundIndex
from auricle.index.search import approximate, nearest
from auricle.index.search.approximate import ApproximateSpans
from auricle.index.search.duplicates import duplicates_of_index
from auricle.index.search.nearest import NearestSpans
from helpers.encoders import logmel_stats
from helpers.sounds import tone, write_sound

RECORDINGS = 6


def fill(folder: Path, dtype: str = "float32") -> SoundIndex:
    config = IndexConfig((str(folder / "sounds"),), out=str(folder / "index"), window=0.5, hop=0.25, dtype=dtype)
    index_recordings(config, logmel_stats())
    return SoundIndex.open(folder / "index")


@pytest.fixture
def recordings(tmp_path) -> Path:
    """A folder with tones in ``sounds``."""
    (tmp_path / "sounds").mkdir()
    for number in range(RECORDINGS):
        write_sound(tmp_path / "sounds" / f"{number}.wav", tone(2.0, hertz=200.0 * 1.5**number, seed=number))
    return tmp_path


@pytest.fixture
def few_rows(monkeypatch):
    """Make codes and cells for a few dozen spans, as for many."""
    monkeypatch.setattr(nearest, "FEW", 8)
    monkeypatch.setattr(approximate, "FEW", 8)


def names(index: SoundIndex) -> list[str]:
    return sorted(path.name for path in (index.folder / "search").iterdir() if path.suffix != ".lock")


@pytest.mark.usefixtures("few_rows")
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_mapped_files_give_the_answers_of_the_vectors(recordings, dtype):
    index = fill(recordings, dtype)
    ids, vectors = index.vectors()
    mapped, loaded = NearestSpans.of_index(index), NearestSpans(ids, vectors, dtype)
    assert isinstance(mapped.units.values, np.memmap)
    assert mapped.coarse[-1].codes.dtype == np.int8
    for found, expected in zip(mapped.search(vectors[:4], 5), loaded.search(vectors[:4], 5)):
        assert (found == expected).all()
    again = NearestSpans.of_index(index)  # the files are there now
    assert (again.search(vectors[:4], 5)[0] == mapped.search(vectors[:4], 5)[0]).all()


def test_a_changed_index_gets_new_files_and_the_old_ones_go(recordings):
    index = fill(recordings)
    before, first = NearestSpans.of_index(index), names(index)
    write_sound(recordings / "sounds" / "more.wav", tone(2.0, hertz=3000.0))
    (recordings / "sounds" / "0.wav").unlink()
    index = fill(recordings)
    after = NearestSpans.of_index(index)
    assert set(after.ids) == set(index.span_ids())
    assert set(after.ids) != set(before.ids)
    assert len(names(index)) == 1
    assert names(index) != first
    assert before.search(np.zeros(before.units.width - 1), 3)[0].shape == (
        1,
        3,
    )  # who has opened the old ones keeps them


def test_removed_files_are_made_again(recordings):
    index = fill(recordings)
    expected = NearestSpans.of_index(index).search(index.vectors()[1][:2], 4)
    shutil.rmtree(index.folder / "search")
    for found, value in zip(NearestSpans.of_index(index).search(index.vectors()[1][:2], 4), expected):
        assert (found == value).all()


@pytest.mark.usefixtures("few_rows")
def test_a_failure_while_files_are_made_leaves_none(recordings, monkeypatch):
    index = fill(recordings)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(nearest, "make_coarse", full)
        with pytest.raises(AuricleError, match=r"the index itself is whole"):
            NearestSpans.of_index(index)
    assert names(index) == []
    assert len(NearestSpans.of_index(index)) == len(index)


@pytest.mark.usefixtures("few_rows")
def test_approximate_search_keeps_its_files_and_makes_damaged_ones_known(recordings):
    pytest.importorskip("faiss", reason="needs the extra [search]")
    index = fill(recordings)
    queries = index.vectors()[1][:3]
    ids, _ = ApproximateSpans.of_index(index).search(queries, 1)
    assert (ids == ApproximateSpans.of_index(index).search(queries, 1)[0]).all()
    (file,) = (index.folder / "search").glob("approximate-*/vectors.faiss")
    file.write_bytes(b"no index")
    with pytest.raises(AuricleError, match=r"remove the folder .*made again"):
        ApproximateSpans.of_index(index)


def test_an_index_of_unreadable_recordings_finds_nothing(tmp_path):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds" / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(AuricleError, match="nothing could be read"):
        fill(tmp_path)
    found = NearestSpans.of_index(SoundIndex.open(tmp_path / "index")).search(np.zeros((2, 256), np.float32), 5)
    assert [values.shape for values in found] == [(2, 0), (2, 0)]


def test_copies_of_recordings_are_near_duplicates(recordings):
    shutil.copy(recordings / "sounds" / "2.wav", recordings / "sounds" / "copy.wav")
    index = fill(recordings)
    groups = duplicates_of_index(index, 0.9999)
    paths = {span.id: (Path(span.path).name, span.start) for span in index.spans()}
    pairs = [{paths[id] for id in group.ids} for group in groups]
    assert any({("2.wav", 0.0), ("copy.wav", 0.0)} <= pair for pair in pairs)
    assert all({name for name, _ in pair} == {"2.wav", "copy.wav"} for pair in pairs)
