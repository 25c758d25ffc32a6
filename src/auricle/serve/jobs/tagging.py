"""The jobs that label recordings: one model over several, and two models over one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from auricle.audio.sources import AudioSource
from auricle.core.console import clock
from auricle.core.errors import AuricleError
from auricle.core.io import file_stamp
from auricle.inference.pipeline import LONG_SECONDS
from auricle.inference.tag_results import Failure
from auricle.inference.tagger import Tagger
from auricle.serve.jobs.jobs import JobHandle
from auricle.serve.jobs.results import SCORED, ResultStore, TaggedRecording, lanes_of, shortened
from auricle.serve.library import Library, ServedRecording
from auricle.serve.sessions import Models
from auricle.serve.settings import WINDOW

LARGEST_SCORED = 400_000  # labels of all windows of a recording, so that memory stays bounded
LEAST_SCORED = 10


@dataclass(frozen=True)
class TagWork:
    """Labels recordings of the library and keeps the results."""

    library: Library
    models: Models
    results: ResultStore

    def tag(self, handle: JobHandle) -> dict[str, Any]:
        """Label the recordings of a job; those that it had finished before the server was stopped are not read again.

        Returns:
            {"recordings": [{"recording", "model", "error"}]}; ``error`` is None for those that were labelled.

        Raises:
            AuricleError: the model cannot tag, or none of several recordings could be read.
        """
        settings = handle.settings
        ids, outcomes = settings["recordings"], []
        for number, id in enumerate(ids):
            error = self._labelled(handle, id, settings["model"], number, len(ids))
            outcomes.append({"recording": id, "model": settings["model"], "error": error})
            handle.add(outcomes[-1])
        failed = [outcome["error"] for outcome in outcomes if outcome["error"]]
        if len(failed) == len(ids):
            raise AuricleError(
                failed[0] if len(failed) == 1 else f"none of {len(failed)} recordings could be read: {failed[0]}"
            )
        return {"recordings": outcomes}

    def compare(self, handle: JobHandle) -> dict[str, Any]:
        """Label one recording with two models.

        Returns:
            {"recording", "models", "labels": [{"label", "scores": [of the first, of the second]}]}; a score of None: the
            model does not have the class, or it is not among its likeliest ones.
        """
        id, names = handle.settings["recording"], handle.settings["models"]
        for number, name in enumerate(names):
            if error := self._labelled(handle, id, name, number, len(names)):
                raise AuricleError(error)
            handle.add({"recording": id, "model": name, "error": None})
        found = [self.results.get(id, self.models.get(name).key) for name in names]
        scores = [{tag.label: tag.score for tag in result.tags.with_heads_joined().tags} for result in found if result]
        labels = dict.fromkeys(label for part in scores for label in part)
        rows = [(label, [part.get(label) for part in scores]) for label in labels]
        rows.sort(key=lambda row: -max(score for score in row[1] if score is not None))
        shown = [{"label": label, "scores": values} for label, values in rows]
        return {"recording": id, "models": names, "labels": shown}

    def _labelled(self, handle: JobHandle, id: str, model: str, number: int, count: int) -> str | None:
        """Label one recording and keep the result. Return why it could not be read; None if all went well."""
        handle.progress(number / count)
        try:
            recording = self.library.get(id)
        except AuricleError as error:  # removed since
            return str(error)
        settings = handle.settings
        window, hop = settings.get("window"), settings.get("hop")
        tagger = self.models.tagger(model, window=window, hop=hop, top_k=_labels_for(recording, window, hop))
        earlier = self.results.get(id, self.models.get(model).key)
        if earlier is not None and self._is_current(earlier, tagger, recording):
            return None
        stamp = file_stamp(recording.path)

        def on_windows(source: AudioSource, seconds: float) -> None:
            total = recording.seconds or 0.0
            part = min(seconds / total, 1.0) if total else 0.0
            text = f"{recording.name} {clock(seconds)}" if total > LONG_SECONDS else recording.name
            handle.progress((number + part) / count, text)

        outcome = next(
            tagger.iterate([AudioSource(recording.name, recording.path, recording.name)], on_windows=on_windows)
        )
        if isinstance(outcome, Failure):
            return outcome.error.replace(str(recording.path), recording.name)
        notes = tuple(note.replace(str(recording.path), recording.name) for note in outcome.notes)
        if file_stamp(recording.path) != stamp:
            return f"{recording.name}: the file changed while it was read; ask again"
        window, hop = tagger.settings.window_seconds
        result = TaggedRecording(
            recording=id,
            model=model,
            fingerprint=self.models.get(model).fingerprint,
            window=window,
            hop=hop,
            tags=replace(shortened(outcome), notes=notes),
            lanes=lanes_of(outcome, tagger),
            nyquist=tagger.info.sample_rate / 2,
            stamp=stamp,
        )
        self.results.put(result)
        return None

    def _is_current(self, result: TaggedRecording, tagger: Tagger, recording: ServedRecording) -> bool:
        same_windows = (result.window, result.hop) == tagger.settings.window_seconds
        return same_windows and result.stamp is not None and result.stamp == file_stamp(recording.path)


def _labels_for(recording: ServedRecording, window: float | None, hop: float | None) -> int:
    """How many labels a window keeps until the lanes are made: SCORED, fewer of a very long recording."""
    step = hop or (window or WINDOW) / 2
    windows = max(1.0, (recording.seconds or 0.0) / step)
    return int(max(LEAST_SCORED, min(SCORED, LARGEST_SCORED / windows)))
