"""Spoken language: Fluent Speech Commands, IEMOCAP and LibriSpeech, the data sets of SUPERB's tasks IC, ER and PR.

Source: [evaluation 6.4](docs/specification/evaluation.md#s6-4).
"""

from __future__ import annotations

import re
from pathlib import Path

from auricle.audio.sources import files_below
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import LayoutError, PublishedDataset, find, rows_of

# ---- Fluent Speech Commands

SLOTS = ("action", "object", "location")


def read_fluent(folder: Path) -> Manifest:
    """Read ``data/train_data.csv``, ``valid_data.csv`` and ``test_data.csv``: three labels a clip, such as action=activate."""
    clips = []
    for split in ("train", "valid", "test"):
        for row in rows_of(find(folder, f"data/{split}_data.csv"), "path", "speakerId", *SLOTS):
            labels = tuple(f"{slot}={row[slot]}" for slot in SLOTS)
            spoken = row.get("transcription") or None
            name = str(row["path"])
            clips.append(Clip(name, name, labels=labels, split=split, group=str(row["speakerId"]), transcript=spoken))
    return Manifest(clips, folder)


FLUENT = PublishedDataset(
    name="fluent-speech-commands",
    title="Fluent Speech Commands",
    url="https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/",
    licence="academic research only; see its page",
    layout="data/ (train_data.csv, valid_data.csv, test_data.csv) and wavs/",
    read=read_fluent,
    expected={"train": 23_132, "valid": 3_118, "test": 3_793},
    multilabel=True,
    note="Every clip has three labels: an action, an object and a location.",
)

# ---- IEMOCAP

EMOTIONS = {"neu": "neu", "hap": "hap", "exc": "hap", "ang": "ang", "sad": "sad"}
TURN = re.compile(r"\[[\d.]+ - [\d.]+\]\t(\S+)\t(\w+)\t")


def read_iemocap(folder: Path) -> Manifest:
    """Read ``Session1`` to ``Session5``: four emotions (excited counts as happy), a fold for every session, speakers as groups."""
    clips = []
    for session in range(1, 6):
        base = find(folder, f"Session{session}")
        texts = sorted(find(base, "dialog/EmoEvaluation").glob("Ses*.txt"))
        for text in texts:
            for name, emotion in TURN.findall(text.read_text(encoding="utf-8", errors="replace")):
                if emotion in EMOTIONS:
                    path = f"Session{session}/sentences/wav/{name.rpartition('_')[0]}/{name}.wav"
                    speaker = f"Ses0{session}{name.rpartition('_')[2][0]}"
                    clips.append(Clip(name, path, labels=(EMOTIONS[emotion],), fold=session, group=speaker))
    if not clips:
        raise LayoutError("Session*/dialog/EmoEvaluation/Ses*.txt hold no turn with an emotion")
    return Manifest(clips, folder)


IEMOCAP = PublishedDataset(
    name="iemocap",
    title="IEMOCAP, four emotions",
    url="https://sail.usc.edu/iemocap/",
    licence="on request; see its page",
    layout="Session1/ to Session5/, each with dialog/EmoEvaluation/*.txt and sentences/wav/",
    read=read_iemocap,
    expected={"fold 1": 1_085, "fold 2": 1_023, "fold 3": 1_151, "fold 4": 1_031, "fold 5": 1_241},
    note="Sessions are the five folds; excited counts as happy, other emotions are left out.",
)

# ---- LibriSpeech

PARTS = {"train-clean-100": "train", "dev-clean": "valid", "test-clean": "test"}


def read_librispeech(folder: Path) -> Manifest:
    """Read ``train-clean-100``, ``dev-clean`` and ``test-clean`` with transcripts; label and group are the speaker."""
    clips = []
    for part, split in PARTS.items():
        base = find(folder, part)
        for text in files_below(base, (".txt",)):
            if not text.endswith(".trans.txt"):
                continue
            place = f"{part}/{text.rpartition('/')[0]}"
            for line in (base / text).read_text(encoding="utf-8").splitlines():
                name, _, spoken = line.partition(" ")
                speaker = name.partition("-")[0]
                if spoken:
                    path = f"{place}/{name}.flac"
                    clips.append(Clip(name, path, labels=(speaker,), split=split, group=speaker, transcript=spoken))
    if not clips:
        raise LayoutError("there is no transcript (SPEAKER/CHAPTER/*.trans.txt)")
    return Manifest(clips, folder, classes=tuple(sorted({clip.labels[0] for clip in clips})))


LIBRISPEECH = PublishedDataset(
    name="librispeech",
    title="LibriSpeech, 100 hours",
    url="https://www.openslr.org/12",
    licence="CC BY 4.0",
    layout="train-clean-100/, dev-clean/ and test-clean/, each with SPEAKER/CHAPTER/*.flac and *.trans.txt",
    read=read_librispeech,
    expected={"train": 28_539, "valid": 2_703, "test": 2_620},
    note="Speakers differ between the parts. Transcripts are words; SUPERB's phones need its lexicon (openslr.org/11).",
)
