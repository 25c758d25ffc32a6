"""Tiny copies of respiratory and heart sound data in their official layouts."""

from __future__ import annotations

import json
from pathlib import Path

from helpers.sounds import tone, write_sound

RATE = 8000
CYCLES = {  # lines of onset, offset (seconds), crackles, wheezes
    "101_1b1_Al_sc_Meditron": ["0.0362\t0.5791\t0\t0", "0.5791\t1.2450\t1\t0"],
    "102_1b1_Ar_sc_Meditron": ["0.2640\t1.7361\t0\t1", "1.7361\t1.9000\t1\t1"],
    "103_2b2_Ar_mc_LittC2SE": ["0.5\t1.5\t0\t0"],
}
SPLIT = ("train", "test", "train")
EVENTS = {  # start, end (milliseconds), type
    "train_json/40996386_3.3_0_p1_3142": [(0, 400, "Normal"), (400, 900, "Fine Crackle")],
    "train_json/41000000_4.0_0_p1_3150": [(0, 400, "Normal")],
    "test_json/inter_test_json/41023215_0.7_1_p3_3056": [(100, 600, "Wheeze")],
    "test_json/intra_test_json/40996386_3.3_0_p2_3143": [(0, 800, "Wheeze+Crackle"), (800, 900, "Rhonchi")],
}
PATIENTS = range(2530, 2570)


def icbhi(folder: Path) -> None:
    audio = folder / "ICBHI_final_database"
    for i, (name, lines) in enumerate(CYCLES.items()):
        write_sound(audio / f"{name}.wav", tone(2.0, RATE, 300.0, seed=i), RATE)
        (audio / f"{name}.txt").write_text("\n".join(lines) + "\n")
    (folder / "ICBHI_challenge_train_test.txt").write_text(
        "".join(f"{name}\t{part}\n" for name, part in zip(CYCLES, SPLIT))
    )


def sprsound(folder: Path) -> None:
    for place, events in EVENTS.items():
        file = folder / f"{place}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"start": str(start), "end": str(end), "type": kind} for start, end, kind in events]
        file.write_text(json.dumps({"record_annotation": "DAS", "event_annotation": rows}))
        audio = folder / ("train_wav" if place.startswith("train") else "test_wav")
        write_sound(audio / f"{file.stem}.wav", tone(1.0, RATE, 300.0), RATE)


def circor(folder: Path) -> None:
    """40 patients, of whom every second one has a murmur, with one recording of 6 s each."""
    for id in PATIENTS:
        murmur, outcome = "Present" if id % 2 else "Absent", "Abnormal" if (id - PATIENTS.start) % 4 else "Normal"
        lines = [
            f"{id} 1 4000",
            f"AV {id}_AV.hea {id}_AV.wav {id}_AV.tsv",
            f"#Murmur: {murmur}",
            f"#Outcome: {outcome}",
        ]
        write_sound(folder / "training_data" / f"{id}_AV.wav", tone(6.0, RATE, 200.0), RATE)
        (folder / "training_data" / f"{id}.txt").write_text("\n".join(lines))
