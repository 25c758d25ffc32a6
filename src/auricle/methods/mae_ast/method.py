"""MAE-AST as a method: how its objective is built from its settings, and which data it reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from auricle.methods.config import Method
from auricle.methods.mae_ast.config import MAEASTPretrain
from auricle.methods.mae_ast.presets import PRESETS

if TYPE_CHECKING:
    from auricle.methods.data import Processes, TrainingData
    from auricle.methods.mae_ast.objective import MAEAST


def open_data(config: MAEASTPretrain, processes: Processes) -> TrainingData:
    """Open audio of any lengths, in batches of clips of similar length."""
    from auricle.methods.mae_ast.data import open_lists

    return open_lists(config, processes)


def build_mae_ast(config: MAEASTPretrain, data: TrainingData) -> MAEAST:
    from auricle.methods.mae_ast.objective import MAEAST

    name = Path(config.out or config.method).name
    objective = MAEAST(config.model, config.objective, seed=config.train.seed, name=name)
    for stack in (objective.online.encoder, objective.online.decoder):
        stack.recompute = config.train.checkpoint_activations
    return objective


MAE_AST = Method(MAEASTPretrain, build_mae_ast, open_data, PRESETS)
