"""The decoder on PyAV, by itself."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

pyav = pytest.importorskip("auricle.audio.decode.pyav")
pytest.importorskip("av")

from auricle.audio.decode.declared_length import FilePart  # noqa: E402


def test_tags_that_are_not_utf8_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(1600, np.float32), 16000)
    title = b"Gr\xfc\xdfe\0"  # latin-1
    tags = b"INFO" + b"INAM" + struct.pack("<I", len(title)) + title
    content = bytearray(path.read_bytes()) + b"LIST" + struct.pack("<I", len(tags)) + tags
    content[4:8] = struct.pack("<I", len(content) - 8)
    path.write_bytes(content)
    decoder = pyav.PyAVDecoder(path, "a.wav", FilePart(0, len(content)))
    assert (decoder.rate, decoder.channels) == (16000, 1)
    decoder.close()


@pytest.mark.parametrize(
    ("version", "options"), [("18.1.0", {"metadata_errors": "replace"}), ("19.0.2", {}), ("20", {})]
)
def test_each_version_gets_the_arguments_that_it_has(version: str, options: dict[str, str]) -> None:
    assert pyav.tag_options(version) == options
