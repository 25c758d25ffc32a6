"""The run folder: the names of the files in it are always the same.

config.yaml (resolved), command.txt, environment.json, metrics.jsonl, checkpoints/, encoder.safetensors (what the run gives: the
last, or the best, and then the last is encoder-last.safetensors), encoder-best.safetensors (where there is a score), features.npz
(what a frozen head learnt from), start.safetensors (the encoder with the fitted head that training of the whole network began
from), evaluations/ (scores; of a detector detector.json and detector-scores.npz,
of labels of frames frame-thresholds.json), grown.csv (new and earlier clips of a run that
grew), card.md, report.html
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from auricle.core.errors import AuricleError, first_line
from auricle.core.io import check_folder, is_left_over, make_folder, temporary_name, write_text, writing
from auricle.models.info import EncoderInfo
from auricle.version import __version__

PRETRAINED = "model.safetensors"  # in a folder of ``Encoder.save_pretrained``, as other programs of the hub name it
CONFIG_LOST = "restore it, for example from command.txt; the encoder in the folder can be used without it"


@dataclass(frozen=True)
class RunFolder:
    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints; ``state/`` in a run that the first edition began."""
        old = self.path / "state"
        return old if old.is_dir() else self.path / "checkpoints"

    @property
    def commands(self) -> Path:
        """The command that began the run, and those that continued it."""
        return self.path / "command.txt"

    def has_checkpoints(self) -> bool:
        return any(self.checkpoints.glob("step-*"))

    @property
    def encoder(self) -> Path:
        return self.path / "encoder.safetensors"

    @property
    def best(self) -> Path:
        return self.path / "encoder-best.safetensors"

    @property
    def last(self) -> Path:
        """The encoder at the end of a run that gives its best one (``encoder.safetensors`` is then the best)."""
        return self.path / "encoder-last.safetensors"

    @property
    def card(self) -> Path:
        return self.path / "card.md"

    @property
    def detector(self) -> Path:
        """What is known of a detector: classes, head, trials, calibration, scores."""
        return self.path / "evaluations" / "detector.json"

    @property
    def detector_scores(self) -> Path:
        """A detector's logits of clips that it did not learn from."""
        return self.path / "evaluations" / "detector-scores.npz"

    @property
    def grown_table(self) -> Path:
        """New and earlier clips of a run that grew from another one that trained the whole network."""
        return self.path / "grown.csv"

    @property
    def before_the_run(self) -> tuple[Path, ...]:
        """What may lie in a folder before its run begins."""
        return self.start, self.grown_table, self.path / "grown.classes.txt"

    @property
    def frame_thresholds(self) -> Path:
        """Calibration and thresholds of a run that learnt labels of frames."""
        return self.path / "evaluations" / "frame-thresholds.json"

    @property
    def features(self) -> Path:
        """The frozen features that a head learnt from, with labels."""
        return self.path / "features.npz"

    @property
    def start(self) -> Path:
        """The encoder with a fitted head that training of the whole network began from."""
        return self.path / "start.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @classmethod
    def create(cls, path: Path | str, config: dict[str, Any]) -> RunFolder:
        """Make a new run folder. Raise AuricleError if there is one already: a run is never overwritten silently."""
        path = Path(path)
        run = cls(path)
        cls.check_free(path)
        make_folder(path, "choose another --out")
        run.write_config(config)
        run.note_command()
        return run

    @classmethod
    @contextmanager
    def create_whole(cls, path: Path | str, config: dict[str, Any]) -> Iterator[RunFolder]:
        """Make a run folder whose files appear together: an error, Ctrl-C or a kill before that leaves no run.

        Yields:
            A hidden folder inside, for the files. They are moved at the end, the encoder last.

        Raises:
            AuricleError: there is a run already, or another process made one meanwhile.
        """
        path = Path(path)
        cls.check_free(path)
        made = not path.exists()
        make_folder(path, "choose another --out")
        for old in path.iterdir():  # of a process that was killed
            shutil.rmtree(old, ignore_errors=True)
        draft = cls(temporary_name(path / "run"))
        try:
            yield cls.create(draft.path, config)
            try:
                with open(cls(path).config, "x", encoding="utf-8"):  # one of several processes gets the folder
                    pass
            except FileExistsError:
                cls.check_free(path)
            for file in sorted(draft.path.iterdir(), key=lambda file: file == draft.encoder):
                os.replace(file, path / file.name)
        finally:
            shutil.rmtree(draft.path, ignore_errors=True)
            if made and not any(path.iterdir()):
                path.rmdir()

    @classmethod
    def check_free(cls, path: Path) -> None:
        """Raise AuricleError unless a new run can be made in a folder: it is absent, empty, or holds what it starts from."""
        run = cls(path)
        if run.config.exists():
            unfinished = not run.detector.is_file() or run.has_checkpoints()
            next_step = f"continue it with --continue {path}, or " if unfinished else ""
            raise AuricleError(f"{path} holds a run already; {next_step}choose another --out")
        if path.exists() and (
            not path.is_dir()
            or any(not is_left_over(entry.name) for entry in path.iterdir() if entry not in run.before_the_run)
        ):
            raise AuricleError(f"{path} exists and is not an empty folder; choose another --out")
        check_folder(path, "choose another --out")

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """Open an existing run folder. Raise AuricleError if it is none."""
        run = cls(Path(path))
        if not run.config.is_file():
            why = "it holds no config.yaml" if run.path.exists() else "it does not exist"
            raise AuricleError(f"{path} is not a run folder: {why}")
        return run

    def read_config(self) -> dict[str, Any]:
        """Return the settings as they were written. Raise AuricleError for a damaged file."""
        try:
            settings = yaml.safe_load(self.config.read_text(encoding="utf-8"))
        except Exception as error:  # YAML's reader raises its own errors, and those of dates, numbers and deep nesting
            reason = first_line(error)
            raise AuricleError(f"{self.config} is damaged ({reason}); {CONFIG_LOST}") from None
        if not isinstance(settings, dict) or not all(isinstance(name, str) for name in settings):
            raise AuricleError(f"{self.config} is damaged: it holds no settings by name; {CONFIG_LOST}")
        return settings

    def write_config(self, config: dict[str, Any]) -> None:
        write_text(self.config, yaml.safe_dump(config, sort_keys=False))

    def note_command(self) -> None:
        """Append this call to command.txt and write the environment."""
        with writing(self.commands), open(self.commands, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(this_command() + "\n")
        facts = {**environment(), "folder": os.getcwd(), **({"job": job} if (job := launch()) else {})}
        write_text(self.path / "environment.json", json.dumps(facts, indent=1))

    def is_of_this_launch(self) -> bool:
        """Return True if this very ``torchrun`` began the run, with this command: its processes were started again."""
        try:
            first = self.commands.read_text(encoding="utf-8", errors="surrogateescape").split("\n", 1)[0]
            noted = json.loads((self.path / "environment.json").read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return False
        job = launch()
        return job is not None and isinstance(noted, dict) and noted.get("job") == job and first == this_command()


def weights_in(folder: Path | str) -> Path:
    """Return the weight file of a run folder, or of a folder that ``Encoder.save_pretrained`` wrote; it need not exist."""
    run, pretrained = RunFolder(Path(folder)).encoder, Path(folder) / PRETRAINED
    return pretrained if pretrained.is_file() and not run.is_file() else run


def this_command() -> str:
    """Return the command line of this process, quoted for a shell, on one line."""
    return shlex.join(["auricle", *sys.argv[1:]])


def launch() -> str | None:
    """Return what names the ``torchrun`` that started this process, the same after a restart; None without one.

    That is its ``--rdzv-id``. Without one, and without ``--standalone``, the id is "none", and the name is that of its process.
    """
    identity = os.environ.get("TORCHELASTIC_RUN_ID")
    return f"process {os.getppid()} on {platform.node()}" if identity == "none" else identity


def environment() -> dict[str, Any]:
    """Return what decides numbers and speed on this machine."""
    import torch

    return {
        "auricle": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "world": int(os.environ.get("WORLD_SIZE", 1)),
    }


def write_card(run: RunFolder, info: EncoderInfo, facts: dict[str, Any]) -> None:
    """Write ``card.md``, which describes a run's encoder to whoever finds the folder.

    Args:
        run: the run folder.
        info: of the encoder.
        facts: further rows of the table, name -> value.
    """
    rows = {
        "family": info.family,
        "sample rate": f"{info.sample_rate} Hz",
        "front end": info.front_end,
        "frames": f"{info.frame_dim} values every {1000 * info.hop_seconds:g} ms",
        "clip embedding": f"{info.clip_dim} values",
        "licence": info.licence,
        **facts,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    code = (
        f"import auricle\nenc = auricle.load({str(run.path)!r})\nout = enc(waveform)  # (B, S) at {info.sample_rate} Hz"
    )
    ends = "Made by: see `command.txt` and `config.yaml`. How good it is: `auricle report` writes `report.html` here."
    write_text(
        run.card,
        f"# {info.name}\n\n| | |\n|---|---|\n{table}\n\n```python\n{code}\n```\n\n{ends}\n",
    )


def learnt_frames(model: Any) -> bool:
    """Return True for a run folder whose network was trained with ``--level frames``."""
    if not isinstance(model, (str, Path)) or not Path(model).is_dir():
        return False
    try:
        data = RunFolder.open(model).read_config().get("data")
    except AuricleError:
        return False
    return isinstance(data, dict) and data.get("level") == "frames"
