"""A worker that tags recordings, one after the other, and says of which version of its file each answer is."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from auricle.audio.sources import AudioSource
from auricle.core.executors.base import Tell, Worker
from auricle.inference.config import EventSettings, TagSettings
from auricle.inference.corpus.stamps import Stamp, stamp
from auricle.inference.pipeline import Model
from auricle.inference.tag_results import Failure, FileTags
from auricle.inference.tagger import Tagger

CHANGED = "the file changed while it was read, so its labels are not kept; run the same command again"


@dataclass(frozen=True)
class StampedOutcome:
    """The outcome of a recording, and the stamp that its file had just before it was opened."""

    outcome: FileTags | Failure
    stamp: Stamp


def make_tag_worker(
    model: Model, weights: str | None, settings: TagSettings, events: EventSettings, tell: Tell
) -> Worker[AudioSource, StampedOutcome]:
    """Return a worker with a tagger of its own; arguments as of ``Tagger``."""
    return tag_sources(Tagger(model, weights=weights, settings=settings, events=events), tell)


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


def lost_recording(source: AudioSource, reason: str) -> StampedOutcome:
    """Return the outcome of a recording that could not be worked on."""
    return StampedOutcome(Failure(source.name, f"{source.name}: {reason}"), None)
