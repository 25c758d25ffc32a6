"""Records of the two checkpoints that MAE-AST publishes, under their names in s3prl.

Source: [mae_ast 10](docs/specification/mae_ast.md#s10), [13](docs/specification/mae_ast.md#s13).
"""

from __future__ import annotations

from auricle.hub.published.record import PublishedRecord
from auricle.models.mae_ast.config import PRESETS

SOURCE = "https://github.com/AlanBaade/MAE-AST-Public"
FILES = "https://saltlab.cs.utexas.edu/downloads/model_checkpoints/mae_ast"
TASKS = ("AudioSet (mAP, SSAST's recipe)", "ESC-50", "Speech Commands V2", "SUPERB KS", "SUPERB SID", "SUPERB ER")
NOTE = (
    "the scores are of networks fine-tuned from it; loads with all tensors that further pre-training needs. "
    "Not tested on the published file: the reader follows the specification of the layout and is tested on small files"
)


def _weight(name: str, file: str, tokens: str, masking: str, scores: tuple[float | None, ...]) -> PublishedRecord:
    return PublishedRecord(
        name,
        "mae-ast",
        f"MAE-AST on {tokens} tokens, 12 layers, {masking} masking 75 %, AudioSet and LibriSpeech",
        PRESETS[tokens],
        urls=(f"{FILES}/{file}.pt",),
        file=f"{file}.pt",
        aliases=(file,),
        parameters=85_253_376,
        front_end="mae-ast-fbank/16k",
        scores=tuple((task, score) for task, score in zip(TASKS, scores) if score is not None),
        source=SOURCE,
        use="general audio and speech transfer learning, further pre-training",
        further=True,
        note=NOTE,
        papers=("baade2022maeast",),
    )


ROWS: tuple[PublishedRecord, ...] = (
    _weight(
        "mae_ast_patch",
        "chunk_patch_75_12LayerEncoder",
        "patch",
        "chunked",
        (0.306, 0.900, 0.979, 0.958, None, 0.598),
    ),
    _weight(
        "mae_ast_frame",
        "random_frame_75_12LayerEncoder",
        "frame",
        "random",
        (0.230, 0.889, 0.980, 0.973, 0.633, 0.621),
    ),
)
