"""What is known of the sound and the machine: as told, counted, or looked up."""

from __future__ import annotations

from auricle.jobs.advice import ASSUMED_SECONDS, UNKNOWN_MEMORY, AdviseConfig, Facts, Machine, kind_of


def facts_of(config: AdviseConfig, quiet: bool = True) -> Facts:
    """What was said, what the source shows, and what follows from both."""
    clips, hours, seconds = config.clips, config.hours, config.clip_seconds
    if config.source and not (clips and hours):
        counted, lasting = count(config.source, quiet)
        clips, hours = clips or counted, hours or lasting / 3600
    assumed = bool(hours and not clips and not seconds)
    if not clips and hours:
        seconds = seconds or ASSUMED_SECONDS
        clips = round(hours * 3600 / seconds)
    hours = hours or clips * seconds / 3600
    seconds = seconds or (3600 * hours / clips if clips else 0.0)
    return Facts(kind_of(config.domain), clips, hours, seconds, assumed)


def count(source: str, quiet: bool) -> tuple[int, float]:
    """Clips of a source and their seconds in all. Raises AuricleError for what cannot be read."""
    import warnings

    from auricle.data.lengths import with_lengths
    from auricle.data.manifest import ManifestWarning
    from auricle.data.manifest_io import read_manifest
    from auricle.data.stores import front_end_of, open_array
    from auricle.signal.front_ends import front_end

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ManifestWarning)
        manifest = read_manifest(source)
    if all(clip.seconds is not None for clip in manifest):
        return len(manifest), sum(clip.seconds or 0.0 for clip in manifest)
    if manifest.clips[0].key is not None:
        hop = front_end(front_end_of(manifest)).hop_seconds
        return len(manifest), hop * sum(open_array(manifest.spectrogram(clip)).shape[1] for clip in manifest)
    manifest = with_lengths(manifest, quiet)
    return len(manifest), sum(clip.seconds or 0.0 for clip in manifest)


def machine_of(config: AdviseConfig) -> Machine:
    """As described; what was not is looked up here."""
    if config.gpus >= 0 and config.gpu_memory and config.measure == "no":
        return Machine(config.gpus, config.gpu_memory, here=False, known=True)
    import torch

    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30 if here else 0.0
    gpus = here if config.gpus < 0 else config.gpus
    return Machine(gpus, config.gpu_memory or memory or UNKNOWN_MEMORY, here > 0, bool(config.gpu_memory or memory))
