"""Tiny copies of published data sets in their official folder layouts, with recordings of a tenth of a second."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from auricle.audio.write import encode_audio
from auricle.data.audioset import audioset_classes
from helpers import medical_sets
from helpers.sounds import tone, write_sound

RATE = 8000
SECONDS = 0.1


@dataclass(frozen=True)
class TinySet:
    """A data set of a few clips.

    Attributes:
        make: writes its folder.
        parts: number of clips of every split or fold.
        recording: file of one recording, to take away; empty where the recordings lie in an archive.
        labels: labels of some clips by id.
        groups: groups of some clips by id.
        needs: package that its reader needs.
    """

    make: Callable[[Path], None]
    parts: dict[str, int]
    recording: str
    labels: dict[str, tuple[str, ...]]
    groups: dict[str, str] = field(default_factory=dict)
    needs: str = ""


def write_recordings(folder: Path, names: Iterable[str]) -> None:
    """Write a tone of another pitch for every name."""
    for number, name in enumerate(names):
        path = folder / name
        wave = tone(SECONDS, RATE, 200.0 + 30 * number, seed=number)
        if path.suffix == ".mp3":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_audio(wave, RATE, ".mp3"))
        else:
            write_sound(path, wave, RATE)


def write_text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


# ---- environmental sounds


def esc50(folder: Path) -> None:
    rows = [(f"{fold}-{100 + fold}-A-{target}.wav", fold, target) for fold in range(1, 6) for target in (10, 2)]
    names = {10: "rain", 2: "cow"}
    write_text(
        folder / "meta/esc50.csv",
        "filename,fold,target,category,esc10,src_file,take",
        *(f"{name},{fold},{target},{names[target]},False,{100 + fold},A" for name, fold, target in rows),
    )
    write_recordings(folder / "audio", [name for name, *_ in rows])


def urbansound8k(folder: Path) -> None:
    rows = [(f"{fold}00-{kind}-0-0.wav", fold, kind) for fold in (1, 2, 10) for kind in (3, 0)]
    names = {3: "dog_bark", 0: "air_conditioner"}
    write_text(
        folder / "metadata/UrbanSound8K.csv",
        "slice_file_name,fsID,start,end,salience,fold,classID,class",
        *(f"{name},{fold}00,12.5,16.5,1,{fold},{kind},{names[kind]}" for name, fold, kind in rows),
    )
    write_recordings(folder / "audio", [f"fold{fold}/{name}" for name, fold, _ in rows])


def fsd50k(folder: Path) -> None:
    truth = folder / "FSD50K.ground_truth"
    write_text(truth / "vocabulary.csv", "0,Bark,/m/05tny_", "1,Dog,/m/0bt9lr", "2,Rain,/m/06mb1")
    write_text(
        truth / "dev.csv",
        "fname,labels,mids,split",
        '1,"Bark,Dog","/m/05tny_,/m/0bt9lr",train',
        "2,Rain,/m/06mb1,train",
        "3,Dog,/m/0bt9lr,val",
    )
    write_text(truth / "eval.csv", "fname,labels,mids", "4,Rain,/m/06mb1", '5,"Bark,Dog","/m/05tny_,/m/0bt9lr"')
    write_recordings(folder / "FSD50K.dev_audio", ["1.wav", "2.wav", "3.wav"])
    write_recordings(folder / "FSD50K.eval_audio", ["4.wav", "5.wav"])


def fsdnoisy18k(folder: Path) -> None:
    meta = folder / "FSDnoisy18k.meta"
    write_text(
        meta / "train.csv",
        "fname,label,aso_id,manually_verified,noisy_small",
        "1.wav,Rain,/m/06mb1,0,1",
        "2.wav,Fart,/m/02_nn,1,0",
    )
    write_text(meta / "test.csv", "fname,label,aso_id", "1.wav,Rain,/m/06mb1")
    write_recordings(folder / "FSDnoisy18k.audio_train", ["1.wav", "2.wav"])
    write_recordings(folder / "FSDnoisy18k.audio_test", ["1.wav"])


def dcase20(folder: Path) -> None:
    names = [f"audio/{scene}-{place}-{device}.wav" for scene, place, device in (
        ("bus", "lyon-1", "a"), ("park", "lyon-2", "s1"), ("bus", "prague-3", "b"), ("tram", "prague-4", "a"),
    )]  # fmt: skip
    rows = [(name, *Path(name).stem.split("-", 1)) for name in names]
    write_text(
        folder / "meta.csv",
        "filename\tscene_label\tidentifier\tsource_label",
        *(f"{name}\t{scene}\t{rest.rpartition('-')[0]}\t{rest.rpartition('-')[2]}" for name, scene, rest in rows),
    )
    lists = folder / "evaluation_setup"
    write_text(lists / "fold1_train.csv", "filename\tscene_label", f"{names[1]}\tpark", f"{names[0]}\tbus")
    write_text(lists / "fold1_evaluate.csv", "filename\tscene_label", f"{names[2]}\tbus")  # the tram is in neither
    write_recordings(folder, names)


# ---- AudioSet

AUDIOSET_LISTS = {  # id: classes (Speech, Music, Rain)
    "balanced_train": {"YkAvorYkUBI": ("/m/09x0r",), "AJXxNMTRvpY": ("/m/09x0r", "/m/04rlf")},
    "unbalanced_train": {"-abcdefghij": ("/m/06mb1",)},
    "eval": {"1WDdbT0xhIR": ("/m/04rlf",), "Xvuv86ALFqt": ("/m/06mb1", "/m/09x0r")},
}


def audioset(folder: Path, suffix: str = ".wav", first: str = "") -> None:
    """Recordings named by id, after ``first``, in folders of the parts, and the segment lists."""
    for part, rows in AUDIOSET_LISTS.items():
        lines = [f'{id}, 0.000, 10.000, "{",".join(mids)}"' for id, mids in rows.items()]
        header = ("# Segments csv", f"# num_ytids={len(rows)}", "# YTID, start_seconds, end_seconds, positive_labels")
        write_text(folder / f"metadata/{part}_segments.csv", *header, *lines)
        write_recordings(folder / f"{part}_segments", [f"{first}{id}{suffix}" for id in rows])


# ---- music


def openmic(folder: Path) -> None:
    write_text(
        folder / "openmic-2018-aggregated-labels.csv",
        "sample_key,instrument,relevance,num_responses",
        "000046_3840,flute,0.9,3",
        "000046_3840,banjo,0.1,3",
        "000135_483840,voice,1.0,3",
        "001000_7,piano,0.6,3",
    )
    write_text(folder / "partitions/split01_train.csv", "000046_3840", "000135_483840", "002000_1")  # not annotated
    write_text(folder / "partitions/split01_test.csv", "001000_7")
    keys = ("000046_3840", "000135_483840", "001000_7")
    write_recordings(folder / "audio", [f"{key[:3]}/{key}.ogg" for key in keys])


def gtzan(folder: Path) -> None:
    stems = ("blues.00029", "rock.00000", "rock.00001", "blues.00000", "blues.00012", "rock.00010", "jazz.00040")
    write_recordings(folder / "genres_original", [f"{stem.partition('.')[0]}/{stem}.wav" for stem in stems])


def nsynth(folder: Path) -> None:
    for split, notes in {
        "train": ("bass_1-022-050", "reed_0-060-100"),
        "valid": ("bass_2-101-127",),
        "test": ("reed_1-009-025",),
    }.items():
        rows = {
            note: {
                "instrument_family_str": note.partition("_")[0],
                "pitch": int(note.split("-")[1]),
                "velocity": int(note[-3:]),
            }
            for note in notes
        }
        write_text(folder / f"nsynth-{split}/examples.json", json.dumps(rows))
        write_recordings(folder / f"nsynth-{split}/audio", [f"{note}.wav" for note in notes])


def surge(folder: Path) -> None:
    names = [f"bank/{tone}/{note}.ogg" for tone in ("brass", "lead", "pad") for note in ("A1", "C4")]
    splits = {"brass": "train", "lead": "valid", "pad": "test"}
    write_text(folder / "surge.csv", "file_name,label,split", *(
        f"{name},{Path(name).stem},{splits[Path(name).parent.name]}" for name in names
    ))  # fmt: skip
    write_recordings(folder, names)


# ---- speech


def speechcommands(folder: Path) -> None:
    names = [f"{word}/{speaker}_nohash_0.wav" for word in ("yes", "no") for speaker in ("0a", "1b", "2c")]
    write_text(folder / "validation_list.txt", names[1], names[4])
    write_text(folder / "testing_list.txt", names[2], names[5])
    write_recordings(folder, [*names, "_background_noise_/pink_noise.wav"])


def cremad(folder: Path) -> None:
    names = [f"{actor}_DFA_{emotion}_XX.wav" for actor in (1001, 1002, 1003) for emotion in ("ANG", "SAD")]
    splits = dict(zip(("1001", "1002", "1003"), ("train", "valid", "test")))
    write_text(
        folder / "cremad.csv", "file_name,label,split", *(f"{name},{name[9:12]},{splits[name[:4]]}" for name in names)
    )
    write_recordings(folder / "AudioWAV", names)


def cremad_gender(folder: Path) -> None:
    cremad(folder)
    write_text(
        folder / "VideoDemographics.csv",
        "ActorID,Age,Sex,Race,Ethnicity",
        *(f"{actor},40,{sex},-,-" for actor, sex in ((1001, "Male"), (1002, "Female"), (1003, "Male"))),
    )


def vocalsound(folder: Path) -> None:
    names = [f"{speaker}_0_{sound}.wav" for speaker in ("f0003", "m0008", "f0010") for sound in ("cough", "sigh")]
    for number, part in enumerate(("tr", "val", "te")):
        rows = [
            {"wav": f"/home/data/audio_16k/{name}", "labels": "/m/01b_21"}
            for name in names[2 * number : 2 * number + 2]
        ]
        write_text(folder / f"datafiles/{part}.json", json.dumps({"data": rows}))
    write_recordings(folder / "audio_16k", names)


def voxforge(folder: Path) -> None:
    names = [
        f"{language}/{user}/wav/{number}.wav"
        for language, user in (
            ("de", "eva-2011-a"),
            ("de", "anonymous-2012-b"),
            ("fr", "luc-2013-c"),
            ("fr", "luc-2014-d"),
        )
        for number in (1, 2)
    ]
    write_recordings(folder, names)


def voxceleb1(folder: Path) -> None:
    names = [f"id1000{speaker}/video{video}/00001.wav" for speaker in (1, 2) for video in (1, 2, 3)]
    write_text(folder / "iden_split.txt", *(f"{name[13]} {name}" for name in names))
    write_recordings(folder / "dev/wav", names[:3])
    write_recordings(folder / "test/wav", names[3:])


def fluent(folder: Path) -> None:
    header = ",path,speakerId,transcription,action,object,location"
    for split, letter in (("train", "a"), ("valid", "b"), ("test", "c")):
        names = [f"wavs/speakers/{letter}/{i}.wav" for i in range(2)]
        rows = [f"{i},{name},{letter},Lights on,activate,lights,none" for i, name in enumerate(names)]
        write_text(folder / f"data/{split}_data.csv", header, *rows)
        write_recordings(folder, names)


def iemocap(folder: Path) -> None:
    for session in range(1, 6):
        names = [f"Ses0{session}F_impro01_{turn}" for turn in ("F000", "M000", "F001")]
        emotions = ("neu", "exc", "xxx")
        turns = [f"[0.5 - 1.5]\t{name}\t{emotion}\t[2.5, 2.5, 2.5]" for name, emotion in zip(names, emotions)]
        write_text(
            folder / f"Session{session}/dialog/EmoEvaluation/Ses0{session}F_impro01.txt", "% [START - END]", *turns
        )
        write_recordings(folder / f"Session{session}/sentences/wav/Ses0{session}F_impro01", [f"{n}.wav" for n in names])


def librispeech(folder: Path) -> None:
    for speaker, name in enumerate(("train-clean-100", "dev-clean", "test-clean"), 1):
        place, ids = folder / f"{name}/{speaker}/7", [f"{speaker}-7-000{i}" for i in range(2)]
        write_text(place / f"{speaker}-7.trans.txt", *(f"{id} GOOD DAY" for id in ids))
        write_recordings(place, [f"{id}.flac" for id in ids])


def part(**counts: int) -> dict[str, int]:
    return counts


THREE = part(train=2, valid=2, test=2)
HEARTS = part(train=52, valid=8, test=10)  # windows, and recordings to test
TINY_SETS = {
    "esc50": TinySet(
        esc50,
        {f"fold {f}": 2 for f in range(1, 6)},
        "audio/2-102-A-10.wav",
        {"1-101-A-2.wav": ("cow",)},
        {"1-101-A-2.wav": "101"},
    ),
    "urbansound8k": TinySet(
        urbansound8k,
        {"fold 1": 2, "fold 2": 2, "fold 10": 2},
        "audio/fold10/1000-0-0-0.wav",
        {"100-3-0-0.wav": ("dog_bark",)},
        {"200-0-0-0.wav": "200"},
    ),
    "fsd50k": TinySet(
        fsd50k, part(train=2, valid=1, test=2), "FSD50K.eval_audio/4.wav", {"1": ("Bark", "Dog"), "4": ("Rain",)}
    ),
    "fsdnoisy18k": TinySet(
        fsdnoisy18k,
        part(train=2, test=1),
        "FSDnoisy18k.audio_train/2.wav",
        {"train/1.wav": ("Rain",), "test/1.wav": ("Rain",)},
    ),
    "dcase20": TinySet(
        dcase20,
        part(train=2, test=1),
        "audio/park-lyon-2-s1.wav",
        {"audio/bus-lyon-1-a.wav": ("bus",)},
        {"audio/bus-lyon-1-a.wav": "lyon-1"},
    ),
    "audioset": TinySet(
        audioset,
        part(train=3, test=2),
        "eval_segments/1WDdbT0xhIR.wav",
        {"AJXxNMTRvpY": ("Speech", "Music"), "-abcdefghij": ("Rain",)},
    ),
    "audioset-balanced": TinySet(
        audioset, part(train=2, test=2), "balanced_train_segments/YkAvorYkUBI.wav", {"AJXxNMTRvpY": ("Speech", "Music")}
    ),
    "openmic": TinySet(openmic, part(train=2, test=1), "audio/000/000046_3840.ogg", {"000046_3840": ("flute",)}),
    "gtzan": TinySet(gtzan, part(train=3, valid=1, test=2), "", {"genres_original/blues/blues.00000.wav": ("blues",)}),
    "nsynth": TinySet(
        nsynth, part(train=2, valid=1, test=1), "nsynth-train/audio/bass_1-022-050.wav", {"reed_1-009-025": ("reed",)}
    ),
    "nsynth-pitch": TinySet(
        nsynth, part(train=2, valid=1, test=1), "nsynth-train/audio/bass_1-022-050.wav", {"reed_1-009-025": ("9",)}
    ),
    "nsynth-velocity": TinySet(
        nsynth, part(train=2, valid=1, test=1), "nsynth-train/audio/bass_1-022-050.wav", {"reed_1-009-025": ("25",)}
    ),
    "surge": TinySet(surge, THREE, "", {"bank/pad/C4.ogg": ("C4",)}, {"bank/pad/C4.ogg": "bank/pad"}),
    "speechcommands": TinySet(
        speechcommands, THREE, "yes/1b_nohash_0.wav", {"no/0a_nohash_0.wav": ("no",)}, {"no/0a_nohash_0.wav": "0a"}
    ),
    "speechcommands-v1": TinySet(speechcommands, THREE, "yes/1b_nohash_0.wav", {"no/0a_nohash_0.wav": ("no",)}),
    "cremad": TinySet(cremad, THREE, "", {"1003_DFA_SAD_XX.wav": ("SAD",)}, {"1003_DFA_SAD_XX.wav": "1003"}),
    "cremad-gender": TinySet(
        cremad_gender, THREE, "", {"1002_DFA_SAD_XX.wav": ("female",)}, {"1002_DFA_SAD_XX.wav": "1002"}
    ),
    "vocalsound": TinySet(
        vocalsound, THREE, "audio_16k/m0008_0_cough.wav", {"f0003_0_sigh.wav": ("sigh",)}, {"f0003_0_sigh.wav": "f0003"}
    ),
    "voxforge": TinySet(
        voxforge,
        {"": 8},
        "",
        {"fr/luc-2014-d/wav/2.wav": ("fr",)},
        {"fr/luc-2014-d/wav/2.wav": "fr/luc", "de/anonymous-2012-b/wav/1.wav": "de/anonymous-2012-b"},
    ),
    "voxceleb1": TinySet(
        voxceleb1, THREE, "test/wav/id10002/video3/00001.wav", {"id10002/video1/00001.wav": ("id10002",)}
    ),
    "fluent-speech-commands": TinySet(
        fluent,
        THREE,
        "wavs/speakers/b/1.wav",
        {"wavs/speakers/a/0.wav": ("action=activate", "object=lights", "location=none")},
        {"wavs/speakers/a/0.wav": "a"},
    ),
    "iemocap": TinySet(
        iemocap,
        {f"fold {i}": 2 for i in range(1, 6)},
        "Session2/sentences/wav/Ses02F_impro01/Ses02F_impro01_M000.wav",
        {"Ses01F_impro01_M000": ("hap",)},
        {"Ses01F_impro01_M000": "Ses01M"},
    ),
    "librispeech": TinySet(librispeech, THREE, "test-clean/3/7/3-7-0001.flac", {"1-7-0000": ("1",)}, {"1-7-0000": "1"}),
    "icbhi": TinySet(
        medical_sets.icbhi,
        part(train=3, test=2),
        "ICBHI_final_database/103_2b2_Ar_mc_LittC2SE.wav",
        {"102_1b1_Ar_sc_Meditron@1.7361-1.9": ("both",)},
        {"102_1b1_Ar_sc_Meditron@1.7361-1.9": "102"},
    ),
    "sprsound": TinySet(
        medical_sets.sprsound,
        part(train=3, test=1, intra_test=2),
        "test_wav/41023215_0.7_1_p3_3056.wav",
        {"test/41023215_0.7_1_p3_3056@100-600": ("Wheeze",)},
        {"test/41023215_0.7_1_p3_3056@100-600": "41023215"},
    ),
    "sprsound-intra": TinySet(
        medical_sets.sprsound,
        part(train=3, test=2, inter_test=1),
        "test_wav/41023215_0.7_1_p3_3056.wav",
        {"test/40996386_3.3_0_p2_3143@800-900": ("Rhonchi",)},
        {"test/40996386_3.3_0_p2_3143@800-900": "40996386"},
    ),
    "circor": TinySet(
        medical_sets.circor, HEARTS, "training_data/2531_AV.wav", {"2531_AV": ("Present",)}, {"2531_AV": "2531"}
    ),
    "circor-2": TinySet(medical_sets.circor, HEARTS, "training_data/2533_AV.wav", {"2533_AV": ("Present",)}),
    "circor-3": TinySet(medical_sets.circor, HEARTS, "training_data/2530_AV.wav", {"2530_AV": ("Absent",)}),
}


def packed(folder: Path, source: Path, parts: dict[str, dict[str, np.ndarray]]) -> None:
    """Write HDF5 files in the published layout with plain h5py: name -> target, the mp3 file of each name from ``source``."""
    import h5py

    folder.mkdir(parents=True, exist_ok=True)
    for file_name, rows in parts.items():
        with h5py.File(folder / file_name, "w") as file:
            contents = [np.frombuffer((source / Path(name).name).read_bytes(), np.uint8) for name in rows]
            audio = file.create_dataset("mp3", (len(rows),), h5py.vlen_dtype(np.dtype("uint8")))
            for row, content in enumerate(contents):
                audio[row] = content
            file["audio_name"] = np.array([name.encode() for name in rows], "S20")
            targets = np.stack(list(rows.values()))
            file["target"] = targets if targets.dtype == np.float32 else np.packbits(targets.astype(np.uint8), axis=1)


def multi_hot(mids: tuple[str, ...]) -> np.ndarray:
    return np.array([float(mid in mids) for mid, _ in audioset_classes()])


def audioset_archives(folder: Path, spelling: str = "segments") -> Path:
    """The three files of AudioSet, packed with plain h5py from mp3 files beside them."""
    source = folder / "mp3 files"
    files = {}
    for part, rows in AUDIOSET_LISTS.items():
        above = "07/" if part == "unbalanced_train" else ""
        names = {f"{above}Y{id}.mp3": multi_hot(mids) for id, mids in rows.items()}
        write_recordings(source, [Path(name).name for name in names])
        files[f"{part}_{spelling}_mp3.hdf"] = names
    packed(folder / "hdf", source, files)
    return folder / "hdf"
