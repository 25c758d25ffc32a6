"""SUPERB's command lines, those of M2D's read-me for it, at toy size: heads trained, tested again, and statistics measured."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from auricle.cli.main import main
from auricle.compat.s3prl.lines import SCRIPTS, overrides, parse_downstream, script_lines
from auricle.core.errors import AuricleError
from helpers.paths import GOLDEN
from helpers.published_sets import fluent, iemocap, librispeech, voxceleb1
from helpers.sounds import tone, write_sound

FOLDER = GOLDEN / "m2d/checkpoints/m2d_s_vit_base-80x60p80x2-golden"
SHORT = ["--", "-o", "config.runner.total_steps=12,, config.downstream_expert.datarc.train_batch_size=8"]


def original(*words: str) -> int:
    return main(["original", "superb", *words])


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Tiny sets in the layouts of Speech Commands, Fluent Speech Commands, VoxCeleb1, IEMOCAP and LibriSpeech."""
    place = tmp_path_factory.mktemp("datasets")
    words = place / "speechcommands-v1"
    lists: dict[str, list[str]] = {"validation": [], "testing": []}
    for number, word in enumerate(("yes", "no", "bird")):
        for i in range(8):
            name = f"{word}/{i}_nohash_0.wav"
            write_sound(words / name, tone(0.3, 16000, 300.0 * 3**number, seed=i))
            if i < 4:
                lists["validation" if i < 2 else "testing"].append(name)
    for part, names in lists.items():
        (words / f"{part}_list.txt").write_text("\n".join(names) + "\n")
    hiss = 0.1 * np.random.default_rng(0).standard_normal(16000 * 10).astype(np.float32)
    write_sound(words / "_background_noise_/hiss.wav", hiss)
    iemocap(place / "iemocap")
    fluent(place / "fluent-speech-commands")
    voxceleb1(place / "voxceleb1")
    librispeech(place / "librispeech")
    for number, path in enumerate(sorted((place / "librispeech").rglob("*.flac"))):
        write_sound(path, tone(0.5, 16000, 300.0 + 100 * number, seed=number))  # more frames than phones
    (place / "librispeech/librispeech-lexicon.txt").write_text("GOOD G UH1 D\nDAY D EY1\n")
    return place


@pytest.fixture
def here(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AURICLE_DATASETS", str(data))
    return tmp_path


def test_the_script_of_ks_trains_a_head_and_tests_it_again(here, capsys):
    weights = next(FOLDER.glob("*.pth"))
    assert original("./ks.sh", "0", "m2d", str(weights), "7", *SHORT) == 0
    name = f"{FOLDER.name}-{weights.stem}-KS-lr1e-4-s7"
    folder = here / "result/downstream" / name
    trained, tested = capsys.readouterr().out.splitlines()
    score = json.loads((folder / "scores.json").read_text())["score"]
    assert trained.endswith(f"test accuracy {score:.4f}")
    assert tested == f"result/downstream/{name}/dev-best.ckpt: test accuracy {score:.4f}"
    line = "python run_downstream.py -m evaluate -e result/downstream/m2d_vc1_1/dev-best.ckpt"
    assert main(["original", "m2d", *line.split()]) == 2
    assert "there is no result/downstream/m2d_vc1_1/dev-best.ckpt" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("script", "task", "rate", "score"),
    [("ic.sh", "IC", "1e-3", "accuracy"), ("sid.sh", "SID", "1e-3", "accuracy"), ("pr.sh", "PR", "1e-3", "token error rate")],
)  # fmt: skip
def test_the_scripts_of_intents_speakers_and_phones_do_the_same(here, script, task, rate, score, capsys):
    weights = next(FOLDER.glob("*.pth"))
    assert original(f"./{script}", "0", "m2d", str(weights), "7", *SHORT) == 0
    folder = here / f"result/downstream/{FOLDER.name}-{weights.stem}-{task}-lr{rate}-s7"
    trained, tested = capsys.readouterr().out.splitlines()
    found = json.loads((folder / "scores.json").read_text())
    assert found["metric"] == score.replace(" ", "_")
    assert trained.endswith(f"test {score} {found['score']:.4f}")
    assert tested.endswith(f"dev-best.ckpt: test {score} {found['score']:.4f}")


