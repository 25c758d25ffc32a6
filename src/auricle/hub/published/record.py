"""The record of a published weight: its source, the settings that its file lacks, its published scores, and how to cite it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from auricle.core.options import as_plain
from auricle.data.audioset import audioset_classes, audioset_classes_by_id
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.m2d.config import ViTConfig
from auricle.models.mae_ast.config import MAEASTConfig

BIBTEX = {
    "schmid2023efficient": """@inproceedings{schmid2023efficient,
  title     = {{Efficient Large-Scale Audio Tagging via Transformer-to-CNN Knowledge Distillation}},
  author    = {Florian Schmid and Khaled Koutini and Gerhard Widmer},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  year      = {2023},
  url       = {https://arxiv.org/abs/2211.04772}}""",
    "schmid2024dynamic": """@article{schmid2024dynamic,
  title   = {{Dynamic Convolutional Neural Networks as Efficient Pre-Trained Audio Models}},
  author  = {Florian Schmid and Khaled Koutini and Gerhard Widmer},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  year    = {2024},
  url     = {https://arxiv.org/abs/2310.15648}}""",
    "niizumi2024m2dx": """@article{niizumi2024m2dx,
  title   = {{Masked Modeling Duo: Towards a Universal Audio Pre-training Framework}},
  author  = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  journal = {IEEE/ACM Transactions on Audio, Speech, and Language Processing},
  volume  = {32},
  pages   = {2391--2406},
  year    = {2024},
  doi     = {10.1109/TASLP.2024.3389636}}""",
    "niizumi2023m2d": """@inproceedings{niizumi2023m2d,
  title     = {{Masked Modeling Duo: Learning Representations by Encouraging Both Networks to Model the Input}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  booktitle = {IEEE International Conference on Acoustics, Speech and Signal Processing (ICASSP)},
  year      = {2023},
  doi       = {10.1109/ICASSP49357.2023.10097236}}""",
    "niizumi2023m2d4speech": """@inproceedings{niizumi2023m2d4speech,
  title     = {{Masked Modeling Duo for Speech: Specializing General-Purpose Audio Representation to Speech
               using Denoising Distillation}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  booktitle = {Proc. INTERSPEECH},
  pages     = {1294--1298},
  year      = {2023},
  doi       = {10.21437/Interspeech.2023-221}}""",
    "niizumi2024m2dclap": """@inproceedings{niizumi2024m2dclap,
  title     = {{M2D-CLAP: Masked Modeling Duo Meets CLAP for Learning General-purpose Audio-Language Representation}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Masahiro Yasuda and
               Shunsuke Tsubaki and Keisuke Imoto},
  booktitle = {Proc. INTERSPEECH},
  year      = {2024},
  url       = {https://arxiv.org/abs/2406.02032}}""",
    "niizumi2024embc": """@inproceedings{niizumi2024embc,
  title     = {{Exploring Pre-trained General-purpose Audio Representations for Heart Murmur Detection}},
  author    = {Daisuke Niizumi and Daiki Takeuchi and Yasunori Ohishi and Noboru Harada and Kunio Kashino},
  booktitle = {IEEE EMBC},
  year      = {2024},
  url       = {https://arxiv.org/abs/2404.17107}}""",
    "baade2022maeast": """@inproceedings{baade2022maeast,
  title     = {{MAE-AST: Masked Autoencoding Audio Spectrogram Transformer}},
  author    = {Alan Baade and Puyuan Peng and David Harwath},
  booktitle = {Proc. INTERSPEECH},
  year      = {2022},
  url       = {https://arxiv.org/abs/2203.16691}}""",
}


def bibtex(papers: tuple[str, ...]) -> str:
    """Return the entries of these papers; "" for none."""
    return "\n\n".join(BIBTEX[key] for key in papers)


Config = MNConfig | DyMNConfig | ViTConfig | MAEASTConfig
Classes = tuple[tuple[str, str], ...]
CLASS_LISTS: dict[str, Callable[[], Classes]] = {
    "audioset": audioset_classes,
    "audioset-by-id": audioset_classes_by_id,
}


@dataclass(frozen=True)
class PublishedRecord:
    """A row of the table of published weights.

    Attributes:
        config: the network; None for an encoder without weights.
        urls: mirrors of the file or archive, in the order they are tried; empty: nothing to download.
        folder: folder of the weight file in the archive; "" if it is not in an archive.
        file: name of the weight file; "" if the name inside the archive is unknown.
        class_list: "audioset" or "audioset-by-id": the classes in the order of the logits; "" if the outputs are not
            sound classes.
        parameters: number of trained parameters of the encoder.
        release: tag of the release.
        statistics: mean and standard deviation that normalise the input, as far as known.
        score: mean average precision on the AudioSet evaluation set, as published.
        scores: published scores after fine-tuning, by task.
        aliases: other names of the record.
        use: recommended use, according to the authors.
        further: True if pre-training can continue from it; None: does not apply.
        note: a remark for users; ``auricle models show`` and ``auricle models get`` print it.
        papers: keys of ``hub.published.citations``.
    """

    name: str
    family: str
    summary: str
    config: Config | None = None
    urls: tuple[str, ...] = ()
    folder: str = ""
    file: str = ""
    size: int | None = None
    sha256: str = ""
    class_list: str = ""
    label_type: Literal["multilabel", "multiclass"] | None = None
    parameters: int | None = None
    front_end: str = ""
    release: str = ""
    statistics: str = ""
    score: float | None = None
    scores: tuple[tuple[str, float], ...] = ()
    aliases: tuple[str, ...] = ()
    licence: str = "not stated"
    source: str = ""
    use: str = ""
    further: bool | None = None
    note: str = ""
    papers: tuple[str, ...] = ()

    @property
    def classes(self) -> Classes | None:
        """(id, name) of the classes in the order of the logits; None if there are none."""
        return CLASS_LISTS[self.class_list]() if self.class_list else None

    @property
    def architecture(self) -> dict[str, Any]:
        """What ``models.registry.build`` needs to build the network; M2D's published classifiers use the mean patch token."""
        architecture: dict[str, Any] = {"family": self.family, "config": as_plain(self.config)}
        if self.family == "m2d" and self.classes:
            architecture["head"] = {"num_classes": len(self.classes), "pools": "tokens"}
        return architecture

    def row(self) -> dict[str, Any]:
        """Return all fields as JSON values; of the classes, their number."""
        values = {name: as_plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "class_list"}
        return values | {"classes": len(self.classes or ()), "class_order": self.class_list}


class Table(tuple[PublishedRecord, ...]):
    """A tuple of records that prints as a table."""

    COLUMNS = ("name", "family", "mAP", "parameters", "licence", "summary")

    def cells(self) -> list[tuple[str, ...]]:
        """Return the rows of the table as text, one cell per column."""
        return [_cells(record) for record in self]

    def __str__(self) -> str:
        rows = [self.COLUMNS, *self.cells()]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.COLUMNS))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip() for row in rows)

    __repr__ = __str__

    def markdown(self) -> str:
        """Return the table in Markdown."""
        rule = tuple("---" for _ in self.COLUMNS)
        return "\n".join(_line(row) for row in (self.COLUMNS, rule, *self.cells()))


def _cells(record: PublishedRecord) -> tuple[str, ...]:
    score = "" if record.score is None else f"{record.score:.3f}"
    count = "" if record.parameters is None else f"{record.parameters / 1e6:.2f} M"
    return record.name, record.family, score, count, record.licence, record.summary


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
