"""The known forms of smaller numbers: which parts of a graph are 8-bit integers, which weights take 8 or 16 bits.

``int8-weights`` and ``float16`` change what is stored; the arithmetic stays that of float32. ``int8-static`` and ``int8-dynamic``
multiply 8-bit integers, with ranges of the activations from calibration clips or from each call.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from auricle.core.errors import AuricleError

CHOICES = ("none", "float16", "int8-weights", "int8-dynamic", "int8-static", "auto")
SMALL = (
    4096  # weights; a product of fewer, or a depthwise convolution, is "small": 8 bits save little there and hurt most
)
PARTS = ("front end", "first", "small", "gates", "head", "body")
INTEGER_ARITHMETIC = ("int8-dynamic", "int8-static")


@dataclass(frozen=True)
class Form:
    """How the numbers of a graph are made smaller.

    The front end is never quantized to integers of 8 bits: its constants take 16 bits.

    Attributes:
        kind: "float16", "int8-weights", "int8-dynamic" or "int8-static".
        per_channel: int8 weights have one scale per output; else one per layer.
        integers: the parts whose products are of 8-bit integers.
        in_16_bits: the parts whose weights take 16 bits, of those that are not ``integers``; other weights take 8.
        ranges: how calibration finds the range of an activation: "minmax" or "percentile" (0.001 % cut off at each end).
        floats: what takes 16 bits is float16, where a runtime has no weights in 16-bit integers, which lose less. Of the form
            "float16", the parts ``in_16_bits`` then stay float32.
    """

    kind: str
    per_channel: bool = True
    integers: tuple[str, ...] = ()
    in_16_bits: tuple[str, ...] = ("first", "small")
    ranges: str = ""
    floats: bool = False

    @property
    def name(self) -> str:
        """One line that tells this form from the others."""
        if self.kind == "float16":
            return self.kind
        words = [self.kind, "per channel" if self.per_channel else "per tensor"]
        if self.integers:
            words.append(f"integers in {', '.join(self.integers)}")
        if self.in_16_bits:
            words.append(f"16 bits in {', '.join(self.in_16_bits)}")
        return "; ".join([*words, *([self.ranges] if self.ranges else [])])

    @property
    def float32_arithmetic(self) -> bool:
        """Whether only what is stored is smaller."""
        return not self.integers

    @property
    def precision(self) -> str:
        """A sentence for the certificate."""
        if self.kind == "float16" and self.floats:
            return f"weights in float16, in float32 in: {', '.join(self.in_16_bits)}; arithmetic in float32"
        if self.kind == "float16":
            return "weights in float16, front end in 16-bit integers with scales; arithmetic in float32"
        sixteen = ", ".join(("front end", *self.in_16_bits))
        scales = "per output" if self.per_channel else "per layer"
        stored = f"weights in int8 with one scale {scales}, in {'float16' if self.floats else '16 bits'} in: {sixteen}"
        if self.float32_arithmetic:
            return f"{stored}; arithmetic in float32"
        origin = "from calibration clips" if self.kind == "int8-static" else "of each call"
        return f"{stored}; products of 8-bit integers, with ranges {origin}, in: {', '.join(self.integers)}; the rest in float32"


WEIGHTS = (
    Form("int8-weights"),
    Form("int8-weights", in_16_bits=("first", "small", "head")),
    Form("int8-weights", in_16_bits=("first", "small", "gates")),
    Form("int8-weights", in_16_bits=("first",)),
    Form("int8-weights", in_16_bits=()),
    Form("int8-weights", per_channel=False),
)
DYNAMIC = (
    Form("int8-dynamic", integers=("body",)),
    Form("int8-dynamic", integers=("body", "gates", "head")),
    Form("int8-dynamic", integers=("body", "small"), in_16_bits=("first",)),
    Form("int8-dynamic", per_channel=False, integers=("body",)),
)
STATIC = (
    Form("int8-static", integers=("body",), ranges="percentile"),
    Form("int8-static", integers=("body",), ranges="minmax"),
    Form("int8-static", integers=("body", "gates", "head"), ranges="percentile"),
    Form("int8-static", integers=("body", "small"), in_16_bits=("first",), ranges="percentile"),
    Form("int8-static", integers=PARTS[1:], in_16_bits=(), ranges="percentile"),
    Form("int8-static", per_channel=False, integers=("body",), ranges="percentile"),
)
LITERT_STATIC = (  # its quantizer has no percentiles, and finds no ranges for products of averages
    Form("int8-static", integers=("body",), ranges="minmax"),
    Form("int8-static", per_channel=False, integers=("body",), ranges="minmax"),
)
KNOWN = {"float16": (Form("float16"),), "int8-weights": WEIGHTS, "int8-dynamic": DYNAMIC, "int8-static": STATIC}
LITERT = {
    kind: tuple(replace(form, floats=True) for form in forms)
    for kind, forms in {**KNOWN, "int8-static": LITERT_STATIC}.items()
}
FORMATS: dict[str, dict[str, tuple[Form, ...]]] = {
    "onnx": KNOWN,
    "web": KNOWN,
    "openvino": KNOWN,
    "litert": LITERT,
}  # known forms by format and kind


def forms_of(to: str, quantize: str) -> tuple[Form, ...]:
    """Return the forms to try: none, one, or for "auto" all that a format knows.

    Args:
        to: the format.
        quantize: one of ``CHOICES``.

    Raises:
        AuricleError: the format has no such form.
    """
    if quantize == "none":
        return ()
    known = FORMATS.get(to, {})
    if quantize == "auto" and known:
        return tuple(form for forms in known.values() for form in forms)
    if quantize not in known:
        able = ", ".join(sorted(name for name, forms in FORMATS.items() if quantize == "auto" or quantize in forms))
        raise AuricleError(f"--quantize {quantize} is not known for --to {to}; it is for --to {able}")
    return known[quantize][:1]
