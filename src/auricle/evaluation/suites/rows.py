"""Rows of the results store from works that make no evaluation: what all of them say alike, and their scores. No PyTorch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import numpy as np

from auricle.evaluation.result_rows import Result
from auricle.evaluation.scoring import mean_and_std_of
from auricle.evaluation.suites.contract import Work, WorkContext

if TYPE_CHECKING:
    from auricle.evaluation.identity import TaskIdentity
    from auricle.evaluation.splits import Split
    from auricle.models.base import Encoder


def work_row(
    work: Work, encoder: Encoder, context: WorkContext, identity: TaskIdentity, *, from_embeddings: bool = True
) -> Result:
    """Return the row of a work for an encoder; ``with_scores`` adds a metric and its scores.

    Args:
        work: The work.
        encoder: The encoder that was measured.
        context: Command line and place of the model.
        identity: The task.
        from_embeddings: True if layers and pooling of the context make the vectors: the model's name then tells those that are
            not the default.
    """
    from auricle.evaluation.evaluation import model_title
    from auricle.hub.run_folder import environment

    return Result(
        model=model_title(encoder.info.name, asdict(context.encode)) if from_embeddings else encoder.info.name,
        checksum=encoder.fingerprint(),
        task=work.task,
        protocol=work.protocol,
        metric="",
        score=float("nan"),
        std=None,
        scores={},
        classes=identity.classes,
        clips=identity.tested,
        environment=environment(),
        command=context.command,
        identity=identity,
        place=context.place,
    )


def with_scores(row: Result, metric: str, scores: Mapping[str, float]) -> Result:
    """Return a row with the scores of a metric by split and seed, their mean and deviation."""
    mean, std = mean_and_std_of(list(scores.values()))
    return replace(row, metric=metric, score=mean, std=std, scores=dict(scores))


def ratio_of_test_clips(splits: Sequence[Split]) -> float:
    """Return the mean over splits of test clips per training clip."""
    return float(np.mean([len(split.test) / max(1, len(split.train)) for split in splits]))


def unreadable_note(count: int) -> tuple[str, ...]:
    """Return the note on clips that could not be read; () where all could."""
    return (f"{count} clips could not be read",) if count else ()
