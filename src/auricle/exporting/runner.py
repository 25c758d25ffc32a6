"""The files of a bundle for people: ``run.py``, which needs the runtime and NumPy alone, and ``README.md``."""

from __future__ import annotations

from typing import NamedTuple

from auricle.exporting.description import Description


class RuntimeCall(NamedTuple):
    """How ``run.py`` opens a graph.

    Attributes:
        package: as pip knows it.
        module: what is imported.
        open: the line that opens the graph.
        run: gives the outputs for ``inputs``, in the order of ``names``.
    """

    package: str
    module: str
    open: str
    run: str


OPENED = {
    "litert": RuntimeCall(
        "ai-edge-litert",
        "ai_edge_litert.interpreter",
        'call = ai_edge_litert.interpreter.Interpreter(str(here / "model.tflite")).get_signature_runner()',
        'map(call(**{k: v.astype("f4" if k == "wave" else "i4") for k, v in inputs.items()}).get, names)',
    ),
    "onnx": RuntimeCall(
        "onnxruntime",
        "onnxruntime",
        'session = onnxruntime.InferenceSession(str(here / "model.onnx"), providers=["CPUExecutionProvider"])',
        "session.run(None, inputs)",
    ),
    "openvino": RuntimeCall(
        "openvino",
        "openvino",
        'float32 = {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0}\n'
        'model = openvino.compile_model(str(here / "model.xml"), "CPU", float32)',
        "list(model(inputs).values())",
    ),
    "torch": RuntimeCall(
        "torch",
        "torch",
        'model = torch.export.load(here / "model.pt2").module(check_guards=False)',
        "[value.detach().numpy() for value in model(*map(torch.from_numpy, inputs.values()))]",
    ),
}

RUN = '''"""Tag a 16-bit WAV file: python run.py RECORDING.wav. It needs numpy and {package} alone."""
import json, sys, wave
from pathlib import Path
import numpy as np
import {module}

here = Path(__file__).resolve().parent
info = json.loads((here / "labels.json").read_text(encoding="utf-8"))
if len(sys.argv) != 2:
    sys.exit(__doc__)
try:
    file = wave.open(sys.argv[1])
except (OSError, EOFError, wave.Error) as error:
    sys.exit(f"{{sys.argv[1]}}: expected a WAV file of 16-bit samples: {{str(error) or 'the file is empty'}}")
{open}
with file:
    if (file.getframerate(), file.getsampwidth()) != (info["sample_rate"], 2):
        sys.exit(f"expected 16-bit samples at {{info['sample_rate']}} Hz, got {{file.getparams()}}")
    samples = np.frombuffer(file.readframes(-1), "<i2").reshape(-1, file.getnchannels())
sound, size, least = samples.mean(1, dtype=np.float32) / 32768, info["window_samples"], info["samples"] or info["min_samples"]
names = [name for head in info["heads"] for name in (head["scores"], head["logits"])] + ["embedding"]
windows, clips = [], info["batch_size"] or 1
for first in range(0, max(1, len(sound)), size):  # the last window is moved back to the end
    start = max(0, min(first, len(sound) - size))
    own = sound[start : start + size]
    inputs = {{"wave": np.repeat(np.pad(own, (0, max(0, least - len(own))))[None], clips, axis=0)}}
    if info["takes_samples"]:
        inputs["samples"] = np.full(clips, max(len(own), info["min_samples"]))
    windows.append(dict(zip(names, {run})))
for head in info["heads"]:
    space, rows = head["label_space"], np.stack([window[head["scores"]][0] for window in windows])
    one, scores = space["kind"] == "multiclass", rows.max(0)
    there = rows >= np.array(space["thresholds"] or [0.0 if one else 0.5] * len(scores), np.float32)
    if one:  # of classes that exclude each other, the likeliest one of a window can be there
        there &= rows == rows.max(1, keepdims=True)
    shown = [c for c in np.argsort(-scores, kind="stable") if space["ids"][c] not in space["background"]][:10]
    for c in shown:  # * marks what some window decides to be there
        print(f"{{scores[c]:.6f}} {{'*' if there[:, c].any() else ' '}} {{space['names'][c]}}")
if not info["heads"]:
    print(json.dumps(np.mean([window["embedding"][0] for window in windows], axis=0).tolist()))
'''

README = """# {model}, exported to {to}

One graph: a waveform at {rate} Hz in, {outputs} out. The front end (`{front_end}`) is inside.

- `python run.py RECORDING.wav` tags a 16-bit WAV file at {rate} Hz. It needs `numpy` and `{package}`, and no other package.
- `labels.json`: classes with ids, names, thresholds and background, and what the graph takes and gives.
- `certificate.md`, `certificate.json`: differences from the source in PyTorch, sizes, times, checksums.
- `golden.npz`: what `auricle export --verify FOLDER` replays.

Input `wave`: (clips, samples) float32 in [-1, 1], {length}. Scores are calibrated probabilities; logits are not calibrated.

Licence of the weights: {licence}. Source: {source}.
"""


def runner(to: str) -> str:
    """Return ``run.py`` for a format."""
    return RUN.format(**OPENED[to]._asdict())


def readme(to: str, description: Description) -> str:
    """Return ``README.md`` of a bundle."""
    if description.samples is None:
        length = f"{description.min_samples} samples or more"
    else:
        length = f"{description.samples} samples"
        if description.takes_samples:
            integer = "int32" if to == "litert" else "int64"
            length += f", zero-padded; `samples` (clips,) {integer} is how many of them are the clip's own"
    return README.format(
        model=description.model,
        to=to,
        rate=description.sample_rate,
        outputs=", ".join(f"`{name}`" for name in description.outputs),
        front_end=description.front_end,
        package=OPENED[to].package,
        length=length,
        licence=description.licence,
        source=description.source or "not stated",
    )
