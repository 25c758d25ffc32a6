"""The page of ``auricle check``: what was found in recordings and labels, with the worst clips to look at and to play."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from auricle.audio.decode import read
from auricle.core.console import audio_length, number_of
from auricle.core.errors import AuricleError
from auricle.core.io import dumps
from auricle.data.checks.findings import SEVERITIES, Finding, FoundClip
from auricle.data.checks.measures import ClipMeasures
from auricle.data.checks.report import CheckReport
from auricle.data.manifest.manifest import Manifest
from auricle.reports.drawing.html import count, details, play, section, subsection, table, text
from auricle.reports.drawing.media import SECONDS, PageSounds, log_spectrogram
from auricle.reports.page import document

LISTED = 50  # clips of a finding in its table
SHOWN = 4  # of them with a spectrogram
PICTURE = (96, 240)  # rows, columns
UNHEARD = (
    "unreadable",
    "empty",
    "truncated",
    "silent",
    "unlabelled",
    "missing-in-training",
    "mixed-rates",
    "mixed-channels",
)
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # hertz, of MP3
HEADINGS = {"error": "Errors", "warning": "Warnings", "note": "Notes"}
LEADS = {
    "error": "Clips that cannot be used, and what makes scores wrong.",
    "warning": "What makes learning worse.",
    "note": "Good to know. Often it is as it should be.",
}
BARS = 12  # of the distribution of lengths


def check_page(report: CheckReport, manifest: Manifest, measures: Sequence[ClipMeasures]) -> str:
    """Return the whole document.

    Args:
        report: What was found.
        manifest: The clips.
        measures: What was measured of them.
    """
    sounds = PageSounds()
    parts = [_header(report), section("overview", "Overview", _overview(report.findings))]
    for severity in SEVERITIES:
        found = [finding for finding in report.findings if finding.severity == severity]
        body = "".join(_finding(finding, manifest, sounds) for finding in found)
        parts.append(section(severity, HEADINGS[severity], body, text(LEADS[severity])))
    parts.append(section("classes", "Classes", _classes(report.classes)))
    parts.append(section("sound", "Lengths and formats", _distributions(measures)))
    return document("check", "".join(parts), dumps({"sounds": sounds.data, "pictures": {}}, separators=(",", ":")))


def _header(report: CheckReport) -> str:
    number = {severity: sum(f.severity == severity for f in report.findings) for severity in SEVERITIES}
    words = [report.summary + "."]
    if report.left_out is not None:
        left_out = ", ".join(f"{count(n)} {why}" for why, n in report.left_out.items() if n) or "nothing"
        words.append(f"The cleaned manifest is {report.cleaned}; left out: {left_out}.")
    tiles = (
        ("clips", count(report.clips), f"{count(report.usable)} usable"),
        ("sound", text(audio_length(report.seconds)), ""),
        *((HEADINGS[severity].lower(), str(number[severity]), "kinds") for severity in SEVERITIES),
    )
    boxes = "".join(f"<div><dt>{name}</dt><dd>{value}<small>{more}</small></dd></div>" for name, value, more in tiles)
    items = "".join(f"<li>{text(note)}</li>" for note in report.notes)
    notes = f'<ul class="warnings">{items}</ul>' if items else ""
    summary = "".join(f"<p>{text(sentence)}</p>" for sentence in words)
    return (
        '<header class="top"><p class="kicker">check · Auricle report</p><h1>Recordings and labels</h1>'
        f'<div class="learnt">{summary}</div>{notes}<dl class="tiles">{boxes}</dl></header>'
    )


def _overview(findings: Sequence[Finding]) -> str:
    if not findings:
        return '<p class="none">Nothing was found.</p>'
    rows = [
        [text(f.severity), f'<a href="#{f.name}">{text(f.name)}</a>', text(f.title), text(f.summary), text(f.advice)]
        for f in findings
    ]
    return table(("", "finding", "what it is", "how much", "what to do"), rows)


def _finding(finding: Finding, manifest: Manifest, sounds: PageSounds) -> str:
    """A part of the page: the worst clips with their spectrograms, and a table of them."""
    lead = f"{finding.summary}. What to do: {finding.advice}."
    body = f'<div id="{finding.name}">{_cards(finding, manifest, sounds)}{_listing(finding)}</div>'
    return subsection(f"{finding.name}: {finding.title}", body, text(lead))


def _cards(finding: Finding, manifest: Manifest, sounds: PageSounds) -> str:
    if finding.name in UNHEARD:
        return ""
    cards = [_card(clip, manifest, sounds) for clip in finding.clips[:SHOWN]]
    return f'<div class="clips small-clips">{"".join(cards)}</div>' if any(cards) else ""


def _card(clip: FoundClip, manifest: Manifest, sounds: PageSounds) -> str:
    beginning = _beginning(manifest, clip.id)
    if beginning is None:
        return ""
    wave, rate = beginning
    key = sounds.add(clip.id, wave, rate, thumbnail=False)
    picture = log_spectrogram(wave, rate, PICTURE)
    sounds.spent += len(picture)
    header = f"<header>{play(key, f'play {clip.id}')}<b>{text(clip.id)}</b><span>{text(clip.detail)}</span></header>"
    caption = f'<p class="small">0 to {rate / 2000:g} kHz, the first {len(wave) / rate:.3g} s</p>'
    return f'<article>{header}<img alt="spectrogram" src="{picture}">{caption}</article>'


def _beginning(manifest: Manifest, id: str) -> tuple[np.ndarray, int] | None:
    """The first seconds of a clip at its own rate, or at the next one that MP3 has; None where it cannot be read."""
    clip = manifest[id]
    if clip.path is None:
        return None
    start = clip.start or 0.0
    end = start + SECONDS if clip.end is None else min(clip.end, start + SECONDS)
    try:
        part = read(manifest.root / clip.path, start=start, end=end)
        rate = next((rate for rate in RATES if rate >= part.rate), RATES[-1])
        if rate != part.rate:
            part = read(manifest.root / clip.path, start=start, end=end, rate=rate)
    except AuricleError:
        return None
    return part.wave, rate


def _listing(finding: Finding) -> str:
    if not finding.clips:
        return ""
    groups = finding.groups or ("",) * len(finding.clips)
    rows = [[str(group), text(clip.id), text(clip.detail)] for group, clip in zip(groups, finding.clips)]
    more = len(rows) - LISTED
    end = f'<p class="small">and {more:,} more, in findings.csv</p>' if more > 0 else ""
    shown = table(("group" if finding.groups else "", "clip", ""), rows[:LISTED]) + end
    return details(number_of(len(rows), "row"), shown)


def _classes(counts: dict[str, int]) -> str:
    largest = max(counts.values(), default=0)
    if not largest:
        return ""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [[text(name), count(number), _bar(number / largest)] for name, number in ordered]
    return table(("class", "clips", ""), rows, numeric=(1,))


def _bar(share: float) -> str:
    """A bar of a table, of a share of the longest one."""
    return (
        '<svg class="bar" viewBox="0 0 200 10" width="200" height="10" role="img" aria-hidden="true">'
        f'<rect width="{200 * share:.1f}" height="10" fill="currentColor" opacity=".6"/></svg>'
    )


def _distributions(measures: Sequence[ClipMeasures]) -> str:
    """Lengths in bars, and counts of rates, channels and formats."""
    clips = [clip for clip in measures if not clip.fault]
    if not clips:
        return ""
    seconds = np.array([clip.seconds for clip in clips])
    low, high = float(seconds.min()), float(seconds.max())
    edges = (
        np.geomspace(max(low, 1e-3), max(high, 1e-3) * 1.0001, BARS + 1) if high > 1.01 * low else np.array([low, high])
    )
    numbers = np.histogram(seconds, edges)[0] if len(edges) > 2 else np.array([len(seconds)])
    rows = [
        [f"{first:.3g} to {last:.3g} s", count(int(number)), _bar(number / numbers.max())]
        for first, last, number in zip(edges[:-1], edges[1:], numbers)
    ]
    body = subsection("Length", table(("", "clips", ""), rows, numeric=(1,)))
    for title, values in (
        ("Sample rate", [f"{clip.rate} Hz" for clip in clips]),
        ("Channels", [str(clip.channels) for clip in clips]),
        ("Format", [clip.format for clip in clips]),
    ):
        names, sizes = np.unique(values, return_counts=True)
        order = np.argsort(-sizes, kind="stable")
        shown = [[text(names[i]), count(int(sizes[i])), _bar(sizes[i] / sizes.max())] for i in order]
        body += subsection(title, table(("", "clips", ""), shown, numeric=(1,)))
    return body
