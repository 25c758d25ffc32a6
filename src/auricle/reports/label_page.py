"""A page that asks a person for the labels of clips: one HTML file with sounds and pictures that loads nothing else.

The answers stay in the browser (localStorage) until they are saved as ``labels.csv``, the table that ``auricle finetune`` reads.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from auricle.core.errors import AuricleError
from auricle.detectors.suggestions import RANDOM, Suggestion
from auricle.models.label_space import LabelKind
from auricle.reports.drawing.html import count, script_safe, style, text
from auricle.reports.drawing.media import mp3, spectrogram
from auricle.reports.page import POLICY
from auricle.version import __version__

if TYPE_CHECKING:
    from auricle.models.base import Encoder

MP3_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # of MPEG-1, 2 and 2.5, layer 3
COLUMNS_SHOWN = 600  # of a picture
QUIET = 0.4  # of the range of a picture above its median that is drawn dark
LARGEST = 100_000_000  # bytes of a page; browsers open larger ones slowly
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
    media = [_media(clip, encoder, folder, link) for clip in questions.clips]
    size = sum(len(sound) + len(picture) for sound, picture, _ in media)
    if size > LARGEST:
        raise AuricleError(
            f"the page would hold {count(size / 1e6)} MB of sound and pictures, more than a browser opens well; use --link, a "
            "smaller --top-k, or a shorter --window"
        )
    shared = os.path.commonpath([os.path.dirname(clip.path) for clip in questions.clips]) if questions.clips else ""
    clips = [
        {
            "path": clip.path,
            "name": os.path.relpath(clip.path, shared),
            "start": clip.start,
            "end": clip.end,
            "seconds": seconds,
            "label": clip.label,
            "score": clip.score,
            "reason": _why(clip),
            "sound": sound,
            "picture": picture,
        }
        for clip, (sound, picture, seconds) in zip(questions.clips, media)
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
    return _document(questions, store, link)


def _why(clip: Suggestion) -> str:
    """One sentence about why a clip is asked about."""
    if clip.reason == RANDOM:
        return f"drawn at random, 1 in {1 / (clip.probability or 1.0):.3g}, so that rates stay honest"
    return {"near threshold": "its score is near the threshold", "close classes": "two answers score alike"}[
        clip.reason
    ]


def _media(clip: Suggestion, encoder: Encoder, folder: Path, link: bool) -> tuple[str, str, float]:
    """The sound (data, or a link), the picture (data), and the length in seconds of a clip."""
    from auricle.audio.decode import read

    start, end = clip.start or 0.0, clip.end
    decoded = read(clip.path, start=start, end=end, rate=encoder.info.sample_rate, resampler=encoder.front.resampler)
    seconds = len(decoded.wave) / encoder.info.sample_rate
    picture = _picture(decoded.wave, encoder)
    if link:
        return quote(os.path.relpath(clip.path, folder).replace(os.sep, "/")), picture, seconds
    rate = next((rate for rate in MP3_RATES if rate <= encoder.info.sample_rate), MP3_RATES[-1])
    wave = decoded.wave
    if rate != encoder.info.sample_rate:
        wave = read(clip.path, start=start, end=end, rate=rate).wave
    return "data:audio/mpeg;base64," + base64.b64encode(mp3(wave, rate)).decode(), picture, seconds


def _picture(wave: np.ndarray, encoder: Encoder) -> str:
    """Draw what the network reads of a waveform (S,): its spectrogram, as an image."""
    import torch

    with torch.inference_mode():
        values = encoder.frontend(torch.from_numpy(wave)[None].to(encoder.norm_stats.device)).values[0].cpu().numpy()
    step = -(-values.shape[1] // COLUMNS_SHOWN)
    whole = values[:, : values.shape[1] // step * step]
    values = whole.reshape(len(values), -1, step).mean(2)
    top, middle, low = values.max(), np.median(values), values.min()
    return spectrogram(values, float(max(low, middle - QUIET * (top - middle))), float(top))


def _document(questions: LabelQuestions, store: dict[str, Any], link: bool) -> str:
    here = files(__package__)
    script = here.joinpath("label_page.js").read_text("utf-8")
    body = here.joinpath("label_page.html").read_text("utf-8")
    policy = POLICY.replace("media-src data: blob:", "media-src data: blob: 'self' file:") if link else POLICY
    title = f"{len(questions.clips)} clips to label"
    facts = {"title": text(title), "model": text(questions.model), "version": text(__version__)}
    facts["meaning"] = MEANINGS[questions.kind]
    for name, value in facts.items():
        body = body.replace(f"[{name}]", value)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)} · Auricle</title><style>{style('report.css', 'label_page.css')}</style></head><body>{body}"
        f'<script type="application/json" id="store">{script_safe(json.dumps(store, separators=(",", ":")))}</script>'
        f"<script>{script}</script></body></html>"
    )
