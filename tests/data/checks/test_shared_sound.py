"""Groups of copies, and what they mean: leaks between parts, and labels that contradict each other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from auricle.data.checks.cleaned import cleaned
from auricle.data.checks.matches import SharedSound
from auricle.data.checks.measures import NO_FACTS, ClipMeasures
from auricle.data.checks.shared_sound import conflict_findings, copies_of, joined, leak_findings
from auricle.data.manifest.manifest import Clip, Manifest

SOUND = replace(NO_FACTS, peak=0.5, rms=0.1)


def measured(*digests: str) -> list[ClipMeasures]:
    """A usable clip per digest; "!" is one that cannot be read, "" a silent one."""
    return [
        ClipMeasures(
            str(n), "", "unreadable" if digest == "!" else "", rate=8000, channels=1, samples=8000, digest=digest,
            levels=SOUND if digest else NO_FACTS,
        )
        for n, digest in enumerate(digests)
    ]  # fmt: skip


def clips(*rows: dict) -> Manifest:
    return Manifest([Clip(str(n), **{"path": f"{n}.wav"} | row) for n, row in enumerate(rows)])


def near(first: int, second: int, share: float = 1.0) -> SharedSound:
    return SharedSound(first, second, 0.0, share, share, 0.95)


def test_groups_with_a_common_member_are_joined():
    assert joined([(3, 1), (5, 4), (1, 0), (7, 7)]) == [(0, 1, 3), (4, 5)]


def test_identical_and_near_copies_make_one_group_and_parts_do_not():
    copies = copies_of(measured("a", "a", "b", "c", "", ""), [near(0, 2), near(2, 3, share=0.4)])
    assert copies.identical == ((0, 1),)
    assert copies.near == ((0, 2),)
    assert copies.overlaps == ((2, 3),)
    assert copies.groups() == [(0, 1, 2)]


@pytest.mark.parametrize("part", ["split", "fold"])
def test_copies_in_two_parts_leak(part):
    values = ("train", "test", "train") if part == "split" else (1, 2, 1)
    data = clips(*({part: value} for value in values))
    (finding,) = leak_findings(data, copies_of(measured("a", "a", "b"), []))
    assert [clip.id for clip in finding.clips] == ["0", "1"]
    assert finding.clips[1].detail == f"the same sound, {part} {values[1]}"
    assert list(leak_findings(data, copies_of(measured("a", "b", "a"), []))) == []


def test_overlaps_recordings_and_groups_leak_too():
    data = clips({"split": "train"}, {"split": "test"})
    assert list(leak_findings(data, copies_of(measured("a", "b"), [near(0, 1, share=0.3)])))
    data = clips(
        {"path": "night.wav", "split": "train", "end": 5.0}, {"path": "night.wav", "split": "test", "start": 5.0}
    )
    assert "one recording" in next(leak_findings(data, copies_of(measured("a", "b"), []))).summary
    data = clips({"group": "anna", "fold": 1}, {"group": "anna", "fold": 2})
    assert "one group" in next(leak_findings(data, copies_of(measured("a", "b"), []))).summary


def test_clips_without_a_part_or_group_do_not_leak():
    data = clips({"split": "train"}, {}, {"split": "test"})
    assert list(leak_findings(data, copies_of(measured("a", "a", "b"), []))) == []


def test_copies_with_other_labels_contradict_each_other():
    data = clips({"labels": ("frog",)}, {"labels": ("wren",)}, {"labels": ("frog",)}, {"labels": ("frog",)}, {})
    (finding,) = conflict_findings(data, copies_of(measured("a", "a", "b", "b", "b"), []))
    assert [clip.detail for clip in finding.clips] == ["frog", "wren"]


def test_classes_that_were_not_annotated_contradict_nothing():
    data = clips({"labels": ("frog",), "known": ("frog",)}, {"labels": ("wren",), "known": ("wren",)})
    assert list(conflict_findings(data, copies_of(measured("a", "a"), []))) == []
    data = clips({"labels": ("frog",), "known": ("frog", "wren")}, {"labels": ("wren",), "known": ("wren", "frog")})
    assert list(conflict_findings(data, copies_of(measured("a", "a"), [])))


def test_the_cleaned_manifest_keeps_one_labelled_copy_and_no_contradiction():
    data = clips(
        {}, {"labels": ("frog",)}, {"labels": ("frog",)},  # copies
        {"labels": ("frog",)}, {"labels": ("wren",)},  # a contradiction
        {"labels": ("wren",)}, {}, {"labels": ("wren",)},
    )  # fmt: skip
    measures = measured("a", "a", "a", "b", "b", "c", "!", "")
    result = cleaned(data, measures, copies_of(measures, []))
    assert list(result.manifest.ids) == ["1", "5"]
    assert (result.unusable, result.copies, result.conflicting) == (2, 2, 2)
