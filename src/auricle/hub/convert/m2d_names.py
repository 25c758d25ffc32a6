"""What M2D's folder names say (specification m2d 6.1): sizes and sample rate, which its weight files do not hold."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedName:
    """What a folder name such as ``m2d_vit_base-80x608p16x16p16k-221006-mr7`` says (specification m2d 6.1)."""

    model: str
    input_size: str
    patch_size: str
    sample_rate: int


def parse_name(text: str) -> PublishedName | None:
    """None where the name does not follow the rule."""
    found = re.match(r"(?P<model>[^-]+)-(?P<input>\d+x\d+)p(?P<patch>\d+x\d+)(?:p(?P<rate>16|32)k)?", text)
    if not found:
        return None
    return PublishedName(found["model"], found["input"], found["patch"], int(found["rate"] or 16) * 1000)


def folder_name(input_size: str, patch_size: str, sample_rate: int, model: str = "m2d_vit_base") -> str:
    """The beginning of a folder name that M2D's own loaders understand: "m2d_vit_base-80x608p16x16p16k"."""
    return f"{model}-{input_size}p{patch_size}p{sample_rate // 1000}k"
