"""The embedding store: rows are joined by id, appends are atomic, writers take turns, damage is named and repaired."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.data.stores import embeddings as store_module
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.data.stores.shards import read_shard
from auricle.inference.embedder import ClipEmbedding
from helpers.paths import TESTS
from helpers.patience import PATIENCE

ABOUT = {"encoder": "abc", "settings": {"pooling": "mean"}, "clips": "birds"}


def vector(id: str, name: str = "clip", width: int = 4) -> np.ndarray:
    source = np.random.default_rng([ord(letter) for letter in id + name])
    return source.standard_normal(width).astype(np.float32)


def clip(id: str, names=("clip",), frames: int | None = None, width: int = 4) -> ClipEmbedding:
    vectors = {name: vector(id, name, width) for name in names}
    if frames is None:
        return ClipEmbedding(id, vectors)
    over_time = np.random.default_rng(len(id)).standard_normal((3, frames)).astype(np.float32).T  # not contiguous
    return ClipEmbedding(id, vectors, over_time, np.arange(frames) * 0.01)


@pytest.fixture
def store(tmp_path):
    return EmbeddingStore.create(tmp_path / "store", ABOUT)


def shards(store):
    return sorted(store.folder.glob("shard-*.safetensors"))


def damage(file):
    content = bytearray(file.read_bytes())
    content[-5] ^= 0xFF
    file.write_bytes(content)


# ---- the contract
def test_embeddings_are_read_by_id_in_any_order(store):
    ids = [f"clip {i}" for i in range(20)]
    written = random.Random(0).sample(ids, len(ids))
    for start in range(0, 20, 6):
        store.append([clip(id, ("layer10", "layer2"), frames=len(id)) for id in written[start : start + 6]])
    again = EmbeddingStore.open(store.folder)
    assert (len(again), again.ids, again.description) == (20, tuple(written), ABOUT)
    assert again.widths() == {"layer10": 4, "layer2": 4, "frames": 3}
    asked = random.Random(1).sample(ids, 12)
    expected = np.stack([np.concatenate([vector(id, "layer10"), vector(id, "layer2")]) for id in asked])
    assert np.array_equal(again.vectors(asked), expected)
    assert np.array_equal(again.vectors(asked, ["layer2"]), expected[:, 4:])
    for id in asked:
        one, same = again[id], clip(id, ("layer10", "layer2"), frames=len(id))
        assert one.id == id
        assert np.array_equal(one.vectors["layer2"], same.vectors["layer2"])
        assert np.array_equal(one.frames, same.frames)
        assert np.array_equal(one.times, same.times)


@pytest.mark.parametrize("seed", range(5))
def test_any_sequence_of_appends_is_a_dictionary(tmp_path, seed):
    draw, expected = random.Random(seed), {}
    for _ in range(12):
        store = EmbeddingStore.create(tmp_path / "store", ABOUT)
        ids, replace = [f"{draw.randrange(12)}" for _ in range(draw.randrange(5))], draw.random() < 0.5
        clips = {id: ClipEmbedding(id, {"clip": np.full(2, draw.random(), np.float32)}) for id in ids}
        added = store.append(clips.values(), replace=replace)
        assert set(added) == {id for id in clips if replace or id not in expected}
        expected |= {id: clips[id].vectors["clip"] for id in added}
    if draw.random() < 0.5:
        (store.folder / "index.sqlite").unlink()
    again = EmbeddingStore.open(store.folder)
    assert set(again.ids) == set(expected)
    assert np.array_equal(again.vectors(list(expected)), np.stack(list(expected.values())))


def test_arrays_of_one_clip_are_views_of_the_file(store):
    store.append([clip("a", frames=5)])
    one = store["a"]
    assert not one.frames.flags.writeable
    base = one.frames
    while not isinstance(base, np.memmap):
        base = base.base
    assert base.filename == shards(store)[0]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_is_recorded_and_kept(tmp_path, dtype):
    folder = tmp_path / dtype
    EmbeddingStore.create(folder, ABOUT, dtype=dtype).append([clip("a", frames=2)])
    again = EmbeddingStore.open(folder)
    assert again.dtype == again.vectors().dtype == again["a"].frames.dtype == dtype
    assert np.array_equal(again.vectors()[0], vector("a").astype(dtype))
    assert np.array_equal(again["a"].times, np.arange(2) * 0.01)  # times keep their own


def test_int8_vectors_have_a_scale_of_their_own_and_are_off_by_half_a_step_at_most(tmp_path):
    rows = {
        "loud": np.array([300.0, -1.0, 0.4, 0.0]),
        "faint": np.array([1e-4, -2e-4, 0.0, 1e-6]),
        "silent": np.zeros(4),
    }
    store = EmbeddingStore.create(tmp_path / "store", ABOUT, dtype="int8")
    store.append([ClipEmbedding(id, {"clip": row}, np.tile(row, (2, 1)), np.arange(2.0)) for id, row in rows.items()])
    again = EmbeddingStore.open(store.folder)
    for id, row in rows.items():
        (read,) = again.vectors([id])
        assert read.dtype == np.float32
        assert np.abs(read - row).max() <= np.abs(row).max() / 127 / 2 * 1.001
        assert np.array_equal(again[id].vectors["clip"], read)
        assert np.array_equal(again[id].frames, np.tile(read, (2, 1)))
    assert read_shard(shards(store)[0]).tensors["vector/clip"].dtype == np.int8


def test_an_id_is_appended_once_unless_it_is_replaced(store):
    assert store.append([clip("a"), clip("b")], {"a": "first"}) == ["a", "b"]
    other = ClipEmbedding("a", {"clip": np.zeros(4, np.float32)})
    assert store.append([other, clip("c")]) == ["c"]
    assert np.array_equal(store.vectors(["a"])[0], vector("a"))
    assert store.append([other], {"a": "second"}, replace=True) == ["a"]
    assert np.array_equal(store.vectors(["a"])[0], np.zeros(4))
    assert (len(store), store.rows(["a"])["a"].source) == (3, "second")


def test_failures_are_noted_until_the_clip_is_appended(store):
    store.append([clip("a"), ClipEmbedding("b", failure="b: no audio")])
    assert (store.ids, store.failures) == (("a",), {"b": "b: no audio"})
    store.append([clip("b")])
    assert store.failures == {}


def test_a_stream_is_appended_shard_by_shard_and_what_is_left_at_the_end(store, monkeypatch):
    stream = store.append_in_shards((clip(f"{i}") for i in range(11)), shard_clips=4)
    seen = [next(stream).id for _ in range(5)]
    assert (len(store), seen) == (4, ["0", "1", "2", "3", "4"])
    stream.close()  # the caller was interrupted
    assert store.ids == ("0", "1", "2", "3", "4")
    monkeypatch.setattr(store_module, "SHARD_BYTES", 40)
    assert len(list(store.append_in_shards(clip(f"{i}") for i in range(5, 11)))) == 6
    assert [len(read_shard(file).ids) for file in shards(store)] == [4, 1, 3, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (clip("x", width=5), "does not fit"),
        (clip("x", names=("layer0",)), "does not fit"),
        (clip("x", frames=3), "does not fit"),
    ],
)
def test_embeddings_of_another_form_are_refused_and_change_nothing(store, wrong, message):
    store.append([clip("a")])
    with pytest.raises(AuricleError, match=message):
        store.append([clip("b"), wrong])
    assert EmbeddingStore.open(store.folder).ids == ("a",)


def test_wrong_uses_raise_errors_with_a_message(store, tmp_path):
    store.append([clip("a")])
    with pytest.raises(AuricleError, match="no clip 'b'"):
        store.vectors(["b"])
    with pytest.raises(AuricleError, match="no vector 'layer0'"):
        store.vectors(["a"], ["layer0"])
    with pytest.raises(AuricleError, match="made from something else \\(settings\\)"):
        EmbeddingStore.create(store.folder, ABOUT | {"settings": {"pooling": "max"}})
    with pytest.raises(AuricleError, match="dtype: float32"):
        EmbeddingStore.create(store.folder, ABOUT, dtype="float16")
    with pytest.raises(AuricleError, match="one of float16"):
        EmbeddingStore.create(tmp_path / "other", ABOUT, dtype="int4")
    with pytest.raises(AuricleError, match="no embedding store"):
        EmbeddingStore.open(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("words")
    with pytest.raises(AuricleError, match=r"other files \(chapter.txt"):
        EmbeddingStore.create(tmp_path / "thesis", ABOUT)
    about = store.folder / "description.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"format": 99}))
    with pytest.raises(AuricleError, match="format 99"):
        EmbeddingStore.open(store.folder)


def test_an_empty_store_has_no_rows(store):
    assert (len(store), store.ids, store.widths()) == (0, (), {})
    assert store.vectors().shape == (0, 0)
    assert "a" not in store


# ---- damage
def test_a_damaged_shard_is_named_and_its_clips_can_be_appended_again(store):
    for names in (("a", "b"), ("c",), ("d",)):
        store.append([clip(name) for name in names])
    damage(shards(store)[0])
    assert store.discard_damaged(["c"]) == []
    (message,) = store.discard_damaged()
    assert "shard-000000.safetensors" in message
    assert "2 clips are lost" in message
    assert set(EmbeddingStore.open(store.folder).ids) == {"c", "d"}
    assert store.append([clip("b"), clip("c")]) == ["b"]
    assert np.array_equal(EmbeddingStore.open(store.folder).vectors(["b"])[0], vector("b"))


@pytest.mark.parametrize("content", [b"", b"hello", None])
def test_a_shard_that_is_cut_or_gone_is_a_damaged_one(store, content):
    store.append([clip("a")])
    store.append([clip("b")])
    (file, _) = shards(store)
    whole = file.read_bytes()
    file.unlink() if content is None else file.write_bytes(content or whole[:-3])
    again = EmbeddingStore.open(store.folder)
    with pytest.raises(AuricleError, match="shard-000000"):
        again.vectors()
    assert "shard-000000" in again.discard_damaged()[0]
    assert again.ids == ("b",)


@pytest.mark.parametrize("damage", ["missing", "text", "cut", "empty"])
def test_the_index_is_made_again_from_the_shards(store, damage):
    store.append([clip("a"), clip("b")], {"a": "a.wav"})
    store.append([clip("a", frames=None)], {"a": "a.wav, changed"}, replace=True)
    index = store.folder / "index.sqlite"
    content = index.read_bytes()
    index.write_bytes({"text": b"hello " * 999, "cut": content[:5000], "empty": b"", "missing": b""}[damage])
    if damage == "missing":
        index.unlink()
    again = EmbeddingStore.open(store.folder)
    assert (len(again), again.rows(["a"])["a"].source) == (2, "a.wav, changed")
    again.append([clip("c")])
    assert set(EmbeddingStore.open(store.folder).ids) == {"a", "b", "c"}


def test_a_damaged_shard_is_left_out_of_a_new_index_and_its_number_is_not_used_again(store):
    store.append([clip("a")])
    store.append([clip("b")])
    shards(store)[1].write_bytes(b"hello")
    (store.folder / "index.sqlite").unlink()
    again = EmbeddingStore.open(store.folder)
    assert again.ids == ("a",)
    assert "shard-000001" in again.notes[0]
    again.append([clip("b")])
    assert [file.name for file in shards(store)] == ["shard-000000.safetensors", "shard-000002.safetensors"]


def test_an_index_that_cannot_be_opened_is_not_thrown_away(store, monkeypatch):
    store.append([clip("a")])
    holder = sqlite3.connect(store.folder / "index.sqlite", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    monkeypatch.setattr(store_module, "WAIT_SECONDS", 0.1)
    with pytest.raises(AuricleError, match="locked"):
        len(store)
    holder.execute("ROLLBACK")
    assert len(store) == 1


# ---- several writers, and killed ones
def test_threads_share_a_store(store):
    def write(number: int) -> None:
        for i in range(10):
            store.append([clip(f"{number}-{i}"), clip(f"common {i}")])

    threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ids = [*(f"{number}-{i}" for number in range(3) for i in range(10)), *(f"common {i}" for i in range(10))]
    assert np.array_equal(store.vectors(ids), np.stack([vector(id) for id in ids]))
    assert len(store) == len(ids)


WRITER = """
import sys
import numpy as np
from auricle.data.stores.embeddings import EmbeddingStore
from data.test_embedding_store import ABOUT, clip
store = EmbeddingStore.create(sys.argv[1], ABOUT)
for i in range(int(sys.argv[3])):
    ids = [f"{sys.argv[2]}-{i}", f"common {i}"]
    store.append([clip(id) for id in ids])
    sys.stdout.write("".join(f"{id}\\n" for id in ids))
    sys.stdout.flush()
