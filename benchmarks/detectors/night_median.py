"""How many windows should the median filter of events span? ``python -m benchmarks.detectors.night_median``

The half hour of ``night`` (fold 4) is scored in windows of 1 and 2 s that overlap by a half, three quarters and seven eighths, and
events are found in the scores with filters of several widths. ``auto`` is what ``EventSettings`` chooses.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import auricle
from auricle.data.manifest.clip_table import Segment
from auricle.inference.config import EventSettings
from auricle.inference.events import find_events
from auricle.inference.head_reader import Scores
from auricle.metrics.events import event_counts, segment_counts
from benchmarks.detectors.clips import Place
from benchmarks.detectors.night import LEFT_OUT, WAYS, Night, night

WINDOWS, SHARES, MEDIANS = (1.0, 2.0), (2, 4, 8), (1, 3, 5, 7, 9, 13)
LEARNT = ("labelled hour, best F1", "labelled hour, precision 0.9")
COLUMNS = (
    "| thresholds for | window, hop | median | event F, 1 s | segment F | met of 75 | detected | false alarms an hour |"
)


def row(events: tuple[Segment, ...], truth: Night) -> str:
    """Figures of the events found, as cells of a table."""

    def meets(one: Segment, others: tuple[Segment, ...]) -> bool:
        return any(one.label == o.label and one.onset < o.offset and o.onset < one.offset for o in others)

    alone = sum(not meets(event, truth.events) for event in events)
    met = sum(meets(event, events) for event in truth.events)
    within = event_counts([events], [truth.events], collar=1.0, offset_share=0.5).f()
    seconds = segment_counts([events], [truth.events]).f()
    return f"{within:.3f} | {seconds:.3f} | {met} | {len(events)} | {alone / truth.hours:.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", default="../shared", help="folder with data/esc10 and weights")
    parser.add_argument("--out", default="runs/night-median", help="folder for nights and detectors")
    args = parser.parse_args()
    torch.set_num_threads(1)
    place = Place(Path(args.shared), Path(args.out), Path())
    train, choice = night(place, "train"), night(place, "choice")
    print(COLUMNS + "\n|" + " --- |" * 8)
    for way in LEARNT:
        for window in WINDOWS:
            run = WAYS[way](place, train, window)
            for share in SHARES:
                compare(run, choice, window, window / share, way.split(", ")[1])


def compare(run: Path, choice: Night, window: float, hop: float, goal: str) -> None:
    """Print a row for each width of the filter, on one scoring of the night."""
    tagger = auricle.Tagger(run, window=window, hop=hop)
    reader = tagger.readers[tagger.main]
    scored: list[Scores] = []
    join = reader.join

    def keep(parts: Sequence[Scores]) -> Scores:
        scored.append(join(parts))
        return scored[-1]

    reader.join = keep  # type: ignore[method-assign]
    (found,) = tagger(choice.audio).results
    assert found.windows is not None
    spans = np.array([(w.start, w.end) for w in found.windows])
    lines, auto = reader.event_scores(scored[0]), EventSettings().with_median(window, hop).median
    for median in MEDIANS:
        events = find_events(lines, spans, reader.labels, EventSettings(median=median), reader.event_thresholds)
        named = tuple(Segment(e.start, e.end, e.label) for e in events if e.label != LEFT_OUT)
        name = f"{median} (auto)" if median == auto else str(median)
        print(f"| {goal} | {window:g}, {hop:g} | {name} | {row(named, choice)} |", flush=True)


if __name__ == "__main__":
    main()
