"""Decode audio files: ``probe``, ``read`` and ``blocks`` (``reader.py``), with one module per library underneath.

``libsndfile`` decodes wav, flac, ogg, mp3 and more, ``pyav`` the rest; ``declared_length`` finds truncated files.
"""

from auricle.audio.decode.reader import AUDIO_SUFFIXES, AudioInfo, Decoded, File, blocks, probe, read

__all__ = ["AUDIO_SUFFIXES", "AudioInfo", "Decoded", "File", "blocks", "probe", "read"]
