"""The progress line of a run: loss, rate, time left, share of time waiting for data, and what is wrong in words."""

from __future__ import annotations

from auricle.objectives.base import Progress
from auricle.progress import progress as bar


class Console:
    def __init__(self, steps: int, *, quiet: bool = False):
        self.bar = bar(total=steps, what="pretrain", unit="step", quiet=quiet)
        self.quiet = quiet
        self.smooth: float | None = None

    def update(self, progress: Progress, values: dict[str, float], rate: float, waiting: float) -> None:
        if self.bar.n == 0 and progress.step:
            self.bar.initial = progress.step  # a continued run: the estimate of the time left counts from here
        loss = values["loss"]
        self.smooth = loss if self.smooth is None else 0.95 * self.smooth + 0.05 * loss
        self.bar.set_postfix_str(
            f"epoch {progress.epoch:.2f}, loss {self.smooth:.4f}, lr {rate:.2e}, data wait {waiting:.0%}", refresh=False
        )
        self.bar.update(progress.step + 1 - self.bar.n)

    def say(self, text: str) -> None:
        if not self.quiet:
            self.bar.write(text, file=self.bar.fp)

    def close(self) -> None:
        self.bar.close()
