"""The blocks of README and of every page of the documentation run as they are written, block by block.

A page starts with the files that ``docs/examples.md`` makes; the tutorial and the task pages start in an empty folder. A block that
cannot run here has a line ``<!-- not run: REASON -->`` above it. The pages that everybody starts with run true processes, the
others forks of one that has imported PyTorch.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from auricle.data.audioset import audioset_classes
from auricle.hub.weight_file import save_encoder
from auricle.models.efficientat.config import DyMNConfig, MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from helpers.paths import SHARED

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
EXAMPLES = DOCS / "examples.md"
FROM_EMPTY = [DOCS / "tutorial.md", *sorted((DOCS / "tasks").glob("*.md"))]
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TRUE_PROCESSES = [ROOT / "README.md", DOCS / "tutorial.md", DOCS / "shared-machines.md"]
PUBLISHED = SHARED / "weights" / "mn04_as_mAP_432.pt"
BLOCK = re.compile(r"^(?:<!-- not run: (\S[^\n]*) -->\n)?```(\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"bash", "python"}
SHOWN = {"text", "yaml", "json", "kotlin", "swift"}  # output, drawings, files, apps of phones: nothing to run


class Block(NamedTuple):
    reason: str  # why it is not run, or ""
    language: str
    code: str


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    return [Block(*found) for found in BLOCK.findall(page.read_text(encoding="utf-8"))]


RUN = [
    page
    for page in PAGES
    if page != EXAMPLES and any(b.language in LANGUAGES and not b.reason for b in blocks_of(page))
]


def relative(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def keep_weights(cache: Path) -> None:
    """Put three taggers where downloads would leave them: mn04_as as published if it is here, else random weights."""
    weights = cache / "weights"
    (weights / "published").mkdir(parents=True)
    networks = {
        "mn04_as": MN(
            MNConfig(width=0.4, num_classes=527), classes=audioset_classes(), label_type="multilabel", seed=0
        ),
        "dymn04_as": DyMN(
            DyMNConfig(width=0.4, num_classes=527), classes=audioset_classes(), label_type="multilabel", seed=0
        ),
    }
    for name, network in networks.items():
        if name == "mn04_as" and PUBLISHED.is_file():
            shutil.copy(PUBLISHED, weights / "published")
        else:
            network.update_info(name=name)
            save_encoder(network, weights / f"{name}.safetensors")


def run_blocks(page: Path, folder: Path, cache: Path, programs: Path | None = None) -> None:
    """Run the blocks of a page in a folder, one after the other; ``programs``: a folder that comes first in PATH."""
    keep_weights(cache)
    python = str(programs / "python") if programs else sys.executable
    path = os.pathsep.join(
        [*([str(programs)] if programs else []), str(Path(sys.executable).parent), os.environ["PATH"]]
    )
    environment = {**os.environ, "PATH": path, "AURICLE_CACHE": str(cache), "AURICLE_OFFLINE": "1"}
    for reason, language, code in blocks_of(page):
        if reason or language not in LANGUAGES:
            continue
        command = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [python, "-c"]
        result = subprocess.run([*command, code], cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{code}\n{result.stdout[-2000:]}\n{result.stderr[-3000:]}"
        assert "old spelling" not in result.stderr, f"{code}\nuses an old spelling: {result.stderr[-500:]}"


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the examples use."""
    folder = tmp_path_factory.mktemp("examples")
    run_blocks(EXAMPLES, folder, tmp_path_factory.mktemp("cache") / "auricle")
    return folder


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_every_block_runs_or_shows_something(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    blocks = blocks_of(page)
    assert len(blocks) == len(re.findall(r"^```", text, re.MULTILINE)) // 2
    assert {block.language for block in blocks} <= LANGUAGES | SHOWN
    shown = [block.code for block in blocks if block.language in SHOWN]
    assert not [code for code in shown if re.search(r"^(\$ |auricle [a-z])", code, re.MULTILINE)], "commands are bash"
    assert text.count("<!-- not run") == sum(bool(block.reason) for block in blocks), "a reason stands above a block"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUN, ids=relative)
def test_blocks_run_as_written(page: Path, examples: Path, programs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    if page in FROM_EMPTY:
        folder.mkdir()
    else:
        shutil.copytree(examples, folder)
    run_blocks(page, folder, tmp_path / "cache", None if page in TRUE_PROCESSES else programs)
