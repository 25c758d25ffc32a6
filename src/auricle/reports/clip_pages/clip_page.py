"""What the pages of clips share: sounds and pictures of spans of recordings, and the document around them.

A page is one HTML file that loads nothing else. Its script is ``clip_page.js`` (what is kept in the browser, sound, places, keys)
followed by its own.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from auricle.core.errors import AuricleError
from auricle.reports.drawing.html import count, script_safe, style, text
from auricle.reports.drawing.media import log_spectrogram, mp3, spectrogram
from auricle.reports.page import POLICY
from auricle.version import __version__

if TYPE_CHECKING:
    from auricle.frontends.base import FrontEnd

MP3_RATES = (48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000)  # of MPEG-1, 2 and 2.5, layer 3
COLUMNS_SHOWN = 600  # of a picture
ROWS_SHOWN = 160  # of a picture without an encoder
QUIET = 0.4  # of the range of a picture above its median that is drawn dark
SHARED = ("clip_sound", "clip_navigation")  # parts of the pages that show one clip at a time
LARGEST = 100_000_000  # bytes of a page; browsers open larger ones slowly


@dataclass(frozen=True)
class ClipMedia:
    """Sound and picture of a clip.

    Attributes:
        sound: a data URI (MP3), or a link to the recording.
        picture: its spectrogram, as a data URI.
        seconds: its length.
    """

    sound: str
    picture: str
    seconds: float


def clip_media(
    path: str | Path,
    start: float | None,
    end: float | None,
    folder: Path,
    *,
    link: bool = False,
    front: FrontEnd | None = None,
) -> ClipMedia:
    """Read a span of a recording for a page.

    Args:
        path: the recording.
        start, end: seconds of the span; None: from its beginning, to its end.
        folder: where the page will stand.
        link: the sound is a link to the recording, relative to ``folder``, in place of data.
        front: draws the picture: what the model reads; None: a spectrogram with linear bands up to half the recording's rate.

    Returns:
        ClipMedia.

    Raises:
        AudioError: the recording cannot be read.
    """
    from auricle.audio.decode import read

    first = start or 0.0
    if front is None:
        decoded = read(path, start=first, end=end)
        picture = log_spectrogram(decoded.wave, decoded.rate, (ROWS_SHOWN, COLUMNS_SHOWN))
    else:
        decoded = read(path, start=first, end=end, rate=front.sample_rate, resampler=front.resampler)
        picture = _what_it_reads(decoded.wave, front)
    seconds = len(decoded.wave) / decoded.rate
    if link:
        return ClipMedia(quote(os.path.relpath(path, folder).replace(os.sep, "/")), picture, seconds)
    rate = next((rate for rate in MP3_RATES if rate <= decoded.rate), MP3_RATES[-1])
    wave = decoded.wave if rate == decoded.rate else read(path, start=first, end=end, rate=rate).wave
    return ClipMedia("data:audio/mpeg;base64," + base64.b64encode(mp3(wave, rate)).decode(), picture, seconds)


def _what_it_reads(wave: np.ndarray, front: FrontEnd) -> str:
    """Draw what a network reads of a waveform (S,): its spectrogram, as an image."""
    import torch

    padded = np.pad(wave, (0, max(0, front.min_samples - len(wave))))
    with torch.inference_mode():
        values = front(torch.from_numpy(padded)[None])[0].numpy()
    step = -(-values.shape[1] // COLUMNS_SHOWN)
    whole = values[:, : values.shape[1] // step * step]
    values = whole.reshape(len(values), -1, step).mean(2)
    top, middle, low = values.max(), np.median(values), values.min()
    return spectrogram(values, float(max(low, middle - QUIET * (top - middle))), float(top))


def check_size(media: Sequence[ClipMedia], advice: str) -> None:
    """Raise AuricleError if a page with these clips would be too large for a browser; ``advice`` says what to do."""
    size = sum(len(clip.sound) + len(clip.picture) for clip in media)
    if size > LARGEST:
        raise AuricleError(
            f"the page would hold {count(size / 1e6)} MB of sound and pictures, more than a browser opens well; {advice}"
        )


def clip_document(title: str, page: str, facts: Mapping[str, str], store: Mapping[str, Any], *, link: bool) -> str:
    """Return the document of a page of clips.

    Args:
        title: of the page.
        page: name of its files: "label_page" for ``label_page.html`` and ``label_page.js``; ``.css`` where it has its own.
        facts: HTML for the places ``[name]`` in its body; ``title`` and ``version`` are given.
        store: what the script reads, as JSON values.
        link: the page plays recordings beside it.
    """
    here = files(__package__)
    body = here.joinpath(f"{page}.html").read_text("utf-8")
    for name in SHARED:
        body = body.replace(f"[{name}]\n", here.joinpath(f"{name}.html").read_text("utf-8"))
    for name, value in {"title": text(title), "version": text(__version__), **facts}.items():
        body = body.replace(f"[{name}]", value)
    script = "".join(here.joinpath(name).read_text("utf-8") for name in ("clip_page.js", f"{page}.js"))
    own = [f"clip_pages/{page}.css"] if here.joinpath(f"{page}.css").is_file() else []
    policy = POLICY.replace("media-src data: blob:", "media-src data: blob: 'self' file:") if link else POLICY
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(title)} · Auricle</title><style>{style('report.css', 'clip_pages/clip_page.css', *own)}</style></head>"
        f"<body>{body}"
        f'<script type="application/json" id="store">{script_safe(json.dumps(store, separators=(",", ":")))}</script>'
        f"<script>{script}</script></body></html>"
    )
