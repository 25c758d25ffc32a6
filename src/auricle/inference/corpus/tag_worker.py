"""A worker that tags recordings, one after the other, and says of which version of its file each answer is."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from auricle.audio.sources import AudioSource
from auricle.core.devices import tune_allocator
from auricle.core.executors.base import Tell, Worker
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.corpus.stamps import Stamp, stamp
from auricle.inference.pipeline import Model
from auricle.inference.tag_results import Failure, FileTags
from auricle.inference.tagger import Tagger

SAMPLED, FREQUENT, MOST_LENGTHS = 64, 8, 3  # recordings that are looked at; of one length; lengths with a graph
TOGETHER = 4  # recordings that are scored together if nearly all have one length
ALIKE, LONGEST = 0.9, 10.0  # the share that has this length, at least, and its seconds, at most
CHANGED = "the file changed while it was read, so its labels are not kept; run the same command again"


@dataclass(frozen=True)
class StampedOutcome:
    """The outcome of a recording, and the stamp that its file had just before it was opened."""

    outcome: FileTags | Failure
    stamp: Stamp


def make_tag_worker(
    model: Model,
    weights: str | None,
    settings: TagSettings,
    events: EventSettings,
    lengths: Mapping[float, int],
    tell: Tell,
) -> Worker[AudioSource, StampedOutcome]:
    """Return a worker with a tagger of its own.

    Args:
        model, weights, settings, events: as of ``Tagger``.
        lengths: of ``frequent_lengths``.
    """
    tune_allocator()
    tagger = Tagger(model, weights=weights, settings=settings, events=events)
    tagger.fix_graphs(lengths)
    return tag_sources(tagger, tell)


def tag_sources(tagger: Tagger, tell: Tell) -> Worker[AudioSource, StampedOutcome]:
    """Return a worker that yields the outcome of each recording. One that changed while it was read is a failure.

    Args:
        tell: called with (recording, seconds of it that are done), every few windows.
    """

    def worker(sources: Iterable[AudioSource]) -> Iterator[StampedOutcome]:
        taken: deque[tuple[AudioSource, Stamp]] = deque()

        def stamped() -> Iterator[AudioSource]:
            for source in sources:  # taken from here just before it is opened
                taken.append((source, stamp(source)))
                yield source

        for outcome in tagger.iterate(stamped(), on_windows=lambda source, seconds: tell((source, seconds))):
            source, before = taken.popleft()
            if isinstance(outcome, FileTags) and stamp(source) != before:
                outcome = Failure(source.name, f"{source.name}: {CHANGED}")
            yield StampedOutcome(outcome, before)

    return worker


def frequent_lengths(sources: Sequence[AudioSource]) -> dict[float, int]:
    """Return the lengths in seconds that many of the first recordings have, by their headers, and how many to score together.

    These are several if nearly all recordings have one length. Otherwise groups would end early, and be filled up.
    """
    found: Counter[float] = Counter()
    for source in sources[:SAMPLED]:
        with suppress(Exception):  # reading it later says why
            found[source.length()] += 1
    alike = ALIKE * found.total()
    return {
        seconds: TOGETHER if count >= alike and seconds <= LONGEST else 1
        for seconds, count in found.most_common(MOST_LENGTHS)
        if count >= FREQUENT
    }


def lost_recording(source: AudioSource, reason: str) -> StampedOutcome:
    """Return the outcome of a recording that could not be worked on."""
    return StampedOutcome(Failure(source.name, f"{source.name}: {reason}"), None)
