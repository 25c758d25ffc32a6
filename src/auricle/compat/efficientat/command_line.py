"""Run EfficientAT's command lines: ``auricle original efficientat inference --cuda --audio_path=…``.

Options, defaults and printed lines are those of the original ([efficientat 5](docs/specification/efficientat.md#s5) and
[9](docs/specification/efficientat.md#s9)). ``--window_size`` means samples of the STFT window in ``inference`` and seconds of
audio in ``windowed_inference``. The published name determines the front end; options that contradict it are an error. The programs
that train and evaluate on data sets (``ex_*``) are parsed by ``programs`` and run by ``training`` and ``scoring``; settings of
``auricle finetune`` may follow after ``--``.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from auricle.audio.windows import Remainder, Window
from auricle.compat.efficientat.programs import PROGRAMS, parse_program
from auricle.compat.lines import LineParser, parse_shell_line, split_at_dashes
from auricle.core.errors import AuricleError, nearest
from auricle.models.base import Encoder

if TYPE_CHECKING:
    from auricle.inference.tag_results import FileTags

Load = Callable[[str], Encoder]
FRONT_END = {
    "sample_rate": "sample_rate", "n_mels": "n_mels", "stft_window": "win_length", "hop_size": "hop_length", "n_fft": "n_fft"
}  # fmt: skip
Change = Callable[[Sequence[str], Any], Any]


def run(line: Sequence[str], *, load: Load | None = None, change: Change | None = None) -> int:
    """Run one command line and return its exit status.

    Args:
        line: the script and its options; ``python``, ``./`` and ``NAME=value`` in front are optional.
        load: loads a model by name; None: ``auricle.load``.
        change: applies the arguments after ``--`` to the settings of a training.

    Raises:
        AuricleError: if the script is unknown or not supported.
    """
    args, extra = split_at_dashes(line)
    shell = parse_shell_line(args)
    os.environ.update(shell.environment)  # before PyTorch is loaded, which reads them
    script = shell.script
    if script in PROGRAMS:
        return run_program(script, shell.args, extra, load or _published, change)
    if extra:
        raise AuricleError(f"after -- stand settings of a training; {script} takes none")
    if script not in SCRIPTS:
        raise AuricleError(f"unknown script '{script}'{nearest(script, (*SCRIPTS, *PROGRAMS))}")
    return SCRIPTS[script](shell.args, load or _published)


def run_program(script: str, args: Sequence[str], extra: Sequence[str], load: Load, change: Change | None) -> int:
    """Run one of the programs that train and evaluate on a data set."""
    line = parse_program(script, args)
    if not line.trains:
        from auricle.compat.efficientat.scoring import evaluate

        return evaluate(line, load)
    from auricle.compat.efficientat.training import train

    if extra and change is None:
        raise AuricleError("settings after -- work only on the command line: auricle original efficientat … -- …")
    return train(line, load, (lambda config: change(extra, config)) if extra and change else None)


def _published(name: str) -> Encoder:
    from auricle.hub.load import load

    return load(name)


# ---- inference.py
def inference(options: Sequence[str], load: Load) -> int:
    """Print the ten best classes of a file, as ``inference.py`` does."""
    from auricle.inference.tag_results import tag_table

    args = inference_parser().parse_args(options)
    encoder = _model(args.ensemble or [args.model_name], args, load)
    result = _tag_file(encoder, args, whole=math.inf)  # the whole file is one input
    print(tag_table(result.tags))
    return 0


def inference_parser() -> LineParser:
    parser = _parser("inference")
    _add_model_name(parser)
    _add_audio_options(parser)
    _add_network_shape(parser)
    parser.add_option("--ensemble", nargs="+", default=[], help="several names; their logits are averaged")
    return parser


# ---- windowed_inference.py
def windowed_inference(options: Sequence[str], load: Load) -> int:
    """Print the best classes of every window of a file, as ``windowed_inference.py`` does."""
    from auricle.inference.tag_results import window_text

    args = windowed_parser().parse_args(options)
    encoder = load(args.model_name)
    rate = encoder.info.sample_rate
    size, hop = int(args.window_size * rate), int(args.hop_length * rate)  # truncated, not rounded, as in the original
    if size < 1 or hop < 1:
        raise AuricleError(
            f"--window_size and --hop_length are seconds above 0, got {args.window_size} and {args.hop_length}"
        )
    for window in _tag_file(encoder, args, window=size / rate, hop=hop / rate).windows:
        print(window_text(window))
    return 0


def windowed_parser() -> LineParser:
    parser = _parser("windowed_inference")
    _add_model_name(parser, "--model")
    _add_audio_options(parser)
    parser.add_option("--window_size", type=float, default=10.0, help="seconds of audio per window")
    parser.add_option("--hop_length", type=float, default=2.5, help="seconds between two windows")
    return parser


def zero_padded(remainder: Remainder, size: int, hop: int) -> Window | None:
    """Zero-pad the last window as the original does ([efficientat 5.3](docs/specification/efficientat.md#s5-3)).

    A file of N samples has n = ceil((N - W) / H) + 1 windows of W samples; none for N <= W - H. The end of the last window
    may exceed the recording.
    """
    if remainder.total <= remainder.start - hop + size:
        return None
    wave = remainder.samples[remainder.start - (remainder.total - len(remainder.samples)) :]
    return Window(remainder.start, remainder.start + size, np.pad(wave, (0, size - len(wave))))


# ---- complexity.py, receptive_field_cnn.py
def complexity(options: Sequence[str], load: Load) -> int:
    """Print the cost of a network, as ``complexity.py`` does."""
    from auricle.models.efficientat.complexity import complexity as compute_complexity

    args = complexity_parser().parse_args(options)
    cost = compute_complexity(_network_of(args), bits=args.bits_per_elem)
    if args.complexity_type == "computation":
        print(
            f"Model '{_display_name(args)}' has {cost.parameters / 1e6:.2f} million parameters and inference of a single "
            f"10-seconds audio clip requires {cost.macs / 1e9:.2f} billion multiply-accumulate operations."
        )
        return 0
    memory = cost.efficient_memory_kb if args.memory_efficient_inference else cost.memory_kb
    if memory is None:
        raise AuricleError(
            f"{_display_name(args)}: the formula for memory-efficient inference does not cover this network"
        )
    print(f"Model '{_display_name(args)}' has a peak memory of {memory:g} kB for a single 10-seconds audio clip.")
    return 0


def complexity_parser() -> LineParser:
    parser = _parser("complexity")
    parser.add_option("--complexity_type", choices=("computation", "memory"), default="computation")
    parser.add_option("--memory_efficient_inference", action="store_true")
    parser.add_option("--bits_per_elem", type=int, default=16)
    _add_network_options(parser)
    return parser


def receptive_field(options: Sequence[str], load: Load) -> int:
    """Print the receptive field of a network, as ``receptive_field_cnn.py`` does."""
    from auricle.models.efficientat.complexity import complexity as compute_complexity

    args = receptive_field_parser().parse_args(options)
    size = compute_complexity(_network_of(args)).receptive_field
    print(f"Model '{_display_name(args)}' has a receptive field of {size} mel bins and {size} frames.")
    return 0


def receptive_field_parser() -> LineParser:
    parser = _parser("receptive_field_cnn")
    _add_network_options(parser)
    return parser


SCRIPTS: dict[str, Callable[[Sequence[str], Load], int]] = {
    "inference": inference,
    "windowed_inference": windowed_inference,
    "complexity": complexity,
    "receptive_field_cnn": receptive_field,
}


# ---- options that several scripts share
def _parser(script: str) -> LineParser:
    return LineParser(f"auricle original efficientat {script}")


def _add_model_name(parser: LineParser, *also: str, default: str | None = "mn10_as") -> None:
    """Add ``--pretrained_name NAME`` and the newer ``--pretrained --model_name NAME``."""
    names = ("--model_name", *also, "--pretrained_name")
    parser.add_option(*names, dest="model_name", default=default, help="published name of the network")
    parser.add_option("--pretrained", action="store_true", help="accepted: published names always have their weights")


def _add_audio_options(parser: LineParser) -> None:
    parser.add_option("--audio_path", required=True, help="an audio file")
    parser.add_option("--cuda", action="store_true", help="use the GPU, in half precision, if there is one")


def _add_network_shape(parser: LineParser) -> None:
    """Add the options that describe a network; they must not contradict its published name."""
    parser.add_option("--strides", nargs=4, type=int, metavar="N")
    parser.add_option("--head_type")
    parser.add_option("--sample_rate", "--resample_rate", dest="sample_rate", type=int, help="hertz")
    parser.add_option("--window_size", dest="stft_window", type=int, help="samples of the spectrogram's window")
    parser.add_option("--hop_size", type=int, help="samples")
    parser.add_option("--n_fft", type=int, help="samples")
    parser.add_option("--n_mels", type=int)


def _add_network_options(parser: LineParser) -> None:
    _add_model_name(parser, default=None)
    parser.add_option("--model_width", type=float, help="a network of this width, in place of a name")
    parser.add_option("--se_dims", help="squeeze along c, f, t, or none")
    _add_network_shape(parser)


# ---- models and results
def _model(names: Sequence[str], args: argparse.Namespace, load: Load) -> Encoder:
    from auricle.inference.pipeline import as_encoder

    members = [load(name) for name in names]
    for member in members:
        _check(member, args)
    return as_encoder(members)


def _check(encoder: Encoder, args: argparse.Namespace) -> None:
    """Raise AuricleError if an option contradicts the network."""
    config, front = getattr(encoder, "config", None), encoder.front
    known = {
        "head_type": getattr(config, "head", None),
        "strides": list(getattr(config, "strides", ())) or None,
        "sample_rate": front.sample_rate,
        "stft_window": getattr(front, "win_length", None),
        "hop_size": getattr(front, "hop_length", None),
        "n_fft": getattr(front, "n_fft", None),
        "n_mels": front.n_mels,
        "se_dims": getattr(config, "se_dims", None),
        "model_width": getattr(config, "width", None),
    }
    for option, value in known.items():
        value_on_line = getattr(args, option, None)
        if value_on_line is not None and value is not None and value_on_line != value:
            flag = "window_size" if option == "stft_window" else option
            raise AuricleError(f"{encoder.info.name} has --{flag} {value}, not {value_on_line}; leave the option out")


def _tag_file(encoder: Encoder, args: argparse.Namespace, **windows: Any) -> FileTags:
    import torch

    from auricle.inference.config import TagSettings
    from auricle.inference.tag_results import Failure
    from auricle.inference.tagger import Tagger

    half = args.cuda and torch.cuda.is_available()
    settings = TagSettings(**windows, precision="fp16" if half else "float32", device="cuda" if half else "cpu")
    if Path(args.audio_path).is_dir():
        raise AuricleError(
            f"--audio_path {args.audio_path} is a folder, but the original reads one file; 'auricle tag' accepts both"
        )
    (outcome,) = Tagger(encoder, settings=settings, tail=zero_padded).iterate(args.audio_path)
    if isinstance(outcome, Failure):
        raise AuricleError(outcome.error)
    return outcome


def _network_of(args: argparse.Namespace) -> Encoder:
    """Build the network of a published name, or the one that the options describe, without weights."""
    from auricle.commands.complexity import network
    from auricle.frontends.efficientat_mel import EfficientATMel
    from auricle.models.efficientat.config import MNConfig
    from auricle.models.efficientat.mn import MN

    if args.model_name or not _describes_network(args):
        encoder = network(_display_name(args))
        _check(encoder, args)
        return encoder
    front_end = {ours: getattr(args, theirs) for theirs, ours in FRONT_END.items() if getattr(args, theirs) is not None}
    if "sample_rate" in front_end:
        front_end["fmax"] = (
            front_end["sample_rate"] // 2 - 1000
        )  # [efficientat 4](docs/specification/efficientat.md#s4)
    front = EfficientATMel(**front_end)
    config = MNConfig(
        width=args.model_width or 1.0,
        head=args.head_type or "mlp",
        se_dims=args.se_dims or "c",
        strides=tuple(args.strides or (2, 2, 2, 2)),
        frames=front.num_frames(10 * front.sample_rate),
        front_end=front.id,
    )
    return MN(config).eval()


def _describes_network(args: argparse.Namespace) -> bool:
    """Return True if options describe a network."""
    names = ("model_width", "head_type", "se_dims", "strides", *FRONT_END)
    return any(getattr(args, name) is not None for name in names)


def _display_name(args: argparse.Namespace) -> str:
    if args.model_name:
        return args.model_name
    return f"width {args.model_width or 1:g}" if _describes_network(args) else "mn10_as"
