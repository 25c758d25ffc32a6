"""Masked clips: waveform, spectrogram, what was hidden, and the error of its prediction."""

from __future__ import annotations

import numpy as np

from auricle.reports.drawing.charts import round_ticks
from auricle.reports.drawing.html import compact, percent, play, section, text
from auricle.reports.drawing.media import CIVIDIS, MAGMA, PageSounds, levels, png, ramp, spectrogram
from auricle.reports.snapshot import Snapshot

SMALLEST = 1e-4  # errors are coloured on a logarithmic scale from here on
BARS = 300  # of the waveform drawing
LEAD = (
    "From top to bottom: the waveform; its log-mel spectrogram (mel bands, low at the bottom); the input of the "
    "encoder, hidden patches blank; and the error of the prediction for each hidden patch, bright where it is large. "
    "The colours are the same for all clips."
)
TITLE = "Masked clips and the error of the prediction"
ABSENT = "This run has no clips to show: there is no preview.safetensors (methods without masking write none)."
REBUILT = " Last, the reconstruction: hidden patches as predicted."


def clips_section(snapshot: Snapshot | None, sounds: PageSounds) -> str:
    """Return the section; the clips' sounds are added to those of the page."""
    if snapshot is None:
        return section("clips", TITLE, f'<p class="none">{ABSENT}</p>')
    lead = LEAD + (REBUILT if snapshot.reconstruction is not None else "")
    low, high = limits(snapshot.error)
    cards = "".join(_card(snapshot, i, sounds, (low, high)) for i in range(len(snapshot.ids)))
    body = f'{_scale(low, high)}<div class="clips">{cards}</div>'
    return section("clips", TITLE, body, text(lead))


def limits(error: np.ndarray) -> tuple[float, float]:
    """Return the 2 and 98 % points of the finite errors, so that one outlier does not take all the colours."""
    finite = error[np.isfinite(error)].clip(SMALLEST)
    return (float(np.quantile(finite, 0.02)), float(np.quantile(finite, 0.98))) if len(finite) else (SMALLEST, 1.0)


def _scale(low: float, high: float) -> str:
    """The colour bar of the errors."""
    stops = ",".join("#{:02x}{:02x}{:02x}".format(*colour) for colour in ramp(CIVIDIS)[::32])
    bar = f'<i style="background:linear-gradient(90deg,{stops})"></i>'
    return f'<p class="scale">error per patch, logarithmic <span>{low:.2g}</span>{bar}<span>{high:.2g}</span></p>'


def _card(snapshot: Snapshot, i: int, sounds: PageSounds, errors: tuple[float, float]) -> str:
    spec, mask, error = snapshot.spec[i], snapshot.mask[i], snapshot.error[i]
    wave = snapshot.audio[i].astype(np.float32) / 32768
    sound = sounds.add(snapshot.ids[i], wave, snapshot.rate, thumbnail=False) if wave.any() else None
    low, high = float(np.quantile(spec, 0.01)), float(np.quantile(spec, 0.995))
    rows, columns = covered(spec, mask)
    hidden = spec[:rows, :columns].copy()
    hidden[enlarged(mask, spec) > 0] = np.nan
    panels = [_picture("spectrogram", spectrogram(spec[:rows, :columns], low, high))]
    panels.append(_picture("input of the encoder", spectrogram(hidden, low, high)))
    panels.append(
        _picture("error", png(levels(np.log(error[::-1].clip(SMALLEST)), *np.log(errors)), CIVIDIS), kind="patches")
    )
    if snapshot.reconstruction is not None:
        panels.append(
            _picture("reconstruction", spectrogram(snapshot.reconstruction[i][:rows, :columns], low, high, MAGMA))
        )
    mean = np.nanmean(error) if np.isfinite(error).any() else None
    summary = f"{percent(mask.mean(), 0)}\u00a0% hidden" + ("" if mean is None else f", mean error {mean:.2f}")
    name = snapshot.ids[i]
    head = f"<header>{play(sound, f'play {name}')}<b>{text(name)}</b><span>{summary}</span></header>"
    axis = _time_axis(columns * snapshot.hop_seconds, float(snapshot.crop_start[i]))
    return f"<article>{head}{_waveform(wave)}{''.join(panels)}{axis}</article>"


def covered(spec: np.ndarray, mask: np.ndarray) -> tuple[int, int]:
    """Return how many rows and columns of (F, T) whole patches cover."""
    return tuple(size // parts * parts for size, parts in zip(spec.shape, mask.shape))  # type: ignore[return-value]


def enlarged(mask: np.ndarray, spec: np.ndarray) -> np.ndarray:
    """Repeat (F', T') of the patch grid to one value per covered bin and frame."""
    return np.kron(mask, np.ones((spec.shape[0] // mask.shape[0], spec.shape[1] // mask.shape[1])))


def _picture(what: str, source: str, kind: str = "") -> str:
    return f'<img class="{kind}" alt="{text(what)}" title="{text(what)}" src="{source}">'


def _waveform(wave: np.ndarray) -> str:
    """The envelope as one path; a straight line for silence."""
    parts = np.array_split(wave, min(BARS, len(wave)))
    peak = max(float(np.abs(wave).max()), 1e-4)
    top = [f"{x} {round(30 - 28 * float(p.max()) / peak, 1)}" for x, p in enumerate(parts)]
    bottom = [f"{x} {round(30 - 28 * float(p.min()) / peak, 1)}" for x, p in enumerate(parts)][::-1]
    box = f'viewBox="0 0 {len(parts) - 1} 60" preserveAspectRatio="none"'
    return f'<svg class="wave" {box} role="img" aria-label="waveform"><path d="M{"L".join(top + bottom)}Z"/></svg>'


def _time_axis(seconds: float, start: float) -> str:
    ticks = [
        f'<i style="left:{100 * t / seconds:.1f}%">{compact(t)}</i>'
        for t in round_ticks(0, seconds, 4)
        if t < 0.97 * seconds
    ]
    return f'<div class="time">{"".join(ticks)}<span>seconds, from {start:.1f} s</span></div>'
