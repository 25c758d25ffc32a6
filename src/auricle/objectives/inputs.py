"""From a batch to the raw spectrogram that an encoder expects."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from auricle.data.batch import Batch
from auricle.errors import AuricleError
from auricle.models.contract import Encoder, Spec


def spectrogram_of(batch: Batch, encoder: Encoder) -> Tensor:
    """(B, F, T) not normalised; see ``spec_of``."""
    return spec_of(batch, encoder).values


def spec_of(batch: Batch, encoder: Encoder) -> Spec:
    """The batch's own spectrogram, or made from its audio by the encoder's front end; not normalised.

    Raises AuricleError when the batch holds another front end's spectrogram or audio of another rate.
    """
    info = encoder.info
    if batch.spec is not None:
        if batch.front_end != info.front_end:
            raise AuricleError(
                f"{info.name} expects '{info.front_end}' spectrograms, the data hold '{batch.front_end}'"
            )
        return Spec(batch.spec.float(), batch.lengths, encoder.front.hop_seconds, info.front_end)
    if batch.rate != info.sample_rate:
        raise AuricleError(f"{info.name} expects audio at {info.sample_rate} Hz, the data are at {batch.rate} Hz")
    assert batch.audio is not None
    return encoder.frontend(batch.audio, batch.lengths)


def without_noise(batch: Batch) -> Batch:
    """The batch as it was before noise was mixed in."""
    if batch.clean is None:
        return batch
    if batch.audio is None:
        return replace(batch, spec=batch.clean, clean=None)
    return replace(batch, audio=batch.clean, clean=None)
