"""Speech: Speech Commands, CREMA-D, VoxForge and VoxCeleb1.

Layouts, counts and splits: [evaluation 1.3](docs/specification/evaluation.md#s1-3).
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.audio.sources import files_below
from auricle.data.manifest.clip_table import Clip
from auricle.data.manifest.manifest import Manifest
from auricle.data.published.base import LayoutError, PublishedDataset, find, rows_of, with_split_table

# ---- Speech Commands

NOISE = "_background_noise_"


def read_speechcommands(folder: Path, words: int) -> Manifest:
    """Read folders of words. Training is what is in neither list; speakers (before ``_nohash_``) are groups."""
    lists = {"valid": "validation_list.txt", "test": "testing_list.txt"}
    splits = {
        name: split
        for split, file in lists.items()
        for name in find(folder, file).read_text(encoding="utf-8-sig").split()
    }
    present = [name for name in files_below(folder, (".wav",)) if not name.startswith(f"{NOISE}/") and "/" in name]
    names = dict.fromkeys([*present, *splits])
    clips = [
        Clip(
            name,
            name,
            labels=(PurePosixPath(name).parent.name,),
            split=splits.get(name, "train"),
            group=PurePosixPath(name).name.partition("_nohash_")[0],
        )
        for name in names
    ]
    classes = {clip.labels[0] for clip in clips}
    other = "speechcommands-v1" if words == 35 else "speechcommands"
    notes = (f"{len(classes)} words instead of {words}; {other} is the other version",) if len(classes) != words else ()
    return Manifest(clips, folder, notes=notes)


def _speechcommands(name: str, version: str, words: int, expected: dict[str, int], url: str) -> PublishedDataset:
    return PublishedDataset(
        name=name,
        title=f"Speech Commands {version} ({words} words)",
        url=url,
        licence="CC BY 4.0",
        layout="a folder of each word, validation_list.txt and testing_list.txt",
        read=partial(read_speechcommands, words=words),
        expected=expected,
    )


ARCHIVE = "http://download.tensorflow.org/data/speech_commands_v0.0"
SPEECHCOMMANDS = _speechcommands(
    "speechcommands", "V2", 35, {"train": 84_843, "valid": 9_981, "test": 11_005}, f"{ARCHIVE}2.tar.gz"
)
SPEECHCOMMANDS_V1 = _speechcommands(
    "speechcommands-v1", "V1", 30, {"train": 51_088, "valid": 6_798, "test": 6_835}, f"{ARCHIVE}1.tar.gz"
)

# ---- CREMA-D


def read_cremad(folder: Path) -> Manifest:
    """Read ``AudioWAV``: 1001_DFA_ANG_XX.wav is actor 1001, angry. Actors are groups."""
    audio = find(folder, "AudioWAV")
    names = list(files_below(audio, (".wav",)))
    parts = {name: PurePosixPath(name).stem.split("_") for name in names}
    if wrong := [name for name, words in parts.items() if len(words) != 4]:
        raise LayoutError(f"AudioWAV/{wrong[0]} is not named ACTOR_SENTENCE_EMOTION_LEVEL.wav")
    clips = [Clip(name, f"AudioWAV/{name}", labels=(words[2],), group=words[0]) for name, words in parts.items()]
    chosen, notes = with_split_table(clips, folder, "cremad")
    return Manifest(chosen, folder, notes=notes)


CREMAD = PublishedDataset(
    name="cremad",
    title="CREMA-D",
    url="https://github.com/CheyneyComputerScience/CREMA-D",
    licence="Open Database License",
    layout="AudioWAV/, and for EVAR's split its table cremad.csv",
    read=read_cremad,
    expected={"all": 7_442},
    note="EVAR splits by actor (63, 9 and 19) from a list of its own: put its table cremad.csv into the folder.",
)


def read_cremad_gender(folder: Path) -> Manifest:
    """Read the same recordings with the sex of the actor, from ``VideoDemographics.csv``."""
    emotions = read_cremad(folder)
    table = find(folder, "VideoDemographics.csv")
    sexes = {row["ActorID"]: row["Sex"].lower() for row in rows_of(table, "ActorID", "Sex")}
    unknown = sorted({clip.group or "" for clip in emotions} - sexes.keys())
    if unknown:
        raise LayoutError(f"{table.name} has no row of the actor {unknown[0]}")
    clips = [replace(clip, labels=(sexes[clip.group or ""],)) for clip in emotions]
    return replace(emotions, clips=clips, classes=("female", "male"))


CREMAD_GENDER = replace(
    CREMAD,
    name="cremad-gender",
    title="CREMA-D, sex of the actor",
    layout="AudioWAV/ and VideoDemographics.csv, and for EVAR's split its table cremad.csv",
    read=read_cremad_gender,
)

# ---- VocalSound

VOCALSOUND_AUDIO = ("audio_16k", "audio_44k", "data_44k", "data_16k", "data")
VOCALSOUND_LISTS = {"train": "tr.json", "valid": "val.json", "test": "te.json"}


def read_vocalsound(folder: Path) -> Manifest:
    """Read the lists ``datafiles/tr.json``, ``val.json`` and ``te.json``: f0003_0_cough.wav is speaker f0003, coughing."""
    audio = find(folder, *VOCALSOUND_AUDIO).name
    lists = find(folder, "datafiles", "datafiles_16k", "datafiles_44k")
    clips = []
    for split, name in VOCALSOUND_LISTS.items():
        for wav in _listed_wavs(find(lists, name)):
            words = PurePosixPath(wav).stem.split("_")
            if len(words) < 3:
                raise LayoutError(f"{name} lists {wav}, which is not named SPEAKER_NUMBER_SOUND.wav")
            clips.append(Clip(wav, f"{audio}/{wav}", labels=(words[-1],), split=split, group=words[0]))
    return Manifest(clips, folder)


def _listed_wavs(path: Path) -> list[str]:
    """The file names of a list: {"data": [{"wav": "/…/f0003_0_cough.wav", "labels": …}]}."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["data"]
        return [PurePosixPath(str(row["wav"]).replace("\\", "/")).name for row in rows]
    except (ValueError, KeyError, TypeError):
        raise LayoutError(f'{path} is no list {{"data": [{{"wav": …}}]}}') from None