"""


def writer(programs, folder, name: str, appends: int) -> subprocess.Popen:
    command = [str(programs / "python"), "-c", WRITER, str(folder), name, str(appends)]
    return subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_two_processes_append_at_once(tmp_path, programs):
    writers = [writer(programs, tmp_path / "store", name, 15) for name in ("first", "second")]
    for process in writers:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    store = EmbeddingStore.open(tmp_path / "store")
    ids = {f"{name}-{i}" for name in ("first", "second", "common") for i in range(15)}
    ids = {id.replace("common-", "common ") for id in ids}
    assert set(store.ids) == ids
    assert len(store.ids) == len(ids)
    assert store.discard_damaged() == []
    assert np.array_equal(store.vectors(), np.stack([vector(id) for id in store.ids]))


@pytest.mark.slow
def test_a_killed_writer_loses_nothing_that_was_acknowledged_and_the_next_continues(tmp_path, programs):
    folder, acknowledged = tmp_path / "store", set()
    for life in range(4):
        process = writer(programs, folder, f"life {life}", 10**6)
        for _ in range(4 + 3 * life):
            acknowledged.add(process.stdout.readline().rstrip("\n"))
        time.sleep(0.003 * life)
        process.send_signal(signal.SIGKILL)
        with process:  # lines that are read already but not returned come first; the last one may be cut
            acknowledged |= {line.rstrip("\n") for line in process.stdout if line.endswith("\n")}
    store = EmbeddingStore.create(folder, ABOUT)
    assert acknowledged <= set(store.ids)
    assert store.append([clip("after")]) == ["after"]
    assert store.discard_damaged() == store.notes == []
    assert np.array_equal(store.vectors(), np.stack([vector(id) for id in store.ids]))
    assert not list(folder.glob(".*.tmp"))


def test_a_shard_that_was_written_but_not_noted_is_found(store, monkeypatch):
    store.append([clip("a")])
    with monkeypatch.context() as patch:
        patch.setattr(store_module, "_insert", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            store.append([clip("b")])
    assert store.append([clip("c")]) == ["c"]
    assert EmbeddingStore.open(store.folder).ids == ("a", "b", "c")


# ---- memory
STREAM = """
import resource, sys
from pathlib import Path
import numpy as np
from auricle.data.stores import embeddings as store_module
from auricle.embeddings.arrays import Selection, write_arrays
from auricle.data.stores.embeddings import EmbeddingStore
from auricle.inference.embedder import ClipEmbedding

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10)

