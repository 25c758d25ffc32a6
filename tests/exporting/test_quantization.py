"""Smaller numbers in exported graphs: what is stored, which layers, and what it loses."""

from __future__ import annotations

import numpy as np
import pytest

from auricle.core.errors import AuricleError
from auricle.exporting.quantization.forms import KNOWN, form_named, forms_of
from auricle.exporting.quantization.weights import smaller


# ---- numbers
def test_int8_with_a_scale_per_output_is_within_half_a_step_of_every_weight():
    values = np.random.default_rng(0).normal(0, 1, (6, 40)).astype(np.float32) * 10.0 ** np.arange(-3, 3)[:, None]
    integers, scale = smaller(values, "int8", axis=0)
    assert integers.dtype == np.int8
    assert scale.shape == (6, 1)
    assert (np.abs(integers * scale - values) <= 0.5001 * np.abs(values).max(axis=1, keepdims=True) / 127).all()
    _, one = smaller(values, "int8 per tensor", axis=0)
    assert one.size == 1
    assert smaller(np.zeros((2, 3), np.float32), "int8", axis=0)[1].min() > 0, "a layer of zeros has a scale too"


def test_fourier_matrices_in_int16_with_scales_are_closer_than_in_float16():
    angle = np.outer(np.arange(400) + 0.5, np.arange(480)) * np.pi / 512
    cosines = np.cos(angle).astype(np.float32)
    integers, scale = smaller(cosines, "int16", axis=1)
    halves, _ = smaller(cosines, "float16", axis=1)
    assert 10 * np.abs(integers * scale - cosines).mean() < np.abs(halves.astype(np.float32) - cosines).mean()


# ---- forms
def test_a_form_is_found_again_by_its_name():
    names = [form.name for forms in KNOWN.values() for form in forms]
    assert len(set(names)) == len(names)
    assert [form_named("onnx", name).name for name in names] == names


def test_auto_tries_every_form_of_a_format_and_a_kind_means_its_first():
    assert forms_of("onnx", "none") == ()
    assert forms_of("openvino", "int8-static") == KNOWN["int8-static"][:1]
    assert len(forms_of("onnx", "auto")) == sum(map(len, KNOWN.values()))
    with pytest.raises(AuricleError, match="int8-static is not known for --to torch; it is for --to litert, onnx"):
        forms_of("torch", "int8-static")
