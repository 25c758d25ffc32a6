"""Run by ``torchrun``: the command line of Auricle, in which chosen ranks are killed at chosen micro-steps.

``mortal_rank.py RANK@STEP,RANK@STEP… pretrain …``: the first dies in the first attempt, the second after the first restart.
"""

from __future__ import annotations

import os
import signal
import sys

from auricle.cli.main import main
from auricle.training.loop import Trainer


def kill_at(rank: int, micro_step: int) -> None:
    real = Trainer.train_batch

    def train_batch(self, batch, progress):
        if self.dist.rank == rank and progress.micro_step == micro_step:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, batch, progress)

    Trainer.train_batch = train_batch


if __name__ == "__main__":
    deaths = [tuple(map(int, death.split("@"))) for death in sys.argv.pop(1).split(",")]
    attempt = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if attempt < len(deaths):
        kill_at(*deaths[attempt])
    sys.exit(main(sys.argv[1:]))
