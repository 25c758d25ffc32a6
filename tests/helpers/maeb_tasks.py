"""Small tasks of mteb whose data are made here: tones of three pitches. Importing this module needs mteb."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from datasets import Audio, Dataset, DatasetDict
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.pair_classification import AbsTaskPairClassification
from mteb.abstasks.task_metadata import TaskMetadata

PITCHES = (300.0, 1000.0, 3000.0)
RATES = (8000, 16000, 44100)


def tone(number: int, pitch: int) -> bytes:
    """The bytes of a WAV file: lengths, rates and channels differ from row to row."""
    source, rate = np.random.default_rng(number), RATES[number // 3 % 3]
    times = np.arange(round(rate * (0.3 + 0.1 * (number % 4)))) / rate
    wave = 0.3 * np.sin(2 * np.pi * PITCHES[pitch] * times) + 0.02 * source.normal(size=len(times))
    samples = np.stack([wave, 0.5 * wave], 1) if number % 2 else wave
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def rows(count: int, first: int = 0, **columns: list) -> dict:
    """``count`` rows; the pitches take turns."""
    audio = [{"bytes": tone(first + i, i % 3), "path": f"{first + i}.wav"} for i in range(count)]
    return {"audio": audio, "label": [i % 3 for i in range(count)], **columns}


def described(name: str, kind: str, **changes) -> TaskMetadata:
    values = {"main_score": "accuracy", "modalities": ["audio"], "eval_splits": ["test"], "category": "a2c", **changes}
    return TaskMetadata(
        name=name,
        description="Tones of three pitches.",
        dataset={"path": "made/here", "revision": "1"},
        type=kind,
        eval_langs=["zxx-Zxxx"],
        **values,
    )


class Tones(AbsTaskClassification):
    metadata = described("Tones", "AudioClassification")
    input_column_name = "audio"
    samples_per_label = 2
    n_experiments = 3

    def load_data(self, **options) -> None:
        parts = {"train": rows(12), "test": rows(9, 100)}
        self.dataset = DatasetDict({name: self.audio(values) for name, values in parts.items()})
        self.data_loaded = True

    @staticmethod
    def audio(values: dict) -> Dataset:
        return Dataset.from_dict(values).cast_column("audio", Audio())


class EmptyClip(Tones):
    metadata = described("EmptyClip", "AudioClassification")

    @staticmethod
    def audio(values: dict) -> Dataset:
        file = io.BytesIO()
        soundfile.write(file, np.zeros(0, np.float32), 16000, format="WAV")
        values["audio"][4] = {"bytes": file.getvalue(), "path": "empty.wav"}
        return Tones.audio(values)


class Unreachable(Tones):
    metadata = described("Unreachable", "AudioClassification")

    def load_data(self, **options) -> None:
        raise ConnectionError("no route to the hub")


class TonePairs(AbsTaskPairClassification):
    metadata = described("TonePairs", "AudioPairClassification", main_score="max_ap", category="a2a")
    input1_column_name = "audio1"
    input2_column_name = "audio2"
    label_column_name = "label"

    def load_data(self, **options) -> None:
        first, second = rows(12), rows(12, 50)
        order = [*range(6), 7, 8, 6, 10, 11, 9]  # equal pitches, then other ones
        values = {
            "audio1": first["audio"],
            "audio2": [second["audio"][i] for i in order],
            "label": [int(a % 3 == b % 3) for a, b in zip(range(12), order)],
        }
        audio = Dataset.from_dict(values).cast_column("audio1", Audio()).cast_column("audio2", Audio())
        self.dataset = DatasetDict({"test": audio})
        self.data_loaded = True


class Captions(Tones):
    metadata = described("Captions", "AudioClassification", modalities=["audio", "text"])
