"""A page that asks a person for the labels of clips: one HTML file with sounds and pictures that loads nothing else.

The answers stay in the browser (localStorage) until they are saved as ``labels.csv``, the table that ``auricle finetune`` reads.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.console import short_names
from auricle.detectors.suggestions import RANDOM, Suggestion
from auricle.models.label_space import LabelKind
from auricle.reports.clip_pages.clip_page import check_size, clip_document, clip_media
from auricle.reports.drawing.html import text

if TYPE_CHECKING:
    from auricle.models.base import Encoder

KEYS = 9  # classes with a number key
MEANINGS = {
    "multilabel": "a yes or no is known of that one class, a choice of classes of all of them",
    "multiclass": "each clip has one class, or none of these",
}


@dataclass(frozen=True)
class LabelQuestions:
    """What a page asks.

    Attributes:
        model: name of the model that is unsure.
        kind: "multiclass": one answer a clip; "multilabel": any number of classes.
        classes: the classes to choose from.
        none: label of a clip of no class, where classes exclude each other.
        clips: the clips.
        command: what to do with the answers.
    """

    model: str
    kind: LabelKind
    classes: tuple[str, ...]
    none: str
    clips: Sequence[Suggestion]
    command: str = ""

    def key_classes(self) -> list[str]:
        """Return the classes with a button and a key: all of up to nine, else the nine that are asked about most."""
        if len(self.classes) <= KEYS:
            return list(self.classes)
        return [name for name, _ in Counter(clip.label for clip in self.clips).most_common(KEYS)]


def label_page(questions: LabelQuestions, encoder: Encoder, folder: Path, *, link: bool = False) -> str:
    """Return the document.

    Args:
        questions: what is asked.
        encoder: its front end draws the pictures.
        folder: where the page will stand.
        link: sounds are links to the recordings, relative to ``folder``, in place of data.

    Raises:
        AuricleError: the page would be too large for a browser.
    """
    media = [
        clip_media(clip.path, clip.start, clip.end, folder, link=link, front=encoder.front) for clip in questions.clips
    ]
    check_size(media, "use --link, a smaller --top-k, or a shorter --window")
    names = short_names([clip.path for clip in questions.clips])
    clips = [
        {
            "path": clip.path,
            "name": name,
            "start": clip.start,
            "end": clip.end,
            "seconds": its.seconds,
            "label": clip.label,
            "score": clip.score,
            "reason": _why(clip),
            "sound": its.sound,
            "picture": its.picture,
        }
        for clip, name, its in zip(questions.clips, names, media)
    ]
    spans = json.dumps([(clip.path, clip.start, clip.end) for clip in questions.clips])
    store = {
        "key": hashlib.sha256(f"{questions.model} {spans}".encode()).hexdigest()[:16],
        "model": questions.model,
        "kind": questions.kind,
        "classes": questions.key_classes(),
        "names": list(questions.classes),
        "command": questions.command,
        "none": questions.none,
        "link": link,
        "clips": clips,
    }
    facts = {"model": text(questions.model), "meaning": MEANINGS[questions.kind]}
    return clip_document(f"{len(clips)} clips to label", "label_page", facts, store, link=link)


def _why(clip: Suggestion) -> str:
    """One sentence about why a clip is asked about."""
    if clip.reason == RANDOM:
        return f"drawn at random, 1 in {1 / (clip.probability or 1.0):.3g}, so that rates stay honest"
    return {"near threshold": "its score is near the threshold", "close classes": "two answers score alike"}[
        clip.reason
    ]
