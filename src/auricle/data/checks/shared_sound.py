"""Find the clips of a manifest that hold the same sound, and what follows: copies, leaks between parts, and conflicts of labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from auricle.core.console import listed, number_of
from auricle.core.io import sha256_of
from auricle.data.checks.clip_faults import is_usable
from auricle.data.checks.findings import Finding, FoundClip
from auricle.data.checks.matches import Candidate, Excerpt, SharedSound, candidates
from auricle.data.checks.measures import ClipMeasures
from auricle.data.manifest.manifest import Clip, Manifest
from auricle.data.stores.base import ClipStore, StoredAudio

SAME = 0.8  # share of the shorter clip that makes two clips copies; with less they overlap


@dataclass(frozen=True)
class Copies:
    """Which clips hold the same sound, by the numbers of the clips.

    Attributes:
        identical: Groups of clips with the same samples.
        near: Groups of clips with the same sound in another form; of identical ones, the first stands for all.
        overlaps: Pairs that share a part of their sound.
        texts: For pairs (lower number first), what they share.
    """

    identical: tuple[tuple[int, ...], ...]
    near: tuple[tuple[int, ...], ...]
    overlaps: tuple[tuple[int, int], ...]
    texts: Mapping[tuple[int, int], str]

    def groups(self) -> list[tuple[int, ...]]:
        """Return the groups of copies, identical or near, each in ascending order."""
        return joined([*self.identical, *self.near])


def candidate_tasks(
    manifest: Manifest, measures: Sequence[ClipMeasures], store: ClipStore[StoredAudio]
) -> list[tuple[Candidate, Excerpt, Excerpt]]:
    """Return what has to be compared: pairs of clips of different recordings that may hold the same sound.

    Args:
        manifest: The clips.
        measures: What was measured of them, in the same order.
        store: Opens them.
    """
    copies = {number for group in identical_groups(measures) for number in group[1:]}
    compared = [n for n, clip in enumerate(measures) if is_usable(clip) and n not in copies]
    clips = manifest.table
    tasks = []
    for found in candidates([measures[n].fingerprint for n in compared]):
        one, other = compared[found.first], compared[found.second]
        if _recording(clips[one]) != _recording(clips[other]):
            pair = Candidate(one, other, found.shift, found.at, found.votes)
            first_clip, second_clip = (_excerpt(store, clips[n], measures[n]) for n in (one, other))
            tasks.append((pair, first_clip, second_clip))
    return tasks


def _excerpt(store: ClipStore[StoredAudio], clip: Clip, measures: ClipMeasures) -> Excerpt:
    start = clip.start or 0.0
    return Excerpt(store.open(clip).file, start, start + measures.seconds)


def _recording(clip: Clip) -> tuple[str | None, ...]:
    return (clip.path,) if clip.path is not None else (clip.store, clip.key)


def identical_groups(measures: Sequence[ClipMeasures]) -> list[tuple[int, ...]]:
    """Return the groups of usable clips with the same samples, by number."""
    digests: dict[str, list[int]] = defaultdict(list)
    for number, clip in enumerate(measures):
        if is_usable(clip):
            digests[clip.digest].append(number)
    return [tuple(numbers) for numbers in digests.values() if len(numbers) > 1]


def copies_of(measures: Sequence[ClipMeasures], shared: Iterable[SharedSound]) -> Copies:
    """Put together which clips hold the same sound, from their samples and from compared pairs."""
    near, overlaps, texts = [], [], {}
    for one in sorted(shared, key=lambda one: (one.first, one.second)):
        pair = (one.first, one.second)
        if one.share >= SAME:
            near.append(pair)
        else:
            overlaps.append(pair)
        moved = f", shifted by {abs(one.shift):.2f} s" if abs(one.shift) >= 0.01 else ""
        texts[pair] = f"{one.seconds:.2f} s in common{moved}, correlation {one.correlation:.2f}"
    return Copies(tuple(identical_groups(measures)), tuple(joined(near)), tuple(overlaps), texts)


def joined(groups: Iterable[Sequence[int]]) -> list[tuple[int, ...]]:
    """Join groups that have a member in common; the result and its groups are in ascending order."""
    parent: dict[int, int] = {}

    def root(member: int) -> int:
        while parent.setdefault(member, member) != member:
            parent[member] = member = parent[parent[member]]
        return member

    for group in groups:
        for member in group[1:]:
            one, other = sorted((root(group[0]), root(member)))
            parent[other] = one
    together: dict[int, list[int]] = defaultdict(list)
    for member in sorted(parent):
        together[root(member)].append(member)
    return sorted(tuple(members) for members in together.values() if len(members) > 1)


# ---- findings


def copy_findings(manifest: Manifest, copies: Copies) -> Iterator[Finding]:
    """Yield the findings about copies."""
    bytewise: list[tuple[int, ...]] = []
    samples: list[tuple[int, ...]] = []
    for group in copies.identical:
        (bytewise if _same_bytes(manifest, group) else samples).append(group)
    yield from _grouped("identical-files", bytewise, manifest, copies)
    yield from _grouped("identical-audio", samples, manifest, copies)
    yield from _grouped("near-duplicates", copies.near, manifest, copies)
    yield from _grouped("overlap", copies.overlaps, manifest, copies)


def _same_bytes(manifest: Manifest, group: Sequence[int]) -> bool:
    """True for whole files with one content; of clips inside recordings and archives, the samples are compared alone."""
    clips = [manifest.table[number] for number in group]
    if any(clip.path is None or clip.start is not None or clip.end is not None for clip in clips):
        return False
    files = [manifest.root / str(clip.path) for clip in clips]
    try:
        return len({file.stat().st_size for file in files}) == 1 and len(set(map(sha256_of, files))) == 1
    except OSError:  # gone since it was measured
        return False


def _grouped(name: str, groups: Sequence[Sequence[int]], manifest: Manifest, copies: Copies) -> Iterator[Finding]:
    if not groups:
        return
    ids, clips, numbers = manifest.ids, [], []
    for place, group in enumerate(groups, start=1):
        for number in group:
            partner = group[1] if number == group[0] else group[0]
            text = copies.texts.get((min(number, partner), max(number, partner)), "")
            clips.append(FoundClip(ids[number], f"as {ids[partner]}" + (f": {text}" if text else "")))
            numbers.append(place)
    what = "pair" if name == "overlap" else "group"
    summary = f"{number_of(len({clip.id for clip in clips}), 'clip')} in {number_of(len(groups), what)}"
    yield Finding(name, summary, tuple(clips), tuple(numbers))


def leak_findings(manifest: Manifest, copies: Copies) -> Iterator[Finding]:
    """Yield a finding where one sound, recording or group is in several splits or folds."""
    recordings = _by_value(manifest, _recording)
    groups = _by_value(manifest, lambda clip: clip.group)
    kinds = (
        ("the same sound", joined([*copies.identical, *copies.near, *copies.overlaps])),
        ("one recording", recordings),
        ("one group", groups),
    )
    table, ids = manifest.table, manifest.ids
    clips: list[FoundClip] = []
    numbers: list[int] = []
    parts: list[str] = []
    for part in ("split", "fold"):
        values = list(table.values(part))
        for what, members in kinds:
            torn = [group for group in members if len({values[n] for n in group} - {None}) > 1]
            for group in torn:
                number = numbers[-1] + 1 if numbers else 1
                clips += [FoundClip(ids[n], f"{what}, {part} {values[n]}") for n in group if values[n] is not None]
                numbers += [number] * (len(clips) - len(numbers))
            if torn:
                parts.append(f"{what} in several {part}s: {number_of(len(torn), 'group')}")
    if clips:
        yield Finding("leak", "; ".join(parts), tuple(clips), tuple(numbers))


def _by_value(manifest: Manifest, value: Callable[[Clip], object]) -> list[tuple[int, ...]]:
    """Groups of clips that have a value in common, other than None."""
    if not {"split", "fold"} & manifest.table.columns.keys():
        return []
    members: dict[object, list[int]] = defaultdict(list)
    for number, clip in enumerate(manifest):
        if (key := value(clip)) not in (None, (None,), (None, None)):
            members[key].append(number)
    return [tuple(numbers) for numbers in members.values() if len(numbers) > 1]


def conflicting_groups(manifest: Manifest, copies: Copies) -> list[tuple[int, ...]]:
    """Return the groups of copies whose labels differ, among the classes that were annotated in both."""
    table = manifest.table
    return [group for group in copies.groups() if _conflict([table[number] for number in group])]


def _conflict(clips: Sequence[Clip]) -> bool:
    labelled = [clip for clip in clips if clip.labels]
    return any(
        {name for name in set(one.labels) ^ set(other.labels) if _both_know(one, other, name)}
        for i, one in enumerate(labelled)
        for other in labelled[i + 1 :]
    )


def _both_know(one: Clip, other: Clip, name: str) -> bool:
    return all(clip.known is None or name in clip.known or name in clip.labels for clip in (one, other))


def conflict_findings(manifest: Manifest, copies: Copies) -> Iterator[Finding]:
    """Yield a finding where copies have different labels."""
    groups = conflicting_groups(manifest, copies)
    if not groups:
        return
    table = manifest.table
    clips = [
        (FoundClip(clip.id, listed(sorted(clip.labels)) or "no label"), place)
        for place, group in enumerate(groups, start=1)
        for clip in (table[number] for number in group)
    ]
    found, numbers = zip(*clips)
    yield Finding(
        "label-conflict", f"{number_of(len(found), 'clip')} in {number_of(len(groups), 'group')}", found, numbers
    )
