"""The contract of a suite's tasks: what an adapter implements, and what the runner of suites does with it.

A record of a suite becomes a ``SuiteTask``. For a model it gives one ``Work`` per protocol. The runner asks for
``Work.fingerprint`` (cheap: finds the data, reads labels, decodes no audio), looks the key of the work up in the results
store, and calls ``Work.measure`` only where it is not there. No PyTorch here.

Example of an adapter::

    @dataclass(frozen=True)
    class PitchTask(SuiteTask):
        name: str
        folder: Path

        @classmethod
        def read(cls, record, place):
            record.only("folder")
            return cls(record.name, place.path(record["folder"]))

        def works(self, model, data):
            return [PitchWork(self.name, "pitch", "1", self.folder)]

and in ``auricle.evaluation.suites.read``: ``ADAPTERS["pitch"] = "auricle.evaluation.suites.pitch:PitchTask"``; its records say
``adapter: pitch``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import AuricleError
from auricle.inference.config import EncodeSettings

if TYPE_CHECKING:
    from auricle.embeddings.cache import EmbeddingCache
    from auricle.evaluation.evaluation import Evaluation
    from auricle.evaluation.result_rows import Result
    from auricle.models.base import Encoder
    from auricle.models.info import EncoderInfo


class MissingData(AuricleError):
    """The data of a task are not there. The message says where they are expected and where they are published."""


@dataclass(frozen=True)
class SuiteFile:
    """The file that a record stands in.

    Attributes:
        path: The YAML file, for messages.
        root: Folder that relative paths of its records start from.
        shared: Settings that hold for every task of the file: ``seeds``, ``lr``.
    """

    path: Path
    root: Path
    shared: Mapping[str, Any] = field(default_factory=dict)

    def under(self, data: str | None) -> Path:
        """Return the folder that paths start from: the one that the user named, else the file's."""
        return Path(data).expanduser() if data else self.root

    def fault(self, message: str) -> AuricleError:
        """Return the error of a wrong record, with the file's name."""
        return AuricleError(f"{self.path}: {message}")


@dataclass(frozen=True)
class TaskRecord:
    """One entry of a suite's ``tasks``, without ``adapter``.

    Attributes:
        values: The settings as the file has them.
        file: The file.
    """

    values: Mapping[str, Any]
    file: SuiteFile

    def get(self, name: str, kind: type | tuple[type, ...] = str, default: Any = None) -> Any:
        """Return a setting. Raises AuricleError for a value of another type."""
        value = self.values.get(name, default)
        if value is not None and (not isinstance(value, kind) or isinstance(value, bool) != (kind is bool)):
            words = {str: "text", int: "a whole number", bool: "true or false", list: "a list"}
            wanted = words.get(kind, "a number") if isinstance(kind, type) else "a number"
            raise self.file.fault(f"{name} should be {wanted}, found {value!r}")
        if isinstance(value, str) and "\0" in value:
            raise self.file.fault(f"{name} holds a NUL character: {value!r:.200}")
        return value

    def only(self, *known: str) -> None:
        """Raise AuricleError for a setting that is not one of these, with the nearest name."""
        for name in self.values:
            if name not in known:
                raise self.file.fault(f"unknown setting {name}; a task of this adapter has {', '.join(sorted(known))}")


@dataclass(frozen=True)
class WorkContext:
    """What the runner gives every work beside the encoder.

    Attributes:
        encode: Layers, pooling, precision, device and batch size of embeddings.
        statistics: What normalises the encoder's input: "own", "pooled" or "published".
        baselines: Whether the untrained encoder, log-mel statistics and chance are scored beside the model.
        cache: The embedding cache; None: the one in the cache folder.
        place: Absolute path of the run folder or weight file that the encoder is from; "" for others.
        command: The command line.
        quiet: Show no progress.
        data: Folder of the data sets that the user named; None: the places of the suite.
        text: ``MODULE:NAME`` of the text side (``evaluation.text_side``); "" for the encoder's own.
    """

    encode: EncodeSettings = field(default_factory=EncodeSettings)
    statistics: str = "own"
    baselines: bool = True
    cache: EmbeddingCache | None = None
    place: str = ""
    command: str = ""
    quiet: bool = True
    data: str | None = None
    text: str = ""

    def own_statistics_only(self, what: str) -> None:
        """Raise AuricleError where other statistics than the encoder's own are asked for: ``what`` has no training clips."""
        if self.statistics != "own":
            raise AuricleError(
                f"--statistics {self.statistics} measures training clips, and {what} has none: leave it out"
            )


@dataclass(frozen=True)
class Measured:
    """What a work gave.

    Attributes:
        rows: Rows for the results store; the first is the model's main score.
        evaluation: The evaluation with predictions, where there are any: it is saved, and models are compared clip by clip.
        failed: Clips that could not be read, with the reason.
        files: Text files that are kept beside the results store, by the end of their name.
    """

    rows: tuple[Result, ...]
    evaluation: Evaluation | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


class Work(ABC):
    """One task by one protocol, for models of one sample rate and family: what is measured, kept and resumed as a whole.

    Attributes:
        task: Name of the task in results.
        protocol: Name of the protocol in results.
        version: Version of the protocol: raise it when its numbers change.
    """

    task: str
    protocol: str
    version: str

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of all that the score depends on beside the model and the protocol: clips, labels, split, settings.

        It finds the data and decodes no audio.

        Raises:
            MissingData: The data are not there.
            AuricleError: They cannot be used.
        """

    @abstractmethod
    def measure(self, encoder: Encoder, context: WorkContext) -> Measured:
        """Measure an encoder; it is not changed.

        Raises:
            AuricleError: The number would mean nothing.
        """


class SuiteTask(ABC):
    """One task of a suite. Subclasses are frozen dataclasses that can be pickled.

    Attributes:
        name: Name of the task; ``--tasks`` selects by it, published scores are found by it.
    """

    name: str

    @classmethod
    @abstractmethod
    def read(cls, record: TaskRecord) -> SuiteTask:
        """Make the task of a record; data are not looked for. Raises AuricleError for a wrong record."""

    @abstractmethod
    def works(self, model: EncoderInfo, data: str | None = None) -> list[Work]:
        """Return the works for a model; data are not looked for.

        Args:
            model: Description of the encoder: sample rate, family.
            data: Folder of the data sets that the user named; None: the places of the suite.
        """
