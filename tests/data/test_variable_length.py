"""Batches by samples: the published rule, equal for any number of workers and ranks, from any start; clips cut alike."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest
import torch

from auricle.core.errors import AudioError, AuricleError
from auricle.data.batch import collate
from auricle.data.datasets.base import SampleIndex
from auricle.data.loading.loader import make_loader
from auricle.data.loading.sampler import VALIDATION_EPOCH, HeldOutBatches, draw_held_out
from auricle.data.loading.variable_length import (
    BucketBatches,
    BucketConfig,
    WholeClips,
    bucket_sizes,
    make_buckets,
    sort_by_length,
)
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import with_lengths
from auricle.frontends.base import front_end
from helpers import paths
from helpers.golden_files import close, read_golden
from helpers.replays import NumpyReplay
from helpers.sounds import tone, write_sound

GOLDEN = paths.GOLDEN / "mae_ast"
CASES = json.loads((GOLDEN / "batching.json").read_text())
FBANK = "mae-ast-fbank/16k"


def listed(sizes) -> Manifest:
    return Manifest(tuple(Clip(f"{i}.wav", path=f"{i}.wav", num_samples=int(size)) for i, size in enumerate(sizes)))


@pytest.mark.parametrize("case", CASES, ids=[case["case"] for case in CASES])
def test_batches_are_the_published_ones(case):
    config = BucketConfig(
        max_tokens=case["max_tokens"],
        batch_multiple=case["required_batch_size_multiple"],
        max_sample_size=case["max_sample_size"],
    )
    order = sort_by_length(case["sizes"], NumpyReplay(case["numpy_seed"]).permutation(len(case["sizes"])))
    assert order.tolist() == case["ordered_indices"]
    counted = [config.counted(case["sizes"][i]) for i in order]
    lengths = bucket_sizes(counted, config.max_tokens, config.batch_multiple, len(counted))
    assert lengths == case["batch_lengths"]
    assert [part.tolist() for part in np.split(order, np.cumsum(lengths)[:-1])] == case["batches"]


def test_audioset_gives_the_published_32_clips():
    config = BucketConfig()
    assert bucket_sizes([config.counted(479232)] * 100, 8388608, 8, 512) == [32, 32, 32, 4]
    assert bucket_sizes([config.counted(479232)] * 10, 1400000, 8, 512) == [5, 5]


def test_a_batch_is_never_larger_than_max_tokens():
    sizes = np.random.Generator(np.random.Philox(key=1)).integers(1, 500, 300)
    for batch in make_buckets(listed(sizes), BucketConfig(max_tokens=2000, max_sample_size=0), most=20, seed=0):
        assert len(batch) <= 20
        assert len(batch) * max(sizes[batch]) <= 2000


def test_a_clip_larger_than_a_batch_is_named():
    with pytest.raises(
        AuricleError, match=r"'1\.wav' alone \(900 samples\) is larger than a batch \(500\).*--max-tokens"
    ):
        make_buckets(listed([100, 900]), BucketConfig(max_tokens=500), most=8, seed=0)


def test_clips_are_left_out_by_their_number_of_samples():
    config = BucketConfig(min_sample_size=10, max_keep_size=20)
    assert [config.keeps(n) for n in (9, 10, 20, 21)] == [False, True, True, False]
    assert BucketConfig(min_sample_size=0).keeps(0) is False


def batches(count: int = 7) -> tuple[np.ndarray, ...]:
    return tuple(np.arange(10 * i, 10 * i + 1 + i % 3) for i in range(count))


def test_an_epoch_holds_every_batch_once_in_an_order_of_its_own():
    sampler = BucketBatches(batches(), epochs=2)
    items = list(sampler)
    first, second = items[:7], items[7:]
    for epoch in (first, second):
        assert sorted(item.number for batch in epoch for item in batch) == sorted(np.concatenate(batches()).tolist())
        assert [item.position for batch in epoch for item in batch] == list(range(13))
    assert [b[0].number for b in first] != [b[0].number for b in second]


@pytest.mark.parametrize("start", [0, 3, 7, 11])
def test_a_run_can_begin_at_any_micro_step(start):
    epoch, step = divmod(start, 7)
    later = BucketBatches(batches(), epoch=epoch, micro_step=step)
    assert list(islice(later, 5)) == list(islice(BucketBatches(batches()), start, start + 5))


def test_a_step_of_two_ranks_has_the_clips_of_one_with_the_double_batch():
    one = make_buckets(listed([100] * 61), BucketConfig(max_tokens=4000), most=20, seed=0)
    two = make_buckets(listed([100] * 61), BucketConfig(max_tokens=2000), most=10, seed=0, world=2)
    assert [len(part) for part in one] == [16, 16, 16, 8, 5]
    assert [len(part) for part in two] == [16, 16, 16, 12]  # shared equally; one clip is left out
    assert all(np.array_equal(a, b) for a, b in zip(one[:3], two[:3], strict=True))
    ranks = [list(BucketBatches(two, rank=rank, world=2, epochs=1)) for rank in (0, 1)]
    for batch, first, second in zip(BucketBatches(two, epochs=1), *ranks, strict=True):
        assert len(first) == len(second)
        assert sorted(first + second) == batch


def test_fewer_clips_than_processes_are_refused():
    with pytest.raises(AuricleError, match="1 clips are too few for 2 processes"):
        make_buckets(listed([100]), BucketConfig(), most=8, seed=0, world=2)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_held_out_batches_are_the_same_for_any_number_of_ranks(world):
    ranks = [list(HeldOutBatches(batches(), rank, world)) for rank in range(world)]
    together = [ranks[i % world][i // world] for i in range(7)]
    assert together == list(HeldOutBatches(batches()))
    assert together[1][0] == SampleIndex(VALIDATION_EPOCH, 1, 10)


def test_validation_takes_a_fixed_sample_of_a_long_list():
    drawn = draw_held_out(5000, 100, 2048, seed=3)
    assert [len(batch) for batch in drawn] == [100] * 20 + [48]
    assert len(set(np.concatenate(drawn).tolist())) == 2048
    assert all(np.array_equal(a, b) for a, b in zip(drawn, draw_held_out(5000, 100, 2048, seed=3), strict=True))
    assert sorted(np.concatenate(draw_held_out(5, 2, 2048, seed=0)).tolist()) == [0, 1, 2, 3, 4]


# ------------------------------------------------------------------------------------------------------ clips of one batch
def test_files_and_their_batch_are_the_published_ones():
    """FLAC at 16 and 48 kHz and AAC in Matroska, as one batch with NumPy seeded (golden README, "collated")."""
    pytest.importorskip("av")
    golden, _ = read_golden(GOLDEN / "files.safetensors")
    data, front = whole(read_manifest(GOLDEN / "manifest.tsv")), front_end(FBANK)
    samples = [data[i] for i in range(3)]
    for sample in samples:
        wanted = golden[f"file.{sample.id}"]
        found = front(torch.from_numpy(sample.crop.values)[None])[0].T
        close(found, wanted, 1e-2 if sample.id.endswith(".mkv") else 3e-3)
    batch = collate(data.cut_to_one_length(samples, [NumpyReplay(1000)] * 3))
    close(front(batch.audio).transpose(1, 2), golden["collated.source"], 1e-2)


@pytest.fixture
def sounds(tmp_path) -> Manifest:
    for i, seconds in enumerate((0.5, 0.31, 0.7, 0.9)):
        write_sound(tmp_path / f"{i}.wav", tone(seconds, seed=i))
    return with_lengths(read_manifest(tmp_path), quiet=True)


def whole(manifest: Manifest, min_frames: int = 1, **settings) -> WholeClips:
    return WholeClips(manifest, front_end(FBANK), BucketConfig(min_sample_size=0, **settings), min_frames=min_frames)


def test_clips_are_cut_to_the_frames_of_the_shortest(sounds):
    data, front = whole(sounds), front_end(FBANK)
    samples = [data[SampleIndex(0, i, i)] for i in range(4)]
    batch = data.collate(samples)
    assert batch.lengths.tolist() == [400 + 28 * 160] * 4  # 0.31 s are 29 frames
    for i, sample in enumerate(samples):
        first = round((float(batch.crop_start[i]) - sample.crop.crop_start) * 100)
        of_whole = front(torch.from_numpy(sample.crop.values)[None])[0, :, first : first + 29]
        torch.testing.assert_close(front(batch.audio[i : i + 1])[0], of_whole, atol=2e-5, rtol=0)
    assert batch.crop_start[1] == 0
    assert (batch.crop_start > 0).any()


def test_a_cut_is_one_draw_per_longer_clip_in_the_order_of_the_batch(sounds):
    data, replay = whole(sounds), NumpyReplay(5)
    narrowed = data.cut_to_one_length([data[i] for i in range(4)], [replay] * 4)
    again, frames = NumpyReplay(5), [front_end(FBANK).num_frames(len(data[i].crop.values)) for i in range(4)]
    wanted = [again.integers(0, n - 29 + 1) / 100 if n > 29 else 0.0 for n in frames]
    assert [sample.crop.crop_start for sample in narrowed] == pytest.approx(wanted)


def test_padding_extends_to_the_longest_clip_and_lengths_are_returned(sounds):
    data = whole(sounds, pad_audio=True, max_sample_size=60)
    batch = data.collate([data[i] for i in range(4)])
    frames = [front_end(FBANK).num_frames(int(n)) for n in batch.lengths]
    assert frames == [48, 29, 60, 60]
    assert batch.audio.shape == (4, 400 + 59 * 160)
    assert not batch.audio[1, int(batch.lengths[1]) :].any()


def test_a_limit_in_seconds_reads_a_part_of_a_long_clip(sounds):
    data = whole(sounds, max_seconds=0.4)
    lengths = [len(data[SampleIndex(0, i, i)].crop.values) for i in range(4)]
    assert lengths == [6400, 4960, 6400, 6400]
    assert len({data[SampleIndex(epoch, 0, 3)].crop.crop_start for epoch in range(5)}) > 1


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_does_not_change_the_weights(sounds, workers):
    data = whole(sounds)
    order = BucketBatches(tuple(np.array(pair) for pair in ((0, 1), (2, 3))), seed=1, epochs=2)
    one = list(make_loader(data, order, collate=data.collate))
    more = list(make_loader(data, order, workers, collate=data.collate))
    assert [batch.ids for batch in one] == [batch.ids for batch in more]
    assert all(torch.equal(a.audio, b.audio) for a, b in zip(one, more, strict=True))


# ---------------------------------------------------------------------------------------------------------------- bad lists
def test_a_length_that_does_not_match_its_file_is_named(sounds, tmp_path):
    wrong = Manifest((Clip("3.wav", path="3.wav", num_samples=160000), *sounds.clips[:3]), tmp_path)
    with pytest.raises(AudioError, match=r"3\.wav: the list says 160000 samples, the file holds 14400"):
        whole(wrong)[0]
    loader = make_loader(whole(wrong), BucketBatches((np.arange(4),), epochs=1), collate=whole(wrong).collate)
    assert len(next(iter(loader))) == 4
    assert list(loader.failed) == ["3.wav"]


def test_a_clip_shorter_than_a_token_is_named(sounds):
    with pytest.raises(AudioError, match=r"1\.wav lasts 310 ms; a token takes 335 ms.*--min-sample-size"):
        whole(sounds, min_frames=32)[1]


def test_files_that_cannot_be_opened_are_left_out_with_a_note(tmp_path):
    write_sound(tmp_path / "good.wav")
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    found = with_lengths(read_manifest(tmp_path), quiet=True)
    assert found.ids == ("good.wav",)
    assert found.clips[0].num_samples == 8000
    assert "1 of 2 files cannot be opened and are left out; the first:" in found.notes[-1]
    (tmp_path / "good.wav").unlink()
    with pytest.raises(AuricleError, match="none of the 1 files can be opened"):
        with_lengths(read_manifest(tmp_path), quiet=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.wav\t16000\nb.wav\t16000\n", "begins with a clip .* first line must be the root"),
        (".\n", r"lists no clips: below its root"),
        (".\n\n", r"lists no clips"),
        ("", "lists no clips"),
        ("nowhere\na.wav\t16000\n", "root folder .*nowhere does not exist"),
        (".\na.wav 16000\n", r"line 2: expected path<TAB>number of samples"),
        (".\na.wav\t\u00b2\n", r"line 2: expected path<TAB>number of samples"),
        (".\na.wav\tmany\n", r"line 2: expected path<TAB>number of samples"),
    ],
)
def test_a_broken_tsv_is_refused_with_a_message(tmp_path, text, message):
    (tmp_path / "valid.tsv").write_text(text)
    with pytest.raises(AuricleError, match=message):
        read_manifest(tmp_path / "valid.tsv")


def test_a_tsv_in_another_encoding_is_refused_with_a_message(tmp_path):
    (tmp_path / "train.tsv").write_bytes(b".\ncaf\xe9.wav\t40000\n")
    with pytest.raises(AuricleError, match="not UTF-8"):
        read_manifest(tmp_path / "train.tsv")


def test_a_tsv_is_read_as_it_was_written(sounds, tmp_path):
    path = write_manifest(sounds, tmp_path / "train.tsv")
    assert path.read_text().splitlines()[0] == str(tmp_path.resolve())
    back = read_manifest(path)
    assert [(c.id, c.num_samples) for c in back] == [(c.id, c.num_samples) for c in sounds]
