"""Decode audio files: ``probe``, ``read`` and ``blocks`` (``reader.py``), with one module per library underneath.

``libsndfile`` decodes wav, flac, ogg, mp3 and more, ``pyav`` the rest. ``declared_length`` compares what headers declare with
what is present, by the layouts of ``chunks`` (WAV and its relatives), ``mpeg``, ``frames`` (FLAC, Ogg) and ``boxes``
(MP4, Matroska).
"""

from auricle.audio.decode.base import AudioNote, note_texts
from auricle.audio.decode.reader import AUDIO_SUFFIXES, AudioInfo, Decoded, File, blocks, probe, read

__all__ = ["AUDIO_SUFFIXES", "AudioInfo", "AudioNote", "Decoded", "File", "blocks", "note_texts", "probe", "read"]
