"""What a bundle for the browser holds beside the graph: the page, the runtime, and a README."""

from __future__ import annotations

import shutil
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from auricle.core.errors import AuricleError
from auricle.core.io import write_text
from auricle.core.page_parts import SUFFIXES, shared_parts
from auricle.exporting.description import Description
from auricle.exporting.web.runtime_files import RuntimeFiles

if TYPE_CHECKING:
    from auricle.models.info import EncoderInfo

README = """# {model}, a page that tags sound in the browser

Put this folder on any web server: it holds plain files alone. The graph runs in the visitor's browser, and no sound leaves it. To
try it:

    python3 -m http.server --bind 127.0.0.1 8000

and open http://127.0.0.1:8000. Opened without a server (file://) a browser runs no such page. A microphone is given to pages from
https addresses and from localhost alone.

- `index.html`, `page/`: the page, plain modules without a build step.
- `model.onnx`: the graph, a waveform at {rate} Hz in. The front end (`{front_end}`) is inside.
- `labels.json`: classes with ids, names, thresholds and background, and what the graph takes and gives.
- `runtime/`: onnxruntime-web {version} (WebAssembly, one thread), with its licence.
- `certificate.md`, `certificate.json`: differences from the source in PyTorch, measured with onnxruntime. The page replays the
  golden clips (`golden.npz`) in the browser on request.

The page needs Chrome or Edge 105, Firefox 121 or Safari 16.4, or later versions; chromium and
Firefox 153 were tried. Recordings of up to 30 minutes are taken; `auricle tag` takes any length.

Licence of the weights: {licence}. Source: {source}.
"""


def check_classes(info: EncoderInfo) -> None:
    """Raise AuricleError if a model has nothing that a page could show."""
    if not any(space is not None for space in info.label_spaces):
        raise AuricleError(f"{info.name} has no classes, and the page shows classes; --to onnx exports its embeddings")


def write_page(folder: Path, description: Description, runtime: RuntimeFiles) -> None:
    """Write ``index.html``, ``page/``, ``runtime/`` and ``README.md`` into the folder of a bundle."""
    own = files("auricle.exporting.web")
    for name in ("page", "runtime"):
        (folder / name).mkdir()
    for source in [*shared_parts(), *(own / "page").iterdir()]:
        if source.name.endswith(SUFFIXES):
            write_text(folder / "page" / source.name, source.read_text(encoding="utf-8"))
    write_text(folder / "index.html", (own / "page" / "index.html").read_text(encoding="utf-8"))
    for name, file in runtime.files.items():  # .mjs is unknown to some servers, and a module of unknown type is refused
        shutil.copyfile(file, folder / "runtime" / name.replace(".mjs", ".js"))
    licence = (own / "LICENSE-onnxruntime-web.txt").read_text(encoding="utf-8")
    write_text(folder / "runtime" / "LICENSE.txt", licence)
    values = {
        "model": description.model,
        "rate": description.sample_rate,
        "front_end": description.front_end,
        "version": runtime.version,
        "licence": description.licence,
        "source": description.source or "not stated",
    }
    write_text(folder / "README.md", README.format(**values))
