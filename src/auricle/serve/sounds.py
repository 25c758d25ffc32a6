"""The sound of a recording in a form that browsers play: the file itself, or a copy as WAV that is made once."""

from __future__ import annotations

import threading
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from auricle.audio.decode.reader import opened
from auricle.core.io import file_stamp, make_folder, temporary_name
from auricle.serve.errors import Refusal
from auricle.serve.library import UPLOAD, ServedRecording
from auricle.serve.uploads.decoding import DecoderProcesses

MEDIA_TYPES = {  # of files that browsers play, by suffix
    ".wav": "audio/wav",
    ".wave": "audio/wav",
    ".flac": "audio/flac",
    ".mp3": "audio/mpeg",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".m4a": "audio/mp4",
    ".aac": "audio/aac",
    ".webm": "audio/webm",
}
PLAYED = ("pcm_16", "pcm_24", "pcm_u8", "float", "vorbis", "opus", "aac", "mpeg_layer_iii", "mp3float", "mp3", "flac")
MOST_COPIES = 200


class PlayableSounds:
    """Finds or makes what browsers play.

    Args:
        folder: for copies.
        decoders: make them.
    """

    def __init__(self, folder: Path, decoders: DecoderProcesses):
        self.folder, self.decoders = folder, decoders
        self._lock = threading.Lock()
        make_folder(folder)

    def playable(self, recording: ServedRecording) -> tuple[Path, str]:
        """Return a file that browsers play, and its media type.

        Raises:
            Refusal: the file is gone.
            AuricleError: the recording cannot be decoded, or is too long for a copy.
        """
        if not recording.path.is_file():
            raise Refusal(404, f"{recording.name} is no longer there")
        media = MEDIA_TYPES.get(recording.path.suffix.lower())
        if recording.source == UPLOAD or (media and _is_played(recording.path)):
            return recording.path, media or "audio/wav"
        stamp = sha256(f"{recording.path}{file_stamp(recording.path)}".encode("utf-8", "surrogateescape")).hexdigest()
        copy = self.folder / f"{stamp[:24]}.wav"
        with self._lock:
            if not copy.is_file():
                self._make_room()
                temporary = temporary_name(copy)
                try:
                    self.decoders.decode(recording.path, temporary, recording.name)
                    temporary.replace(copy)
                finally:
                    temporary.unlink(missing_ok=True)
        return copy, "audio/wav"

    def _make_room(self) -> None:
        """Remove the oldest copies."""
        copies = sorted(self.folder.glob("*.wav"), key=lambda file: file.stat().st_mtime)
        for old in copies[: max(0, len(copies) - MOST_COPIES + 1)]:
            with suppress(OSError):
                old.unlink()


def _is_played(path: Path) -> bool:
    """Return True if browsers decode what is inside. Raises AudioError for a file that is none."""
    with opened(path) as (decoder, _):
        return decoder.format.rpartition("/")[2].lower() in PLAYED