store_module.SHARD_BYTES = 2 << 20
folder = Path(sys.argv[1])
frames = np.random.default_rng(0).standard_normal((100, 256)).astype(np.float32)
clips = (ClipEmbedding(f"{i}", {"clip": frames[0] + i}, frames + i, np.arange(100) / 100) for i in range(1200))
before = peak()
store = EmbeddingStore.create(folder / "store", {})
for _ in store.append_in_shards(clips):
    pass
write_arrays(folder / "out.npy", Selection.of(store, [f"{i}" for i in range(1200)], over_time=True))
print(peak() - before)
"""


@pytest.mark.slow
def test_no_more_than_some_shards_are_in_memory(tmp_path):
    command = [sys.executable, "-c", STREAM, str(tmp_path)]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE)
    rows = np.load(tmp_path / "out.npy", mmap_mode="r")
    assert rows.nbytes > 115 << 20
    assert np.allclose(rows[5000:5100], rows[:100] + 50, atol=1e-5)
    assert float(result.stdout) < 40  # megabytes: four mapped shards of two, and one that is written


@pytest.mark.parametrize("text", ["null", "[]", '"x"', '{"format": 1, "description": [], "dtype": "float32"}'])
def test_a_description_of_another_form_is_refused_in_words(tmp_path, text):
    EmbeddingStore.create(tmp_path / "store", ABOUT)
    (tmp_path / "store/description.json").write_text(text)
    with pytest.raises(AuricleError, match=r"description.json cannot be read \((a value of another kind|'format' is)"):
        EmbeddingStore.open(tmp_path / "store")


def test_places_in_the_index_that_are_no_numbers_are_made_again_from_the_shards(tmp_path):
    store = EmbeddingStore.create(tmp_path / "store", ABOUT)
    store.append([ClipEmbedding("a", {"clip": vector("a")})])
    with sqlite3.connect(tmp_path / "store/index.sqlite") as db:
        db.execute("UPDATE clips SET row = 'x'")
    again = EmbeddingStore.open(tmp_path / "store")
    assert np.array_equal(again.vectors(["a"])[0], vector("a"))
    assert "made again" in again.notes[0]
