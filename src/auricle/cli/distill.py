"""Teach a small encoder to give what a large one gives.

auricle distill SOUNDS --model mn01_as --teacher mn10_as --out RUN        the teacher's labels, learnt from sound alone
auricle distill SOUNDS --teacher mn10_as --features frames --out RUN      its features too
auricle distill SOUNDS --teacher RUN-OF-M2D --no-teacher-logits --features clip --out SMALL
auricle distill --continue RUN                                            continue exactly where it stopped
auricle finetune LABELLED --model RUN                                     then teach it your labels
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from auricle.cli import finetune
from auricle.cli.flags import VerbParser
from auricle.methods.distillation.config import DistillConfig


def add_arguments_for(argv: Sequence[str], parser: VerbParser) -> None:
    finetune.add_options(argv, parser, DistillConfig, "distillation")
    parser.advanced.add("level")  # labels of whole clips are learnt here


def run(args: argparse.Namespace) -> int:
    return finetune.run(args)
