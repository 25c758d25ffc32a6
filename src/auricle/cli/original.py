"""Run the command lines of the original programs, with their options unchanged.

  auricle original efficientat inference --cuda --model_name=mn10_as --audio_path="metro.wav"
  auricle original efficientat windowed_inference --audio_path metro.wav --window_size 10 --hop_length 2.5
  auricle original efficientat complexity --model_name="mn10_as"
  auricle original efficientat ex_esc50.py --cuda --pretrained_name=mn40_as_ext --fold=1
  auricle original efficientat ex_audioset.py --cuda --model_name="mn10_as"
  auricle original m2d wav_to_lms.py sounds data/sounds_lms
  auricle original m2d OMP_NUM_THREADS=1 torchrun --nproc_per_node=4 -m train_audio --csv_main data/files.csv
  auricle original m2d train_audio.py --csv_main data/files.csv -- --embed-dim 384 --depth 6
  auricle original m2d bash util/ft-esc50.sh m2d_vit_base-80x608p16x16-221006-mr7 3 42 300
  auricle original m2d bash eval_icbhi.sh WEIGHT 3 5e-5
  auricle original m2d finetune.py config/m2d.yaml cremad weight_file=W --lr 0.5 --freq_mask 30
  auricle original evar lineareval.py config/m2d.yaml cremad batch_size=16,weight_file=W
  auricle original evar prepare_wav.py downloads/cremad work/16k/cremad 16000
  auricle original superb run_downstream.py -m train -n first -u m2d -d speech_commands -k W,-11.5,4.31 -o config.optimizer.lr=1e-4
  auricle original superb norm -d speech_commands
  auricle original superb ./ks.sh 0 m2d W 7
  auricle original mae-ast fairseq-hydra-train task.data=lists task.mask_type=chunk_mask hydra.run.dir=runs/first

After a lone -- stand options of 'auricle pretrain' (or finetune, distill), which win. Programs that do not run here yet are refused
(exit code 2). Data sets are read in their official layout from data/<name>; AURICLE_DATASETS or --dataset_dir names another folder.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from dataclasses import MISSING
from typing import TYPE_CHECKING

from auricle.cli.flags import VerbParser
from auricle.core.errors import AuricleError, nearest

if TYPE_CHECKING:
    from auricle.methods.config import PretrainConfig

PROGRAMS = {
    "efficientat": "auricle.compat.efficientat.command_line",
    "m2d": "auricle.compat.m2d.command_line",
    "evar": "auricle.compat.m2d.command_line",
    "mae-ast": "auricle.compat.mae_ast.command_line",
    "superb": "auricle.compat.s3prl.command_line",
}


def add_arguments(parser: VerbParser) -> None:
    parser.add_argument("program", help=f"whose command line it is: {', '.join(PROGRAMS)}")
    parser.add_argument("line", nargs=argparse.REMAINDER, help="script and options, as in the original's read-me")


def run(args: argparse.Namespace) -> int:
    if args.program not in PROGRAMS:
        raise AuricleError(f"unknown program '{args.program}'{nearest(args.program, tuple(PROGRAMS))}")
    return importlib.import_module(PROGRAMS[args.program]).run(args.line, change=with_own_flags)


def with_own_flags(argv: Sequence[str], config: PretrainConfig) -> PretrainConfig:
    """Apply the flags of the verb that trains (``auricle pretrain``, ``finetune``, ``distill``) in ``argv`` to a config."""
    from auricle.cli import aliases
    from auricle.cli.flags import add_flags, typed_options
    from auricle.core.options import with_values
    from auricle.methods.registry import method_of

    verb = method_of(config).verb
    parser = VerbParser(verb)
    add_flags(parser, type(config))
    values, _ = parser.read([*aliases.renamed(verb, argv)])
    if values.source is not MISSING:
        raise AuricleError(f"after -- stand options of 'auricle {verb}', not '{values.source}'")
    return with_values(config, typed_options(values, type(config)))
