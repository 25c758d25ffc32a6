"""Clips drawn in proportion to their weights: keyed, so that workers and ranks change nothing."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
import torch

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.data.manifest.formats import read_manifest, write_manifest
from auricle.methods.data import content_key as key_of
from auricle.methods.m2d.data import open_clips as open_data
from auricle.training.distributed import DistContext
from helpers.training_runs import config, flags, prepared


@pytest.fixture
def weighted(tmp_path):
    """24 clips, of which the first two weigh a thousand times as much as the others."""
    folder = prepared(tmp_path / "data")
    manifest = read_manifest(folder)
    clips = tuple(replace(clip, weight=1000.0 if i < 2 else 1.0) for i, clip in enumerate(manifest))
    write_manifest(replace(manifest, clips=clips), folder / "manifest.csv")
    return folder


def drawn(settings, micro_steps: int, rank: int = 0, world: int = 1) -> list[tuple[str, ...]]:
    data = open_data(settings, DistContext(0, 1, torch.device("cpu")))
    data.processes = DistContext(rank, world, torch.device("cpu"))
    batches = data.batches(0)
    return [next(batches).ids for _ in range(micro_steps)]


def test_clips_of_larger_weight_are_drawn_more_often(weighted, tmp_path):
    ids = sum(drawn(config(weighted, tmp_path / "run", weighted=True), 6), ())
    counts = Counter(ids)
    assert counts["000.wav"] + counts["001.wav"] > 20
    assert len(set(sum(drawn(config(weighted, tmp_path / "run"), 6), ()))) == 24, "without the flag: every clip once"


def test_ranks_and_workers_draw_the_same_clips(weighted, tmp_path):
    one = drawn(config(weighted, tmp_path / "run", weighted=True, batch_size=4), 3)
    settings = config(weighted, tmp_path / "run", weighted=True, batch_size=2)
    two = list(zip(drawn(settings, 3, 0, 2), drawn(settings, 3, 1, 2)))
    assert [a + b for a, b in two] == one
    assert drawn(config(weighted, tmp_path / "run", weighted=True, workers=1), 3) == one


def test_weights_hold_for_a_repeated_list(weighted, tmp_path):
    ids = sum(drawn(config(weighted, tmp_path / "run", weighted=True, min_ds_size=60), 15), ())
    assert len(ids) == 60
    assert Counter(ids)["000.wav"] > 20


@pytest.mark.slow
def test_a_run_takes_the_flag_and_refuses_a_list_without_weights(weighted, tmp_path, capsys):
    assert main([*flags(weighted, tmp_path / "run", epochs=1, warmup_epochs=0.0), "--weighted", "--quiet"]) == 0
    assert main([*flags(prepared(tmp_path / "plain"), tmp_path / "other"), "--weighted", "--quiet"]) == 2
    assert "prepare as-list" in capsys.readouterr().err
    with pytest.raises(AuricleError, match="weight of its own"):
        open_data(config(tmp_path / "plain", tmp_path / "x", weighted=True), DistContext(0, 1, torch.device("cpu")))


def test_other_weights_are_other_data(weighted, tmp_path):
    assert key_of(read_manifest(weighted)) != key_of(read_manifest(prepared(tmp_path / "plain")))


def test_by_length_every_second_counts_the_same(tmp_path):
    folder = prepared(tmp_path / "data")
    manifest = read_manifest(folder)
    clips = tuple(
        replace(clip, num_samples=1000 * clip.num_samples if i < 2 else clip.num_samples)
        for i, clip in enumerate(manifest)
    )
    write_manifest(replace(manifest, clips=clips), folder / "manifest.csv")
    counts = Counter(sum(drawn(config(folder, tmp_path / "run", by_length=True), 6), ()))
    assert counts["000.wav"] + counts["001.wav"] > 20


def test_by_length_refuses_a_list_without_lengths(tmp_path, capsys):
    folder = prepared(tmp_path / "data")
    manifest = read_manifest(folder)
    write_manifest(
        replace(manifest, clips=tuple(replace(clip, num_samples=None) for clip in manifest)), folder / "manifest.csv"
    )
    assert main([*flags(folder, tmp_path / "run"), "--by-length", "--quiet"]) == 2
    assert "does not hold the length" in capsys.readouterr().err
