"""The names of M2D's folders, which state sizes and sample rate. No PyTorch: the table of published weights needs them.

Source: [m2d 6.1](docs/specification/m2d.md#s6-1).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from auricle.core.errors import AuricleError

RATES = {"16k": 16000, "32k": 32000}
SIZE = re.compile(r"\d+x\d+")


@dataclass(frozen=True)
class PublishedName:
    """The parts of a folder name such as ``m2d_vit_base-80x608p16x16p16k-221006-mr7`` ([m2d 6.1](docs/specification/m2d.md#s6-1)).

    Attributes:
        model: "m2d_vit_base".
        input_size: mel bins x frames.
        patch_size: mel bins x frames.
        sample_rate: hertz.
        extras: the parts after the sample rate (M2D-CLAP names its text encoder there).
    """

    model: str
    input_size: str
    patch_size: str
    sample_rate: int
    extras: tuple[str, ...] = ()


def parse_name(text: str) -> PublishedName | None:
    """Parse a folder name; None if it does not follow the naming rule.

    Raises:
        AuricleError: if M2D does not have the sample rate.
    """
    model, *rest = text.split("-")
    sizes = rest[0].split("p") if rest else []
    if len(sizes) < 2 or not all(SIZE.fullmatch(size) for size in sizes[:2]):
        return None
    rate = sizes[2] if len(sizes) > 2 else "16k"
    if rate not in RATES:
        raise AuricleError(f"'{text}' names the sample rate '{rate}'; M2D has {' and '.join(RATES)}")
    return PublishedName(model, sizes[0], sizes[1], RATES[rate], tuple(sizes[3:]))


def folder_name(input_size: str, patch_size: str, sample_rate: int, model: str = "m2d_vit_base") -> str:
    """Return the start of a folder name that M2D's own loaders can parse: "m2d_vit_base-80x608p16x16p16k"."""
    return f"{model}-{input_size}p{patch_size}p{sample_rate // 1000}k"
