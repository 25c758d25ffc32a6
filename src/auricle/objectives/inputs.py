"""From a batch to the raw spectrogram that an encoder expects."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from auricle.data.batch import Batch
from auricle.errors import AuricleError
from auricle.models.contract import Encoder


def spectrogram_of(batch: Batch, encoder: Encoder) -> Tensor:
    """(B, F, T) not normalised: the batch's own, or made from its audio by the encoder's front end.

    Raises AuricleError when the batch holds another front end's spectrogram or audio of another rate.
    """
    info = encoder.info
    if batch.spec is not None:
        if batch.front_end != info.front_end:
            raise AuricleError(
                f"{info.name} expects '{info.front_end}' spectrograms, the data hold '{batch.front_end}'"
            )
        return batch.spec.float()
    if batch.rate != info.sample_rate:
        raise AuricleError(f"{info.name} expects audio at {info.sample_rate} Hz, the data are at {batch.rate} Hz")
    assert batch.audio is not None
    return encoder.frontend(batch.audio, batch.lengths).values


def without_noise(batch: Batch) -> Batch:
    """The batch as it was before noise was mixed in."""
    if batch.clean is None:
        return batch
    if batch.audio is None:
        return replace(batch, spec=batch.clean, clean=None)
    return replace(batch, audio=batch.clean, clean=None)
