"""What the plan assumes because it cannot be measured here, each with its source. Change them and run the plan again."""

from __future__ import annotations

from dataclasses import dataclass

GB = 1e9
HOUR = 3600.0


@dataclass(frozen=True)
class Gpus:
    """Machines with GPUs.

    peak              bf16 operations per second of a GPU, dense: NVIDIA's data sheets (H100 SXM 989e12, A100 312e12)
    utilisation       share of the peak that a step reaches. 0.35: somewhat below the 0.38 to 0.43 of Llama 3 ("The Llama 3 herd
                      of models", 2024, table 4), a larger network with longer sequences
    batch             crops of a micro-step at most; more are accumulated
    update            seconds of an update: 111 M weights are read and written about seven times (AdamW), 85 M three times (the
                      teacher), in float32 at 3.35e12 bytes per second (the same data sheet), rounded up
    step_overhead     seconds of a step at least, however few crops: kernels of about 1,500 operations at 10 microseconds each
    per_node          GPUs in a machine (NVIDIA DGX H100)
    cores             cores of a machine (DGX H100: two Xeon 8480C of 56 cores), as fast as those that were measured
    loaders           loader processes of a GPU: two for each of its cores, since they wait for the storage in between
    link_bytes        bytes per second through which a ring leaves a machine: eight cards of 400 Gbit/s, one ring each, at 80 %
    link_latency      seconds of a message between two ranks
    overlap           share of forward and backward during which gradients are exchanged (the backward pass is two thirds)
    last_bucket       share of the gradients that nothing hides: one of DDP's buckets of 25 MB, of 445 MB
    variation         standard deviation of the logarithm of a step's seconds
    slow_nodes        share of the machines that are always ...
    slow_by           ... slower by this factor
    node_mtbf         seconds between failures of a machine of eight GPUs: 419 unexpected interruptions of 16,384 GPUs in 54 days
                      (Llama 3, section 3.3.4)
    notice            seconds until a failure is noticed and a spare machine stands ready
    connect           seconds in which the ranks find each other
    gpu_hour          dollars; a stated price, no offer
    """

    peak: float = 989e12
    utilisation: float = 0.35
    batch: int = 256
    update: float = 0.002
    step_overhead: float = 0.015
    per_node: int = 8
    cores: int = 112
    link_bytes: float = 0.8 * 8 * 50 * GB
    link_latency: float = 5e-6
    overlap: float = 0.6
    last_bucket: float = 25 / 445
    variation: float = 0.01
    slow_nodes: float = 0.01
    slow_by: float = 1.1
    node_mtbf: float = 54 * 24 * HOUR * 16384 / 419 / 8
    notice: float = 300.0
    connect: float = 30.0
    gpu_hour: float = 3.0

    @property
    def loaders(self) -> int:
        """Loader processes of a GPU."""
        return 2 * self.cores // self.per_node


@dataclass(frozen=True)
class Storage:
    """A parallel file system, or an object store.

    total     bytes per second of all machines
    node      bytes per second of a machine at most
    latency   seconds until a request is answered
    """

    total: float = 50 * GB
    node: float = 10 * GB
    latency: float = 0.002


@dataclass(frozen=True)
class Form:
    """How recordings are stored.

    part      of the measured crops: whose processor seconds count
    second    bytes per second of sound: 16 kHz, 16 bits, one channel, FLAC at 55 %; MP3 and Ogg Vorbis at 64 kbit/s; log-mel of 80
              bands, 100 frames a second, in float32
    """

    part: str
    second: float


FORMS = {
    "log-mel": Form("npy", 80 * 100 * 4),
    "WAV": Form("wav", 32000),
    "FLAC": Form("flac", 0.55 * 32000),
    "MP3": Form("mp3", 8000),
    "Ogg": Form("ogg", 8000),
}


@dataclass(frozen=True)
class Corpus:
    """A corpus to pre-train on.

    rows            recordings in the manifest
    crops           that are learnt from in all
    row_seconds     of sound in a recording: a reader of a crop reads a recording of up to 1 MiB whole, of a longer one blocks
                    of 256 KiB (``data/stores/tar/ranges.py``)
    seeks           blocks that are read of a long recording: where the crop is looked for, and the crop
    """

    name: str
    rows: float
    crops: float
    row_seconds: float
    seeks: int = 3

    def is_long(self, form: Form) -> bool:
        """Return True if a recording is not read whole for a crop."""
        return self.row_seconds * form.second > 1 << 20

    def reads(self, form: Form) -> tuple[int, float]:
        """Return the requests for a crop and their bytes."""
        return (self.seeks, self.seeks * (1 << 18)) if self.is_long(form) else (1, self.row_seconds * form.second)


GPUS, STORAGE = Gpus(), Storage()
ROW_SECONDS, ROW_BYTES = (
    5.5e-6,
    270,
)  # of a recording in the manifest of a rank: ``benchmarks.sampler_scale``, its two largest sizes
CROP_FLOPS = 83.6e9  # M2D ViT-B, 80x608: ``auricle pretrain … --method m2d --dry-run``, forward and backward
PARAMETERS, TRAINED = 196_318_464, 111_262_464  # the same
BATCHES = (
    2048,
    32768,
)  # crops of a weight update: of the M2D paper, and what large training runs use (unproven for M2D)
NODES = (1, 2, 4, 8, 16, 32, 64, 128)
AUDIOSET = Corpus("AudioSet", 2_005_132, 300 * 2_005_132, 10.0)  # M2D's 300 epochs
MILLION_HOURS = Corpus("1 M hours", 1_000_000, 10 * 360e6, 3600.0)  # 10 crops of each 10 s, recordings of an hour


@dataclass(frozen=True)
class TagMachines:
    """Machines that tag.

    core_hour       dollars of a core; a stated price, no offer
    cores           of a machine
    bytes           per second of sound: compressed at 64 kbit/s
    recording       seconds of a recording; one request each
    variation       standard deviation of the logarithm of the speed of machines
    mtbf            seconds until a worker dies or its machine is taken away: once a day, as cheap machines that others may take
    replaced        seconds until another stands in its place
    per_shard       seconds of a shard besides: opening it, renaming what was written, asking for the next
    per_recording   seconds of a recording of a shard besides: a line of the shard's index
    """

    core_hour: float = 0.04
    cores: int = 64
    bytes: float = 8000.0
    recording: float = 10.0
    variation: float = 0.05
    mtbf: float = 24 * HOUR
    replaced: float = 120.0
    per_shard: float = 0.2
    per_recording: float = 5e-6


TAG_MACHINES = TagMachines()
WORKERS = (8, 16, 32, 64, 128, 256, 512, 1024)
SHARD_HOURS = (8, 16, 32, 64, 128, 256, 512, 977)  # 977: one shard per worker of 1,024
TAG_HOURS = 1e6
