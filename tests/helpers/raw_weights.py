"""Weight files written byte by byte, for what no program of ours would write."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from auricle.hub.weight_file import save_encoder
from auricle.models.base import Encoder
from auricle.models.m2d.config import ViTConfig
from auricle.models.m2d.encoder import M2DEncoder


def small_m2d(**changes: Any) -> M2DEncoder:
    """An encoder of 4,000 parameters."""
    return M2DEncoder(
        ViTConfig(**({"input_size": "80x32", "embed_dim": 16, "depth": 1, "num_heads": 2} | changes)), seed=1
    )


def split(path: Path) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, metadata included, and the bytes behind it."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def join(header: dict[str, Any] | bytes, body: bytes, declared: int | None = None) -> bytes:
    """A safetensors file; ``declared`` is the length of the header that it states."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if declared is None else declared) + text + body


class Sample:
    """A small weight file in a folder, and files that differ from it in one thing."""

    def __init__(self, folder: Path, encoder: Encoder | None = None):
        self.folder = folder
        save_encoder(encoder or small_m2d(), folder / "good.safetensors")
        self.header, self.body = split(folder / "good.safetensors")
        self.description = json.loads(self.header["__metadata__"]["auricle"])

    def described(self, text: str, name: str = "changed.safetensors") -> Path:
        """The file with another description."""
        path = self.folder / name
        path.write_bytes(join(self.header | {"__metadata__": {"auricle": text}}, self.body))
        return path

    def changed(self, *keys: str, value: Any) -> Path:
        """The file with one value of its description replaced: ``changed("architecture", "config", "depth", value=3)``."""
        description = json.loads(json.dumps(self.description))
        part = description
        for key in keys[:-1]:
            part = part[key]
        part[keys[-1]] = value
        return self.described(json.dumps(description))
