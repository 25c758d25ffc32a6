"""MAE-AST's masks: the original's to the token where its generator is replayed, statistically the same where it is not."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.core.randomness import BatchKey, RandomKey
from auricle.models.masking.mae_ast import (
    Spans,
    chunk_mask,
    random_mask,
    retained_count,
    same_for_all,
    span_mask,
    ssast_frame_mask,
    ssast_patch_mask,
    union,
)
from auricle.models.masking.patches import Mask
from helpers.golden_files import read_golden
from helpers.paths import GOLDEN
from helpers.replays import PythonReplay, PythonShuffleReplay, replayed

FOLDER = GOLDEN / "mae_ast"
STATISTICS = json.loads((FOLDER / "mask_statistics.json").read_text())
SSAST_GRID = (8, 64)


@pytest.fixture(scope="module")
def golden():
    return read_golden(FOLDER / "masks.safetensors")


def replay_of(case: dict, seed: int) -> Mask:
    tokens, prob, clips = case["T"], case["random_mask_prob"], case["batch"]
    if case["mask_type"] == "random_mask":
        return random_mask(tokens, prob, [PythonShuffleReplay(seed)] * clips)
    if case["mask_type"] == "random_mask_batched":
        return random_mask(tokens, prob, [PythonShuffleReplay(seed)])
    if case["mask_type"] == "chunk_mask":
        channels = case["feature_dim"] // case["ast_kernel_stride_chan"]
        return same_for_all(chunk_mask(tokens, prob, channels, [PythonReplay(seed)]), clips)
    return span_mask([tokens] * clips, tokens, Spans(prob), replayed(seed, clips), retain=True)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_masks_are_the_originals_where_its_generator_is_replayed(golden, seed):
    tensors, meta = golden
    for name, case in meta["info"].items():
        mask = replay_of(case, seed)
        assert mask.visible.equal(tensors[f"{name}.seed{seed}.retained"].long()), name
        assert mask.hidden.equal(tensors[f"{name}.seed{seed}.masked"].long().sort(dim=1).values), name


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("kind", ["patch", "frame"])
def test_ssast_masks_are_the_originals_in_our_order_of_tokens(golden, kind, seed):
    draw = ssast_patch_mask if kind == "patch" else ssast_frame_mask
    mask = draw(SSAST_GRID, 400 / 512, [PythonReplay(seed)])
    published = golden[0][f"ssast_{kind}_T512_m400.seed{seed}.masked"].long()  # frequency-major
    ours = (published % SSAST_GRID[1]) * SSAST_GRID[0] + published // SSAST_GRID[1]
    assert mask.hidden[0].equal(ours.sort().values)


def keyed(n: int, clips: int = 1) -> list[list[np.random.Generator]]:
    return [BatchKey(5, 0, tuple(range(i * clips, (i + 1) * clips))).each("mask") for i in range(n)]


def drawn(case: dict, n: int) -> np.ndarray:
    """(n, T) bool, our masks from keyed draws."""
    tokens, prob, clips = case["T"], case.get("random_mask_prob", 400 / 512), case.get("batch", 1)
    of: dict[str, Callable[[list], Mask]] = {
        "random_mask": lambda sources: random_mask(tokens, prob, sources),
        "chunk_mask": lambda sources: chunk_mask(tokens, prob, 128 // case["stride_chan"], sources),
        "retain_spans": lambda sources: span_mask([tokens] * clips, tokens, Spans(prob), sources, retain=True),
        "mask_spans": lambda sources: span_mask([tokens] * clips, tokens, Spans(prob), sources, retain=False),
        "ssast": lambda sources: ssast_patch_mask(SSAST_GRID, prob, sources),
    }
    masks = [of[case.get("mask_type", "ssast")](sources) for sources in keyed(-(-n // clips), clips)]
    return np.concatenate([mask.binary.bool().numpy() for mask in masks])


def after(flags: np.ndarray, distance: int) -> float:
    """P(i + distance masked | i masked)."""
    return float((flags[:, :-distance] & flags[:, distance:]).sum() / flags[:, :-distance].sum())


CASES = [name for name in STATISTICS if name not in ("chunk_size_distribution_T496_p75", "ssast_frame_T512_m400")]


@pytest.mark.parametrize("name", CASES)
def test_keyed_masks_have_the_published_statistics(name):
    case, n = STATISTICS[name], 960
    flags = drawn(case, n)
    ratios = flags.mean(axis=1)[:: case.get("batch", 1)]
    wanted = case["masked_ratio_std"]
    assert ratios.mean() == pytest.approx(case["masked_ratio_mean"], abs=5 * wanted / np.sqrt(len(ratios)) + 1e-9)
    assert ratios.std() == pytest.approx(wanted, rel=0.4, abs=1e-9)
    if name.startswith("ssast"):
        flags = flags.reshape(n, *SSAST_GRID[::-1]).transpose(0, 2, 1).reshape(n, -1)  # frequency-major, as the file
    for distance in (1, 2, 8, 64):
        assert after(flags, distance) == pytest.approx(case[f"p_masked_at_plus_{distance}_given_masked"], abs=0.015)
    every = read_golden(FOLDER / "mask_position_probability.safetensors")[0][name].numpy()
    error = np.sqrt(every * (1 - every) * (1 / n + 1 / case["draws"]))
    assert (np.abs(flags.mean(axis=0) - every) <= 5 * error + 1e-9).all()


def test_chunk_edges_are_equally_likely_and_the_last_token_is_never_masked():
    edges = np.bincount([int(RandomKey(0, 0, i).of("mask").integers(3, 6)) for i in range(6000)])
    wanted = STATISTICS["chunk_size_distribution_T496_p75"]["counts"]
    assert np.abs(edges[3:] - list(wanted.values())).max() < 5 * np.sqrt(6000 * 2 / 9 * 2)
    flags = drawn(STATISTICS["patch_chunk_T496_p75"], 200)
    assert not flags[:, -1].any()


@pytest.mark.parametrize("prob", [1.45, 0.74, 0.29])
def test_the_two_polarities_of_spans_share_their_drawing(prob):
    sources = [BatchKey(3, 0, (0, 1, 2)).each("mask") for _ in range(2)]
    kept = span_mask([499] * 3, 499, Spans(prob), sources[0], retain=True)
    hidden = span_mask([499] * 3, 499, Spans(prob), sources[1], retain=False)
    assert kept.visible.equal(hidden.hidden)
    assert kept.hidden.equal(hidden.visible)


def test_masked_spans_at_the_published_probability_hide_the_published_share():
    for clips, wanted in ((1, 0.79), (32, 0.72)):
        case = {"mask_type": "mask_spans", "T": 499, "random_mask_prob": 1.45, "batch": clips}
        assert drawn(case, 320).mean() == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("selection", ["static", "uniform", "normal", "poisson"])
@pytest.mark.parametrize("overlap", [True, False])
def test_every_choice_of_span_lengths_gives_whole_masks(selection, overlap):
    spans = Spans(0.6, length=7, selection=selection, other=2.0, overlap=overlap, min_space=1)
    for sources in (*keyed(20, 4), replayed(0, 4)):
        for retain in (True, False):
            mask = span_mask([120, 120, 90, 60], 120, spans, sources, retain=retain)
            assert mask.ids_shuffle.sort(dim=1).values.equal(mask.ids_shuffle.new_tensor(range(120)).expand(4, -1))
            assert 0 < mask.len_keep < 120


def test_separate_spans_keep_their_distance_and_length():
    for i in range(50):
        covered = np.zeros(200, dtype=bool)
        covered[union(200, Spans(0.5, length=10, overlap=False, min_space=3), RandomKey(1, 0, i).of("mask"))] = True
        edges = np.flatnonzero(np.diff(np.concatenate([[0], covered, [0]])))
        starts, ends = edges[::2], edges[1::2]
        assert (ends - starts == 10).all()
        assert (starts[1:] - ends[:-1] >= 3).all()


@pytest.mark.parametrize("retain", [True, False])
def test_spans_lie_in_the_real_part_of_a_padded_clip(retain):
    for sources in keyed(20, 2):
        mask = span_mask([100, 40], 100, Spans(0.5), sources, retain=retain)
        spans = mask.visible if retain else mask.hidden
        assert spans[1].max() < 40


def test_random_masks_of_padded_clips_take_their_share_of_the_real_tokens():
    for sources in keyed(20, 3):
        mask = random_mask(100, 0.75, sources, [100, 40, 3])
        assert mask.len_keep == 25
        assert [(row < size).sum().item() for row, size in zip(mask.visible, (100, 40, 3))] == [25, 10, 1]
        assert mask.ids_shuffle.sort(dim=1).values.equal(mask.ids_shuffle.new_tensor(range(100)).expand(3, -1))


def test_a_clip_gets_the_same_mask_in_any_batch():
    alone = random_mask(100, 0.75, BatchKey(0, 2, (7,)).each("mask"))
    together = random_mask(100, 0.75, BatchKey(0, 2, (3, 7)).each("mask"))
    assert together.ids_shuffle[1:].equal(alone.ids_shuffle)


def test_the_number_of_visible_tokens_is_truncated_in_double_arithmetic():
    assert retained_count(100, 0.8) == 19
    assert retained_count(496, 0.75) == 124
    assert retained_count(3, 0.99) == 1


@pytest.mark.parametrize(("tokens", "prob"), [(3, 0.75), (4, 0.99), (9, 0.9)])
def test_the_smallest_clips_end_with_a_mask(tokens, prob):
    for sources in keyed(10, 1):
        for mask in (
            random_mask(tokens, prob, sources),
            chunk_mask(tokens, prob, 8, sources),
            ssast_patch_mask((1, tokens), prob, sources),
            span_mask([tokens], tokens, Spans(prob), sources, retain=False),
        ):
            assert 0 < mask.len_keep < tokens


def test_spans_that_fit_nowhere_are_refused_with_a_message():
    with pytest.raises(AuricleError, match="no span of about 50 tokens fits a clip of 20 tokens"):
        union(20, Spans(0.5, length=50, overlap=False), RandomKey(0).of("mask"))
