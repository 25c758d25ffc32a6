"""The forms of tagging that ``benchmarks.tag`` compares, each served by a process of its own.

The process reads commands from stdin and answers each with one line of JSON: ``time`` tags one batch and says what it
cost, ``answer`` says the logits, ``matmul`` the rate of float32 matrix products. While it waits it uses no processor.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from auricle.audio.decode import read
from auricle.core.devices import tune_allocator
from auricle.exporting.formats import write_graph
from auricle.exporting.graph import trace
from auricle.exporting.runtimes import open_graph
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.efficientat.onednn import CALLS_BEFORE_GRAPH
from benchmarks.plain import efficientat_plain

SECONDS, RATE, FILE_RATE = 10.0, 32000, 44100
MATMUL = 2048


class Plain:
    """plain/efficientat_plain.py as it is."""

    def __init__(self, args: argparse.Namespace, wave: Tensor):
        self.mel, self.net = efficientat_plain.LogMel().eval(), plain_network(args, wave)

    def spectrogram(self, wave: Tensor) -> Tensor:
        return self.mel(wave).unsqueeze(1)

    def network(self, values: Tensor) -> Tensor:
        return self.net(values)[0]

    def whole(self, wave: Tensor) -> Tensor:
        return self.network(self.spectrogram(wave))

    once = whole


class Ours:
    """What ``auricle tag`` runs. ``once`` is a clip whose length has not come before; ``whole`` one of many."""

    def __init__(self, args: argparse.Namespace, wave: Tensor):
        tune_allocator()
        self.encoder = encoder_of(args, wave).for_inference()
        for _ in range(CALLS_BEFORE_GRAPH + 1):
            self.whole(wave)

    def spectrogram(self, wave: Tensor) -> Tensor:
        return self.encoder.frontend(wave).values

    def network(self, values: Tensor) -> Tensor:
        graphs = self.encoder.graphs  # type: ignore[union-attr]
        return graphs(self.encoder, values) if graphs else self.encoder.core(values).logits

    def once(self, wave: Tensor) -> Tensor:
        return self.encoder.core(self.spectrogram(wave)).logits

    def whole(self, wave: Tensor) -> Tensor:
        logits = self.encoder.logits(wave)
        assert logits is not None
        return logits


class Logits(nn.Module):
    """The network of an encoder alone: from a spectrogram to logits."""

    def __init__(self, encoder: MN | DyMN):
        super().__init__()
        self.encoder = encoder

    def forward(self, values: Tensor) -> Tensor:
        logits = self.encoder.core(values).logits
        assert logits is not None
        return logits


class Exported:
    """The graph of ``auricle export`` in its own runtime: any length and, for MN, any number of clips. It has no parts."""

    to = "onnx"

    def __init__(self, args: argparse.Namespace, wave: Tensor):
        dynamic = args.model.startswith("dymn")  # its kernels depend on the clip: a graph of one number of clips
        clips = len(wave) if dynamic else None
        graph = trace(encoder_of(args, wave).eval(), length=None, any_length=True, batch_size=clips, frames=False)
        with tempfile.TemporaryDirectory() as folder:
            write_graph(graph, self.to, Path(folder))
            self.run = open_graph(Path(folder), self.to, graph.description, threads=args.threads)

    def whole(self, wave: Tensor) -> Tensor:
        return torch.from_numpy(self.run({"wave": wave.numpy()})["logits"])


class ExportedOpenVINO(Exported):
    """The same in OpenVINO, with its float32 hint."""

    to = "openvino"


class ExportedNetwork:
    """The network alone in ONNX Runtime: a graph of one shape, from the spectrogram of our front end to logits."""

    def __init__(self, args: argparse.Namespace, wave: Tensor):
        self.encoder = encoder_of(args, wave).eval()
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
            file = Path(folder) / "network.onnx"
            program = torch.onnx.export(Logits(self.encoder), (self.spectrogram(wave),), dynamo=True, verbose=False)
            assert program is not None
            program.save(file)
            self.run = self.open(file, args.threads)

    def open(self, file: Path, threads: int) -> Callable[[Any], Any]:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads, 3
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda values: session.run(None, {session.get_inputs()[0].name: values})[0]

    def spectrogram(self, wave: Tensor) -> Tensor:
        return self.encoder.frontend(wave).values

    def network(self, values: Tensor) -> Tensor:
        return torch.from_numpy(self.run(values.numpy()))

    def whole(self, wave: Tensor) -> Tensor:
        return self.network(self.spectrogram(wave))


class ExportedNetworkOpenVINO(ExportedNetwork):
    """The same in OpenVINO, with its float32 hint."""

    def open(self, file: Path, threads: int) -> Callable[[Any], Any]:
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.compile_model(openvino.convert_model(file), "CPU", settings)
        return lambda values: compiled([values])[0].copy()


FORMS = {"plain": Plain, "auricle": Ours}
EXPORTED = {"onnx": Exported, "openvino": ExportedOpenVINO}
NETWORKS = {
    "onnx-network": ExportedNetwork,
    "openvino-network": ExportedNetworkOpenVINO,
}  # of EXPORTED, in processes of their own


def encoder_of(args: argparse.Namespace, wave: Tensor) -> MN | DyMN:
    """The encoder with the weights of the plain network."""
    plain, width = plain_network(args, wave), efficientat_plain.WIDTHS[args.model]
    dynamic = args.model.startswith("dymn")
    encoder = DyMN(DyMNConfig(width=width, temperature=1.0)) if dynamic else MN(MNConfig(width=width))
    encoder.load_state_dict({**plain.state_dict(), "norm_stats": encoder.norm_stats})
    return encoder


def plain_network(args: argparse.Namespace, wave: Tensor) -> nn.Module:
    """The plain network with the same weights in every process.

    Random ones get the batch statistics of the wave, or their maps would shrink to denormal numbers, which are slow.
    """
    torch.manual_seed(0)
    net = efficientat_plain.build(args.model, args.weights or None)
    if not args.weights:
        norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = 1.0
        net.train()(efficientat_plain.LogMel().eval()(wave).unsqueeze(1))
        net.eval()
    return net


def timed(clock: Callable[[], float], step: Callable[[], object]) -> tuple[float, object]:
    start = clock()
    result = step()
    return clock() - start, result


def costs(form: Any, wave: Tensor, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds of the whole call from waveform to logits, of its two parts, and of a single clip (``once``), where a form has them.

    One call before them is not timed: the other form's threads have just stopped, and ours sleep.
    """
    form.whole(wave)
    found = {"whole": timed(clock, lambda: form.whole(wave))[0]}
    if hasattr(form, "once"):
        found["once"] = timed(clock, lambda: form.once(wave))[0]
    if hasattr(form, "network"):
        found["mel"], values = timed(clock, lambda: form.spectrogram(wave))
        found["network"] = timed(clock, lambda: form.network(values))[0]
    return found


