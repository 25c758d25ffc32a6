"""``--checkpoint-activations`` reaches every run of a transformer, and is refused where there is nothing to recompute."""

from __future__ import annotations

import pytest

from auricle.commands.finetune.finetune import finetune_run
from auricle.core.errors import AuricleError
from auricle.training.log import read_log
from helpers.finetune_runs import config, labelled_sounds, weight_file


def test_fine_tuning_with_recomputed_activations_learns_the_same(tmp_path):
    sounds, model = labelled_sounds(tmp_path / "sounds"), weight_file(tmp_path, "m2d")
    losses = []
    for recomputed in (False, True):
        out = tmp_path / f"run-{recomputed}"
        finetune_run(config(sounds, out, model, epochs=1, checkpoint_activations=recomputed), quiet=True)
        losses.append([row["loss"] for row in read_log(out / "metrics.jsonl", "step")])
    assert losses[0] == losses[1]


def test_a_network_without_a_transformer_refuses(tmp_path):
    sounds, model = labelled_sounds(tmp_path / "sounds"), weight_file(tmp_path, "mn")
    with pytest.raises(AuricleError, match="has none"):
        finetune_run(config(sounds, tmp_path / "run", model, checkpoint_activations=True), quiet=True)
    assert not (tmp_path / "run").exists()
