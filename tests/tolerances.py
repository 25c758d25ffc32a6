"""How far values may lie from the golden ones where the processor's mathematics library decides the last digits.

Golden vectors were computed on one processor. Float32 logarithms, sines and Fourier transforms of another processor
differ from them in the last bits. The table holds what these bits amount to in each kind of value, and why.
A comparison of another kind keeps its own tolerance beside it.
"""

from __future__ import annotations

from typing import NamedTuple


class Tolerance(NamedTuple):
    """The largest absolute difference that is accepted, and the reason in one sentence."""

    atol: float
    reason: str


TOLERANCES = {
    "mel bank": Tolerance(
        3e-5,
        "Float32 mel values between 2048 and 4096 lie 2.4e-4 apart and a band is about 27 mel wide, so each last digit of "
        "a logarithm moves a weight by 0.9e-5; up to three of them add up (1.8e-5 was measured).",
    ),
    "EfficientAT mel": Tolerance(
        1e-4,
        "In a band with 1e-8 of the strongest bin's power the rounding of a float32 Fourier transform is 2.5e-4 of the "
        "power, which is 5e-5 after ln(...) / 5, and both processors round (7.0e-5 was measured).",
    ),
    "weights after a training run": Tolerance(
        2e-4,
        "Adam makes steps of what the last digit of the mel changes at the kinks of activations. 2e-5 holds where the mathematics "
        "library takes its fastest path on the processors that were tried; with MKL_CBWR=COMPATIBLE, which rounds as another "
        "processor does, 9.1e-5 was measured.",
    ),
    "loss of a training run": Tolerance(
        3e-4,
        "Relative. It follows the weights: 1.0e-4 was measured with MKL_CBWR=COMPATIBLE, below 5e-5 otherwise.",
    ),
    "weights after gen24.trajectory_dymn": Tolerance(
        1e-3,
        "92 % of its input is digital silence, so that an activation at a kink crosses it in most places at once and Adam makes "
        "steps of what changes: in float64, noise of 1e-7 on the mel, its last digit, moves the weights by up to 4.7e-4 (of 1e-5: "
        "5.2e-4); the same noise on the weights alone moves them by 7e-6, and float32 by 1.2e-5 (4.0e-4 was measured).",
    ),
    "Kaldi fbank": Tolerance(
        3e-3,
        "The natural logarithm of bands that hold almost nothing amplifies the rounding of the float32 Fourier transform; "
        "the reference names this bound.",
    ),
    "positions below 64": Tolerance(
        5e-6,
        "Float32 angles between 32 and 64 lie 3.8e-6 apart and the sine follows the angle, so one last digit of a rate or "
        "of a product moves a value by up to 4e-6 (1.9e-6 was measured).",
    ),
    "positions below 48000": Tolerance(
        4e-3,
        "Float32 angles between 32768 and 65536 lie 3.9e-3 apart and the sine follows the angle.",
    ),
}
