"""Clips worth a listen: the most confident mistakes of a detector, and those that it is most doubtful about."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from contextlib import redirect_stderr
from dataclasses import dataclass, replace

import numpy as np

from auricle.core.errors import AuricleError
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.formats import read_manifest
from auricle.data.manifest.manifest import Manifest
from auricle.inference.config import LONG_WINDOW
from auricle.methods.registry import read_settings
from auricle.methods.supervised.clips import WINDOW_MARK, clip_of
from auricle.methods.supervised.config import FinetuneConfig
from auricle.methods.supervised.labelled_clips.read import read_source
from auricle.reports.detector_view import DetectorView
from auricle.reports.drawing.html import play, section, subsection, text
from auricle.reports.drawing.media import PageSounds

SHOWN = 12  # clips of each list: the page stays small
SURE = 1e-4  # from 0 and 1, of scores whose logarithm is taken


@dataclass(frozen=True)
class ShownClip:
    """A clip of a list with what is said of it."""

    id: str
    title: str
    more: str


def detector_clips_section(view: DetectorView, sounds: PageSounds) -> str:
    """Return the section; clips whose recordings are gone have no sound and no picture."""
    mistakes, doubtful = confident_mistakes(view), doubtful_clips(view)
    keys = add_sounds(view, sounds, [clip.id for clip in (*mistakes, *doubtful)])
    wrong = (
        _cards(mistakes, keys) or '<p class="none">None: every class was detected where it holds, and nowhere else.</p>'
    )
    body = subsection(
        "Most confident mistakes",
        wrong,
        "Listen first: a confident mistake is often a wrong label, or a sound that holds two classes.",
    )
    body += subsection(
        "Most doubtful",
        _cards(doubtful, keys),
        "Scores closest to their thresholds: a little more or less, and the answer would be the other one. Labels of clips like "
        "these teach a detector most.",
    )
    return section("clips", "Mistakes and doubts to listen to", body, text(f"Among {view.shown_in_words}."))


def confident_mistakes(view: DetectorView) -> list[ShownClip]:
    """Return false detections and missed sounds, the most confident first; each clip once."""
    scored: list[tuple[float, int, str, str]] = []
    for c in view.space.reported:
        truth, scores, detected, name = view.truth[:, c], view.scores[:, c], view.detected[:, c], view.space.names[c]
        for i in map(int, np.flatnonzero(detected & (truth == 0))):
            scored.append((float(scores[i]), i, f"taken for {name}", f"score {scores[i]:.2f}; {_is(view, i)}"))
        for i in map(int, np.flatnonzero(~detected & (truth == 1))):
            more = f"score {scores[i]:.2f}, threshold {view.thresholds[c]:.2f}"
            scored.append((float(1 - scores[i]), i, f"{name} missed", more))
    return _listed(view, sorted(scored, key=lambda row: (-row[0], row[1])))


def doubtful_clips(view: DetectorView) -> list[ShownClip]:
    """Return the clips whose score lies closest to a threshold, in logits; each clip once."""
    scored: list[tuple[float, int, str, str]] = []
    for c in view.space.reported:
        threshold, scores = max(float(view.thresholds[c]), SURE), view.compared[:, c]
        distances = np.abs(_logit(scores) - _logit(np.array(threshold)))
        for i in map(int, np.flatnonzero((scores > 0) & ~np.isnan(view.truth[:, c]))):
            answer = "detected" if view.detected[i, c] else "not detected"
            more = f"score {scores[i]:.2f}, threshold {threshold:.2f}: {answer}; {_is(view, i)}"
            scored.append((float(distances[i]), i, f"{view.space.names[c]}?", more))
    return _listed(view, sorted(scored, key=lambda row: (row[0], row[1])))


def _listed(view: DetectorView, rows: list[tuple[float, int, str, str]]) -> list[ShownClip]:
    chosen: dict[int, ShownClip] = {}
    for _, i, title, more in rows:
        if i not in chosen:
            chosen[i] = ShownClip(view.shown.ids[i], title, more)
        if len(chosen) == SHOWN:
            break
    return list(chosen.values())


def _is(view: DetectorView, i: int) -> str:
    labels = [view.space.names[c] for c in np.flatnonzero(view.truth[i] == 1)]
    return f"is {', '.join(labels)}" if labels else "is none of the classes"


def _logit(scores: np.ndarray) -> np.ndarray:
    clipped = np.clip(scores.astype(np.float64), SURE, 1 - SURE)
    return np.log(clipped) - np.log1p(-clipped)


def _cards(clips: list[ShownClip], keys: dict[str, str]) -> str:
    cards = [_card(clip, keys.get(clip.id)) for clip in clips]
    return f'<div class="clips small-clips">{"".join(cards)}</div>' if cards else ""


def _card(clip: ShownClip, key: str | None) -> str:
    picture = f'<img alt="spectrogram" data-picture="{text(key)}">' if key else ""
    name = f"<b>{text(clip.title)}</b><span>{text(clip.more)}</span>"
    where = f'<p class="small">{text(clip.id)}</p>'
    return f"<article><header>{play(key, f'play {clip.id}')}{name}</header>{picture}{where}</article>"


# ---- the recordings of clips


def add_sounds(view: DetectorView, sounds: PageSounds, ids: list[str]) -> dict[str, str]:
    """Add the beginning of clips to the page's sounds; return {id: key} of those whose recordings can be read."""
    try:
        config = read_settings(view.run.config, str(view.run.folder.config))
    except (AuricleError, TypeError):
        return {}
    keys: dict[str, str] = {}
    missing = list(dict.fromkeys(ids))
    for read in (listed_clips, learnt_clips):  # the second one reads the lengths of all recordings: only where it must
        if missing and isinstance(config, FinetuneConfig):
            for manifest in _quietly(read, config):
                wanted = {id: clip for id in missing if (clip := _clip(manifest, id, config)) is not None}
                keys |= sounds.add_clips(replace(manifest, clips=tuple(wanted.values())), wanted)
                missing = [id for id in missing if id not in wanted]
    return keys


def listed_clips(config: FinetuneConfig) -> list[Manifest]:
    """Read the tables or folders of the clips, without the notes that the command that trained has shown."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return [
            read_source(config),
            *(read_manifest(source) for source in (config.valid, config.test) if source is not None),
        ]


def learnt_clips(config: FinetuneConfig) -> list[Manifest]:
    """Read the clips as they were learnt: windows of recordings with events, and negatives."""
    from auricle.methods.supervised.labelled_clips.read import read_labelled
    from auricle.training.distributed import dist_context

    fold = None if config.data.fold == "all" else config.data.fold
    with dist_context("cpu", quiet=True) as processes:
        return list(
            read_labelled(replace(config, data=replace(config.data, fold=fold)), processes).parts.present.values()
        )


def _quietly(read: Callable[[FinetuneConfig], list[Manifest]], config: FinetuneConfig) -> list[Manifest]:
    """What ``read`` gives, without the notes that were printed when the detector learnt; [] where the recordings are gone."""
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)
        try:
            return read(config)
        except (AuricleError, OSError):
            return []


def _clip(manifest: Manifest, id: str, config: FinetuneConfig) -> Clip | None:
    """The clip of an id, or the window of a clip; None for one of another table."""
    if id in manifest:
        return manifest[id]
    whole = clip_of(id)
    if whole == id or whole not in manifest:
        return None
    clip, seconds = manifest[whole], config.data.seconds or LONG_WINDOW
    start = (clip.start or 0.0) + int(id.rpartition(WINDOW_MARK)[2]) * seconds
    return replace(clip, id=id, start=start, end=start + seconds)
