"""The decoder of a file that holds several: joined MP3 or WAV files, the links of a chained Ogg. Each is decoded by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from auricle.audio.decode.base import Decoder, MissingMediaError, TruncatedAudioError, truncated
from auricle.core.errors import AudioError


@dataclass(frozen=True)
class PartFacts:
    """What is remembered of a part while it is closed."""

    first: int
    num_samples: int


class JoinedDecoder:
    """A ``Decoder`` of several files one after the other. One is open at a time.

    Args:
        name: of the file that holds them.
        openers: open the decoder of each part.

    Raises:
        AudioError: if a part cannot be decoded, or differs in its rate or channels.
    """

    def __init__(self, name: str, openers: Sequence[Callable[[], Decoder]]):
        self.name, self.openers = name, openers
        self.facts: list[PartFacts] = []
        self.num_samples = 0
        self.exact, self.slack = True, 0
        self.notes: tuple[str, ...] = ()
        for opener in openers:
            with closing(self._opened(opener)) as part:
                if not self.facts:
                    self.rate, self.channels, self.format = part.rate, part.channels, part.format
                if (part.rate, part.channels) != (self.rate, self.channels):
                    raise AudioError(
                        f"{name}: holds {len(openers)} recordings one after the other, of {self.rate} Hz with "
                        f"{self.channels} channels and of {part.rate} Hz with {part.channels}; expected one of each: "
                        "split the file, or convert it"
                    )
                self.notes += part.notes
                self.facts.append(PartFacts(self.num_samples, part.num_samples))
                self.num_samples += part.num_samples
                self.exact, self.slack = self.exact and part.exact, self.slack + part.slack

    def _opened(self, opener: Callable[[], Decoder]) -> Decoder:
        try:
            return opener()
        except MissingMediaError:
            raise
        except Exception as error:
            if not self.facts:
                raise
            raise AudioError(
                f"{self.name}: truncated or damaged: of {len(self.openers)} recordings one after the other, number "
                f"{len(self.facts) + 1} cannot be decoded ({error})"
            ) from None

    def blocks(self, start: int, stop: int | None) -> Iterator[np.ndarray]:
        for facts, opener in zip(self.facts, self.openers):
            end = facts.first + facts.num_samples
            if end <= start or (stop is not None and facts.first >= stop):
                continue
            last = None if stop is None or stop >= end else stop - facts.first
            at = max(start, facts.first)
            with closing(opener()) as part:
                try:
                    for block in part.blocks(at - facts.first, last):
                        at += len(block)
                        yield block
                except TruncatedAudioError:
                    raise truncated(self, at) from None

    def close(self) -> None:
        """Do nothing: no part is open between two reads."""