def test_the_script_of_er_has_a_run_of_each_fold_and_other_upstreams_take_a_path(here, capsys):
    assert original("er.sh", "0", "auricle", "logmel-stats", "1", *SHORT) == 0
    runs = sorted(path.name for path in (here / "result/downstream").iterdir())
    assert runs == [f"logmel-stats-ER-lr1e-5-s1-fold{i}" for i in range(1, 6)]
    splits = [json.loads((here / "result/downstream" / run / "scores.json").read_text())["split"] for run in runs]
    assert splits == [f"fold {i}" for i in range(1, 6)]
    assert len(capsys.readouterr().out.splitlines()) == 10


@pytest.mark.parametrize(
    "words", [["norm"], ["python", "run_downstream.py", "-m", "train", "-n", "x", "-u", "m2d_calcnorm"]]
)
def test_statistics_are_printed_in_three_lines(here, words, capsys):
    assert original(*words, "-d", "speech_commands", "-o", "config.runner.total_steps=3") == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith("*** Running Norm has finished updates over 3 times")
    assert re.fullmatch(r"mean=-\d+\.\d+, std=\d+\.\d+", second)
    assert third == "*** Please use these statistics in your model. EXIT... ***"


def test_the_scripts_make_the_lines_of_the_read_me():
    weights = "/your/m2d_s_vit_base-80x608p80x2-230220/checkpoint-1000.pth"
    train, test = script_lines("ks.sh", ["0", "m2d", weights, "7"])
    name = "m2d_s_vit_base-80x608p80x2-230220-checkpoint-1000-KS-lr1e-4-s7"
    assert train == ["-m", "train", "-n", name, "-u", "m2d", "-d", "speech_commands", "-o", "config.optimizer.lr=1e-4",
                     "-k", f"{weights},-11.506255149841309,4.314857482910156", "--seed", "7"]  # fmt: skip
    assert test == ["-m", "evaluate", "-e", f"result/downstream/{name}/dev-best.ckpt"]
    for script in SCRIPTS:
        lines = [parse_downstream(line) for line in script_lines(script, ["0", "m2d", weights, "7"])]
        assert len(lines) == (10 if script == "er.sh" else 2)
        assert {line.settings.lr for line in lines if line.mode == "train"} <= {1e-3, 1e-4, 1e-5}
    assert overrides(["config.optimizer.lr=1e-5,, config.downstream_expert.datarc.test_fold='fold2'"]) == {
        "config.optimizer.lr": 1e-5, "config.downstream_expert.datarc.test_fold": "fold2"}  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("run_downstream.py -m train -n a -u m2d -d speech_command -k W", "did you mean speech_commands"),
        ("run_downstream.py -m train -n a -u hubert -d ctc -k W", "-u hubert is not made here"),
        ("run_downstream.py -m train -u m2d -d ctc -k W", "needs -n NAME"),
        ("run_downstream.py -m train -n a -u m2d -d ctc -k W,0,1 -o config.optimizer.rl=1", "did you mean config.optimizer.lr"),
        ("run_downstream.py -m train -n a -u m2d -d voxceleb1 -k W,0,1 -o config.downstream_expert.datarc.file_path=none/x",
         "VoxCeleb1, speaker identification is not there"),
        ("run_downstream.py -m train -n a -u m2d -d speech_commands -k W", "m2d_calcnorm"),
        ("ks.sh 0 m2d W", "takes four arguments"),
        ("kss.sh 0 m2d W 7", "did you mean ks.sh"),
    ],
)  # fmt: skip
def test_wrong_lines_are_refused_in_words(here, line, words, capsys):
    assert original(*line.split()) == 2
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_head_is_refused(here, capsys):
    (here / "x.ckpt").write_bytes(b"nothing")
    assert original("run_downstream.py", "-m", "evaluate", "-e", "x.ckpt") == 2
    assert "is not a head" in capsys.readouterr().err
    with pytest.raises(AuricleError, match="needs -e"):
        parse_downstream(["-m", "evaluate"])