VOCALSOUND = PublishedDataset(
    name="vocalsound",
    title="VocalSound",
    url="https://github.com/YuanGongND/vocalsound",
    licence="CC BY-SA 4.0",
    layout="audio_16k/ (or data_44k/) and the lists datafiles/tr.json, val.json and te.json",
    read=read_vocalsound,
    expected={"train": 15_570, "valid": 1_860, "test": 3_594},
)

# ---- VoxForge


def read_voxforge(folder: Path) -> Manifest:
    """Read ``LANGUAGE/USER-DATE-ID/wav/*.wav``. The label is the language; users are groups, unnamed ones by their folder."""
    paths = map(PurePosixPath, files_below(folder, AUDIO_SUFFIXES))
    names = [str(path) for path in paths if len(path.parts) == 4 and path.parts[2].lower() in ("wav", "flac")]
    if not names:
        raise LayoutError("there are no recordings in LANGUAGE/USER/wav")
    clips = [Clip(name, name, labels=(PurePosixPath(name).parts[0],), group=_user(name)) for name in names]
    chosen, notes = with_split_table(clips, folder, "voxforge")
    return Manifest(chosen, folder, notes=notes)


def _user(name: str) -> str:
    language, upload, *_ = PurePosixPath(name).parts
    user = upload.partition("-")[0]
    return f"{language}/{upload if user.lower() == 'anonymous' else user}"


VOXFORGE = PublishedDataset(
    name="voxforge",
    title="VoxForge, language",
    url="http://www.voxforge.org",
    licence="GPL 3",
    layout="a folder of each language with a folder of each upload (USER-DATE-ID), and for EVAR's split its table voxforge.csv",
    read=read_voxforge,
    expected={"all": 176_428},
    note="EVAR splits by folder of the user (70, 15 and 15 %) from a list of its own: put its table voxforge.csv into the "
    "folder.",
)

# ---- VoxCeleb1

VOXCELEB_SPLITS = {"1": "train", "2": "valid", "3": "test"}
VOXCELEB_FOLDERS = ("wav", "dev/wav", "test/wav", "vox1_dev_wav/wav", "vox1_test_wav/wav", "")


def read_voxceleb1(folder: Path) -> Manifest:
    """Read ``iden_split.txt``, the split for identification: a number and ``SPEAKER/VIDEO/NUMBER.wav`` a line."""
    table = find(folder, "iden_split.txt")
    lines = [line.split() for line in table.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    if not lines or any(len(words) != 2 or words[0] not in VOXCELEB_SPLITS for words in lines):
        raise LayoutError(f"{table} is no list of a number from 1 to 3 and a file name a line")
    places = _speaker_folders(folder)
    clips = [
        Clip(
            name,
            f"{places.get(name.partition('/')[0], 'wav')}/{name}".lstrip("/"),
            labels=(name.partition("/")[0],),
            split=VOXCELEB_SPLITS[part],
        )
        for part, name in lines
    ]
    return Manifest(clips, folder)


def _speaker_folders(folder: Path) -> dict[str, str]:
    """Return the folder of every speaker's folder, relative to that of the data set: test speakers lie apart."""
    inner = [name for name in VOXCELEB_FOLDERS if (folder / name).is_dir()]
    return {entry.name: name for name in reversed(inner) for entry in (folder / name).iterdir()}


VOXCELEB1 = PublishedDataset(
    name="voxceleb1",
    title="VoxCeleb1, speaker identification",
    url="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    licence="CC BY 4.0 (the lists); the recordings are their authors'",
    layout="iden_split.txt, and the speakers' folders in wav/ (or in dev/wav/ and test/wav/)",
    read=read_voxceleb1,
    expected={"train": 138_361, "valid": 6_904, "test": 8_251},
    note="Every speaker is in all parts: the task is to identify 1,251 known speakers.",
)
