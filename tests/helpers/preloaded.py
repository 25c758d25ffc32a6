"""Commands that start at once: ``auricle`` and ``python`` in a folder for PATH, forks of a process that has imported PyTorch.

A fresh process spends two seconds of the processor on imports, and the pages of the documentation start two hundred. Here a small
program sends its command line, folder, environment and open files to a server, which forks: the child runs the line as Python would
(``-m``, ``-c``, a file). Signals to the program reach the child, SIGKILL too. What happens while modules are imported (the choice
of threads, Ctrl-C) is not covered, and the child is in the process group of the server; ``tests/cli/`` starts true processes.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from helpers.paths import TESTS
from helpers.patience import PATIENCE

IMPORTED = (
    "auricle", "auricle.cli.main", "auricle.detectors.files", "auricle.inference.tagger", "auricle.inference.embedder",
    "auricle.training.run", "auricle.training.sharding", "auricle.evaluation", "torch.distributed.run",
    "torch._dynamo.trace_rules", "sklearn.linear_model", "scipy.optimize", "matplotlib.pyplot",
)  # fmt: skip

MOST_FILES = 200  # open ones of a program

PROGRAM = """\
#!{python} -IS
import json, os, signal, socket, sys
words = {words!r} + sys.argv[1:]
files = []
for number in map(int, os.listdir("/dev/fd")):
    try:
        os.fstat(number)
    except OSError:
        continue
    files.append(number)
line = json.dumps([words, os.getcwd(), dict(os.environ), files]).encode()
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
socket.send_fds(server, [len(line).to_bytes(8, "little")], files)
server.sendall(line)
answers = server.makefile("r")
child = int(answers.readline())
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, lambda number, frame: os.kill(child, number))
code = int(answers.readline() or 1)
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if -code != signal.SIGKILL else None
    os.kill(os.getpid(), -code)
os._exit(code)
"""


@contextlib.contextmanager
def preloaded(folder: Path) -> Iterator[Path]:
    """Start the server and yield a folder with the programs ``auricle`` and ``python``."""
    address, programs = str(folder / "server"), folder / "bin"
    programs.mkdir(parents=True)
    for name, words in (("auricle", ["-m", "auricle"]), ("python", [])):
        program = programs / name
        program.write_text(PROGRAM.format(python=sys.executable, words=words, address=address), encoding="utf-8")
        program.chmod(0o755)
    places = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive", "PYTHONPATH": places}
    server = subprocess.Popen(
        [sys.executable, "-m", "helpers.preloaded", address], env=environment, stdout=subprocess.PIPE
    )
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        yield programs
    finally:
        server.terminate()
        server.wait(PATIENCE)


# ---- the server
def _import_all() -> None:
    for name in IMPORTED:
        with contextlib.suppress(ImportError):  # an extra that is not installed
            __import__(name)
    import torch

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()  # a fork would copy every page that its garbage collector touches


def _next_request(address: str) -> tuple[list[str], str, dict[str, str]]:
    """Serve until a fork has something to run; return that, in the fork."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        listening.settimeout(10.0)
        print("ready", flush=True)
        parent = os.getppid()
        while True:
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                if os.getppid() == parent:
                    continue
                os._exit(0)  # whoever started the server was killed
            if os.fork():
                connection.close()
                continue
            listening.close()
            size, received, *_ = socket.recv_fds(connection, 8, MOST_FILES)
            with connection.makefile("rb") as file:
                words, folder, environment, files = json.loads(file.read(int.from_bytes(size, "little")))
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            child = os.fork()
            if child == 0:
                connection.close()
                _take(received, files)
                return words, folder, environment
            for file in received:
                os.close(file)
            with contextlib.suppress(OSError):  # the program was killed
                connection.sendall(f"{child}\n".encode())
                threading.Thread(target=_kill_with, args=(connection, child), daemon=True).start()
                ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)  # a zombie: its number is not given away
                assert ended is not None
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
                connection.sendall(f"{code}\n".encode())
            os._exit(0)


def _kill_with(connection: socket.socket, child: int) -> None:
    """Kill the child when the program is gone: it was killed, and nobody will read the child's answers."""
    with contextlib.suppress(OSError):
        connection.recv(1)
        os.kill(child, signal.SIGKILL)


def _take(received: list[int], wanted: list[int]) -> None:
    """Give received files the numbers that they have in the program."""
    aside = [fcntl.fcntl(file, fcntl.F_DUPFD, max(wanted) + 1) for file in received]
    for file in received:
        os.close(file)
    for file, number in zip(aside, wanted, strict=True):
        os.dup2(file, number)
        os.close(file)


def _run(words: list[str], folder: str, environment: dict[str, str]) -> None:
    """Run a command line of Python in this process."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.orig_argv = [sys.executable, *words]
    sys.path[:] = [place for place in sys.path if place != str(TESTS)]
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[0:0] = [place for place in given if place and place not in sys.path]
    if words[0] == "-B":  # of a worker whose parent writes no bytecode: the server does as its environment says
        words = words[1:]
    if words[0] == "-u":
        sys.stdout.reconfigure(write_through=True)  # type: ignore[union-attr]
        words = words[1:]
    if words[0] == "-m":
        sys.argv, sys.path[0:0] = words[1:], [folder]
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    elif words[0] == "-c":
        sys.argv, sys.path[0:0] = ["-c", *words[2:]], [""]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(words[1], "<string>", "exec"), main.__dict__)
    elif not words[0].startswith("-"):
        sys.argv, sys.path[0:0] = words, [str(Path(words[0]).resolve().parent)]
        runpy.run_path(words[0], run_name="__main__")
    else:
        os.execv(sys.executable, [sys.executable, *words])


def _end(code: object) -> NoReturn:
    """End this process as ``sys.exit(code)`` does, but leave the modules as they are: taking them down lasts a second."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if isinstance(code, str):
        print(code, file=sys.stderr)
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or nobody reads
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    _import_all()
    request = _next_request(sys.argv[1])
    try:
        _run(*request)
    except SystemExit as end:
        _end(end.code)
    except Exception:
        traceback.print_exc()
        _end(1)
    _end(None)


if __name__ == "__main__":
    main()