def matmul_rate(clock: Callable[[], float]) -> float:
    """Float32 operations a second of a large square product."""
    a, b = torch.ones(MATMUL, MATMUL), torch.ones(MATMUL, MATMUL)
    return 2 * MATMUL**3 / timed(clock, lambda: a @ b)[0]


def decode_seconds(clock: Callable[[], float]) -> float:
    """Reading a 10-s WAV file (24 bit, 44.1 kHz) and resampling it to 32 kHz."""
    import soundfile

    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        noise = 0.1 * torch.randn(int(SECONDS * FILE_RATE), generator=torch.Generator().manual_seed(0))
        soundfile.write(file.name, noise.numpy(), FILE_RATE, subtype="PCM_24")
        return timed(clock, lambda: read(file.name, rate=RATE))[0]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", default="mn04", choices=tuple(efficientat_plain.WIDTHS))
    parser.add_argument("--weights", default="", help="published weight file of that network (random weights without)")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clock", default="wall", choices=("wall", "cpu"), help="cpu: processor time of the process")


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("form", choices=(*FORMS, *EXPORTED, *NETWORKS))
    add_arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    clock = time.process_time if args.clock == "cpu" else time.perf_counter
    wave = 0.1 * torch.randn(args.batch, int(SECONDS * RATE), generator=torch.Generator().manual_seed(1))
    form: Any = (FORMS | EXPORTED | NETWORKS)[args.form](args, wave)
    for command in map(str.strip, sys.stdin):
        if command == "time":
            answer: object = costs(form, wave, clock)
        elif command == "answer":
            answer = form.whole(wave).tolist()
        else:
            answer = {"matmul": matmul_rate(clock), "decode": decode_seconds(clock)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
