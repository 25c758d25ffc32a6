"""How many files of ``src/auricle`` a command enters from the command line's ``main`` to the network, and until it ends.

  python benchmarks/files_entered.py                                  this checkout
  python benchmarks/files_entered.py --package-root ../first --list   another checkout, with the names of the files

A file is entered when Python calls a function that is written in it. All modules of the package are imported before ``main``
is called, so that running a module's body does not count. The network begins where ``main`` first reaches a layer with
weights (a linear layer, a convolution or an embedding of ``torch.nn``). Each command has a process of its own, and does
all its work in it; its inputs are two generated recordings and the small files of ``tests/fixtures/first_edition``.
Nothing is timed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import threading
import wave
from array import array
from math import pi, sin
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "tests" / "fixtures" / "first_edition"
MODEL = str(FIXTURES / "weights" / "mn.safetensors")
SIZES = ["--max-updates", "2", "--warmup-updates", "1", "--workers", "0", "--precision", "float32", "--device", "cpu"]
# the command lines of a verb, newest grammar first: the first one that ends with exit code 0 is counted
LINES: dict[str, list[list[str]]] = {
    "tag": [["tag", "recordings", "--model", MODEL, "--device", "cpu"]],
    "embed": [["embed", "recordings", "--model", MODEL, "--out", "embeddings.npy", "--device", "cpu"]],
    "pretrain": [
        ["pretrain", "msm-mae", str(FIXTURES / "prepared"), "--preset", "small", "--out", "run", *SIZES],
    ],
}
LAYERS = ("/torch/nn/modules/linear.py", "/torch/nn/modules/conv.py", "/torch/nn/modules/sparse.py")


class Entered:
    """Collect the files of ``package`` in which a function is called, in order of the first call."""

    def __init__(self, package: Path):
        self.prefix = f"{package}{os.sep}"
        self.files: dict[str, None] = {}
        self.before_network: int | None = None

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        name = frame.f_code.co_filename
        if name.startswith(self.prefix):
            if frame.f_code.co_name != "<module>":
                self.files.setdefault(name.removeprefix(self.prefix))
        elif self.before_network is None and frame.f_code.co_name == "forward" and name.endswith(LAYERS):
            self.before_network = len(self.files)


def import_all(package: Any) -> None:
    """Import every module of the package; those that need an extra which is not installed are left out."""
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=lambda name: None):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)


def write_recordings(folder: Path, rate: int = 16000, seconds: float = 1.0) -> None:
    """Two tones as 16-bit WAV files."""
    folder.mkdir()
    for hertz in (300, 900):
        samples = array("h", (int(9000 * sin(2 * pi * hertz * i / rate)) for i in range(int(rate * seconds))))
        with wave.open(str(folder / f"{hertz}.wav"), "wb") as file:
            file.setparams((1, 2, rate, 0, "NONE", ""))
            file.writeframes(samples.tobytes())


def count(verb: str) -> dict[str, Any]:
    """Run one command in this process, in the current folder, and return the files it entered."""
    import auricle

    import_all(auricle)
    main = importlib.import_module("auricle.cli.main").main
    write_recordings(Path("recordings"))
    messages = ""
    for line in LINES[verb]:
        entered, output = Entered(Path(auricle.__file__).resolve().parent), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = run(main, line, entered)
        if code == 0:
            return {"line": line, "files": list(entered.files), "before_network": entered.before_network}
        messages += f"auricle {' '.join(line)}: {output.getvalue()}\n"
    raise SystemExit(f"no command line of '{verb}' ended with exit code 0:\n{messages}")


def run(main: Any, line: list[str], entered: Entered) -> int:
    threading.setprofile(entered)
    sys.setprofile(entered)
    try:
        return main(line)
    except SystemExit as stop:  # argparse leaves this way
        return int(stop.code or 0)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


def source_of(root: Path) -> Path:
    """The folder to import ``auricle`` from: ``src`` of a checkout, or the folder itself."""
    for folder in (root / "src", root):
        if (folder / "auricle" / "__init__.py").is_file():
            return folder.resolve()
    raise SystemExit(f"{root} holds neither auricle nor src/auricle; pass --package-root CHECKOUT")


def counted(verb: str, source: Path) -> dict[str, Any]:
    """``count`` in a process of its own, in an empty folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        places = {"PYTHONPATH": str(source), "AURICLE_CACHE": str(Path(folder) / "cache"), "AURICLE_OFFLINE": "1"}
        environment = {**os.environ, **places, "OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"}
        line = [sys.executable, str(Path(__file__).resolve()), "--count", verb]
        done = subprocess.run(line, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package-root", type=Path, default=ROOT, help="a checkout, or a folder that holds auricle/")
    parser.add_argument("--list", action="store_true", help="print the files, in the order in which they are entered")
    parser.add_argument("--verbs", nargs="+", choices=LINES, default=list(LINES))
    parser.add_argument("--count", choices=LINES, help=argparse.SUPPRESS)  # this process is the one that is counted
    args = parser.parse_args()
    if args.count:
        print(json.dumps(count(args.count)))
        return
    source = source_of(args.package_root)
    print("| verb | files to the network | files in all |\n| --- | --- | --- |")
    found = {verb: counted(verb, source) for verb in args.verbs}
    for verb, result in found.items():
        print(f"| {verb} | {result['before_network']} | {len(result['files'])} |")
    for verb, result in found.items() if args.list else ():
        print(f"\n{verb}")
        for number, file in enumerate(result["files"]):
            print(f"{'  (the network)' + chr(10) if number == result['before_network'] else ''}  {file}")


if __name__ == "__main__":
    main()
