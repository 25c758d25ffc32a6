"""All published data sets by name. PyTorch is not imported here."""

from __future__ import annotations

from auricle.core.errors import AuricleError, nearest
from auricle.data.published import audioset, environmental, medical, music, speech, spoken
from auricle.data.published.base import PublishedDataset

DATASETS: dict[str, PublishedDataset] = {
    dataset.name: dataset
    for dataset in (
        environmental.ESC50,
        environmental.URBANSOUND8K,
        environmental.FSD50K,
        environmental.FSDNOISY18K,
        environmental.DCASE20,
        audioset.AUDIOSET,
        audioset.AUDIOSET_BALANCED,
        music.OPENMIC,
        music.GTZAN,
        music.NSYNTH,
        music.NSYNTH_PITCH,
        music.NSYNTH_VELOCITY,
        music.SURGE,
        speech.SPEECHCOMMANDS,
        speech.SPEECHCOMMANDS_V1,
        speech.CREMAD,
        speech.CREMAD_GENDER,
        speech.VOCALSOUND,
        speech.VOXFORGE,
        speech.VOXCELEB1,
        spoken.FLUENT,
        spoken.IEMOCAP,
        spoken.LIBRISPEECH,
        medical.ICBHI,
        medical.SPRSOUND,
        medical.SPRSOUND_INTRA,
        medical.CIRCOR,
        medical.CIRCOR_2,
        medical.CIRCOR_3,
    )
}


def published_dataset(name: str) -> PublishedDataset:
    """Return the data set of a name. Raises AuricleError, with the nearest names, for an unknown one."""
    if name not in DATASETS:
        raise AuricleError(f"there is no published data set '{name}'{nearest(name, tuple(DATASETS))}")
    return DATASETS[name]
