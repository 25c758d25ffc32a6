"""The scores of the zero-shot program: cosine similarities of audio and captions, scored by the metrics of every task.

Text encoders are not part of the package; what is scored here are stored embeddings of both.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.metrics.table import metric
from helpers.golden_files import read_golden
from helpers.paths import GOLDEN


def test_similarities_give_the_accuracy_and_the_mean_average_precision_of_the_program():
    tensors, metadata = read_golden(GOLDEN / "finetune" / "zeroshot.safetensors")
    similarity = torch.nn.functional.cosine_similarity(tensors["audio"][:, None], tensors["text"][None], dim=2)
    torch.testing.assert_close(similarity, tensors["similarity"], atol=1e-6, rtol=0)
    scores = similarity.numpy().astype(np.float64)
    one = np.eye(len(tensors["text"]))[tensors["single_index"].long().numpy()]
    assert metric("accuracy")(scores, one) == pytest.approx(float(metadata["accuracy"]), abs=1e-6)
    assert metric("mAP")(scores, tensors["multi"].double().numpy()) == pytest.approx(
        float(metadata["mAP_macro"]), abs=1e-6
    )
