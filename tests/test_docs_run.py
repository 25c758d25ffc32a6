"""The tutorial and the task pages run as they are written, block by block, in one empty folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auricle.data.audioset import audioset_classes
from auricle.hub.weight_file import save_encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from helpers.paths import SHARED

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "tasks").glob("*.md"))]
PUBLISHED = SHARED / "weights" / "mn04_as_mAP_432.pt"
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def keep_weights(cache: Path) -> None:
    """Put mn04_as where a download would leave it: the published file if it is here, else random weights."""
    weights = cache / "weights"
    (weights / "published").mkdir(parents=True)
    if PUBLISHED.is_file():
        shutil.copy(PUBLISHED, weights / "published")
    else:
        network = MN(MNConfig(width=0.4, num_classes=527), classes=audioset_classes(), label_type="multilabel", seed=0)
        save_encoder(network, weights / "mn04_as.safetensors")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_the_page_runs(page: Path, tmp_path: Path) -> None:
    cache, folder = tmp_path / "cache", tmp_path / "folder"
    folder.mkdir()
    keep_weights(cache)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "AURICLE_CACHE": str(cache), "AURICLE_OFFLINE": "1"}
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    assert blocks, "the page shows no command that runs"
    for language, code in blocks:
        command = ["bash", "-euo", "pipefail", "-c"] if language == "bash" else [sys.executable, "-c"]
        result = subprocess.run([*command, code], cwd=folder, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"{code}\n{result.stdout[-2000:]}\n{result.stderr[-3000:]}"
        assert "old spelling" not in result.stderr, f"{code}\nuses an old spelling: {result.stderr[-500:]}"
