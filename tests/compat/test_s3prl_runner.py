"""Our upstreams in s3prl's own hub, featurizer and runner. Opt-in: AURICLE_S3PRL_PYTHON names a Python that has s3prl 0.4.18.

python -m venv s3prl && s3prl/bin/pip install -e . s3prl==0.4.18 tensorboardX catalyst
AURICLE_S3PRL_PYTHON=s3prl/bin/python python -m pytest tests/compat/test_s3prl_runner.py
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml

from helpers.paths import GOLDEN, ROOT, TESTS
from helpers.sounds import tone, write_sound

PYTHON = os.environ.get("AURICLE_S3PRL_PYTHON", "")
pytestmark = [
    pytest.mark.skipif(not PYTHON, reason="AURICLE_S3PRL_PYTHON names no Python that has s3prl"),
    pytest.mark.slow,
]
PROGRAM = TESTS / "helpers/s3prl_program.py"
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
WEIGHTS = next((GOLDEN / "m2d/checkpoints/m2d_s_vit_base-80x60p80x2-golden").glob("*.pth"))
STEPS = 60


def s3prl(*words: str, where: Path) -> str:
    """Run a program in the Python that has s3prl and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "src", TESTS))), "AURICLE_OFFLINE": "1"}
    done = subprocess.run([PYTHON, *words], cwd=where, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def speakers(part: str) -> Iterator[str]:
    """Yield names of speakers whom s3prl puts into a part: by a hash of the name, a tenth validates and a tenth is left out."""
    for number in range(1000):
        share = int(hashlib.sha1(f"s{number}".encode()).hexdigest(), 16) % 2**27 * (100 / (2**27 - 1))
        if (share < 10) if part == "valid" else (share >= 20):
            yield f"s{number}"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Tones in the layout of Speech Commands (12 classes, a pitch each) and of its test archive, and s3prl's settings."""
    folder = tmp_path_factory.mktemp("s3prl")
    for number, word in enumerate((*WORDS, "bird")):
        train, valid = speakers("train"), speakers("valid")
        names = [next(train) for _ in range(8)] + [next(valid) for _ in range(2)]
        for i, name in enumerate(names):
            seconds = 0.6 + 0.04 * i  # of several lengths
            sound = tone(seconds, 16000, 200.0 * 1.4**number, seed=i)
            write_sound(folder / f"train/{word}/{name}_nohash_0.wav", sound)
            if i < 3:
                kept = "_unknown_" if word == "bird" else word
                write_sound(folder / f"test/{kept}/{name}.wav", tone(0.9, 16000, 200.0 * 1.4**number, seed=50 + i))
    hiss = 0.1 * np.random.default_rng(0).standard_normal(16000 * 4).astype(np.float32)
    write_sound(folder / "train/_background_noise_/hiss.wav", hiss)
    for i in range(3):
        write_sound(folder / f"test/_silence_/{i}.wav", hiss[16000 * i : 16000 * (i + 1)])
    settings = {
        "runner": {
            "total_steps": STEPS, "gradient_clipping": 1, "gradient_accumulate_steps": 1, "log_step": 20, "eval_step": STEPS // 2,
            "save_step": STEPS, "max_keep": 1, "eval_dataloaders": ["dev", "test"],
        },
        "optimizer": {"name": "Adam", "lr": 0.01},
        "downstream_expert": {
            "datarc": {
                "speech_commands_root": str(folder / "train"), "speech_commands_test_root": str(folder / "test"),
                "num_workers": 0, "batch_size": 16,
            },
            "modelrc": {
                "projector_dim": 64, "select": "UtteranceLevel",
                "UtteranceLevel": {"pooling": "MeanPooling", "post_net": {"select": "FrameLevel"}},
            },
        },
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return folder


@pytest.mark.parametrize(
    ("upstream", "checkpoint"),
    [("auricle", "logmel-stats"), ("m2d", f"{WEIGHTS},-11.506255149841309,4.314857482910156")],
)
def test_the_runner_trains_keyword_spotting_on_our_upstream_and_its_evaluation_gives_the_same_score(
    words, tmp_path, upstream, checkpoint
):
    line = ["-m", "train", "-n", "first", "-u", upstream, "-k", checkpoint, "-d", "speech_commands"]
    out = s3prl(str(PROGRAM), *line, "-c", str(words / "config.yaml"), "--device", "cpu", "--seed", "7", where=tmp_path)
    trained = [float(value) for value in re.findall(r"^test acc: ([\d.]+)", out, re.MULTILINE)]
    assert len(trained) == 2
    assert trained[-1] > 3 / 12  # chance is a twelfth
    states = tmp_path / f"result/downstream/first/states-{STEPS}.ckpt"
    again = s3prl(str(PROGRAM), "-m", "evaluate", "-e", str(states), "--device", "cpu", where=tmp_path)
    assert [float(value) for value in re.findall(r"^test acc: ([\d.]+)", again, re.MULTILINE)] == trained[-1:]


PROBE = """
import json
import torch
from helpers.s3prl_program import make_importable, register_upstreams

make_importable()
register_upstreams()
from s3prl import hub
from s3prl.upstream.interfaces import Featurizer

from auricle.evaluation.suites.superb.featurizer import Featurizer as Ours

upstream = hub.m2d(ckpt="{weights},-11.5,4.3", model_config=None, refresh=False).eval()
waves = [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in (16000, 9041, 12347)]
with torch.no_grad():
    theirs, ours = Featurizer(upstream, upstream_device="cpu"), Ours(len(upstream(waves)["hidden_states"]))
    theirs.weights.data = ours.weights.data = torch.linspace(-1, 1, len(theirs.weights))
    states = upstream(waves)
    pairs = list(zip(theirs(waves, states), ours.features(states["hidden_states"], list(map(len, waves)), theirs.downsample_rate)))
    alone = [theirs([wave], upstream([wave]))[0] for wave in waves]
print(json.dumps({{
    "names": [name for name in ("auricle", "m2d", "m2d_calcnorm", "mae_ast") if hasattr(hub, name)],
    "rate": theirs.downsample_rate,
    "ours": max((a - b).abs().max().item() for a, b in pairs),
    "alone": max((a - b).abs().max().item() for (a, _), b in zip(pairs, alone)),
}}))
"""


def test_its_hub_has_our_names_and_its_featurizer_gives_what_ours_gives(tmp_path):
    found = json.loads(s3prl("-c", PROBE.format(weights=WEIGHTS), where=tmp_path).splitlines()[-1])
    assert found["names"] == ["auricle", "m2d", "m2d_calcnorm", "mae_ast"]
    assert found["rate"] == 320
    assert found["ours"] < 1e-5
    assert found["alone"] < 1e-4
