"""EVAR's programs for frozen encoders: the read-me's lines from recordings to a summary, on tiny copies of the data sets."""

from __future__ import annotations

import csv
import json

import pytest
import soundfile

from auricle.cli.main import main
from auricle.compat.m2d.evar_linear import encode_of, encoder_of, parse_linear, probe_of
from auricle.compat.m2d.evar_tasks import tasks
from auricle.evaluation.results import ResultsStore
from helpers.original_m2d import EVALUATE, checkpoint, words
from helpers.published_sets import TINY_SETS, write_recordings
from helpers.sounds import tone, write_sound

WEIGHT = "m2d_vit_base-80x208p16x16-toy/checkpoint-300.pth"
TEXT_SIDE = """
import numpy as np

class Captions:
    '''Captions by their letters; sounds by the first of their dimensions.'''

    def __init__(self, encoder):
        self.width = 26

    def encode_text(self, captions):
        return np.array([[1.0 + caption.count(chr(97 + i)) for i in range(26)] for caption in captions])

    def project_audio(self, clips):
        return clips[:, :26]
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a checkpoint of toy size, and CREMA-D in EVAR's layout before its first step."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVAR", raising=False)
    monkeypatch.delenv("AURICLE_DATASETS", raising=False)
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "cache"))
    checkpoint(tmp_path / WEIGHT, "80x208", "16x16")
    names = [f"{actor}_DFA_{emotion}_XX.wav" for actor in range(1001, 1006) for emotion in ("ANG", "SAD")]
    for number, name in enumerate(names):
        hertz = 400.0 if "ANG" in name else 3000.0
        write_sound(tmp_path / "downloads/cremad" / name, tone(0.2, 8000, hertz + number, seed=number), 8000)
    splits = ["train"] * 3 + ["valid", "test"]
    rows = [(name, name[9:12], splits[int(name[3]) - 1]) for name in names]
    (tmp_path / "evar/metadata").mkdir(parents=True)
    with (tmp_path / "evar/metadata/cremad.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file_name", "label", "split"], *rows])
    return tmp_path


def original(line: str, program: str = "evar") -> int:
    return main(["original", program, *words(line.replace("/your/path/to/model.pth", WEIGHT))])


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_readmes_lines_lead_from_recordings_to_scores(here, capsys):
    download, prepare, *linear = EVALUATE
    assert original(download) == 2  # ten recordings of 7,442
    assert "github.com/CheyneyComputerScience/CREMA-D" in capsys.readouterr().err
    assert original(prepare) == 0
    assert soundfile.info(here / "work/16k/cremad/1001_DFA_ANG_XX.wav").samplerate == 16000
    for line in linear:
        assert original(line) == 0
    found = rows(here / "results/scores.csv")
    assert [row["task"] for row in found] == ["cremad", "cremad"]
    assert found[0]["representation"] == "m2d_vit_base-80x208p16x16-toy-checkpoint-300"
    assert found[0]["run_id"] != found[1]["run_id"]  # another batch size
    (clips, *_) = sorted((here / "logs").glob("*/cremad_ar-m2d.M2D-LE_*.csv"))
    assert [row["GT"] for row in rows(clips)] == ["ANG", "SAD"]
    assert set(rows(clips.parent / "last_score_by_class.csv")[0]) == {"ANG", "SAD"}
    (score, *_) = ResultsStore(here / "cache/results.sqlite").select()
    assert (score.task, score.protocol, score.version) == ("cremad", "evar, lr 3e-05", "1")


def test_two_passes_repeat_the_probe_with_the_next_seeds_and_are_summarised(here, capsys):
    assert original("python prepare_wav.py downloads/cremad work/16k/cremad 16000") == 0
    assert original(f"python 2pass_lineareval.py config/m2d.yaml cremad weight_file={WEIGHT} --epochs 2") == 0
    assert len(rows(here / "results/scores.csv")) == 3
    capsys.readouterr()
    assert original(f"python summarize.py {WEIGHT}") == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0] == "| representation | cremad | average |"
    assert len(rows(here / "results/m2d_vit_base-80x208p16x16-toy_checkpoint-300.csv")) == 3


def test_all_eval_does_what_has_data_and_names_the_rest(here, capsys):
    assert original("python prepare_wav.py downloads/cremad work/16k/cremad 16000") == 0
    assert original(f"bash quick_eval.sh {WEIGHT}", "m2d") == 1
    answer = capsys.readouterr()
    assert "| representation | cremad | average |" in answer.out
    assert "gtzan" in answer.err
    assert "marsyas.info" in answer.err


def test_a_data_set_in_its_official_layout_needs_no_table_of_evar(here):
    TINY_SETS["esc50"].make(here / "data/esc50")
    assert original(f"python lineareval.py config/m2d.yaml esc50 weight_file={WEIGHT} --epochs 2") == 0
    assert rows(here / "results/scores.csv")[0]["task"] == "esc50"


def test_settings_of_the_configuration_reach_the_encoder_and_the_probe(here):
    options = f"weight_file={WEIGHT},flat_features=True,batch_size=4,temporal_pooling_type=mean_max"
    line = parse_linear(
        "lineareval", ["config/m2d.yaml", "cremad", options, "--hidden", "(8,)", "--mixup", "--lr", "1e-3"]
    )
    encoder, statistics = encoder_of(line)
    assert (encoder.info.clip_dim, statistics) == (encoder.info.token_dim, "own")
    assert (encode_of(line).batch_size, encode_of(line).pooling) == (4, "mean_max")
    probe = probe_of(line)
    assert probe.name == "evar, lr 0.001, hidden (8,), mixup True"
    assert (probe.probe.hidden, probe.probe.mixup) == ((8,), True)
    line = parse_linear("lineareval", ["config/m2d.yaml", "cremad", f"weight_file={WEIGHT},mean=-5.0,std=3.0"])
    assert tuple(encoder_of(line)[0].statistics()) == (-5.0, 3.0)
    line = parse_linear("lineareval", ["config/m2d.yaml", "cremad", f"weight_file={WEIGHT},mean=None,std=None"])
    assert encoder_of(line)[1] == "published"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("lineareval.py config/m2d.yaml cremat weight_file=W", "there is no task 'cremat'; did you mean cremad"),
        ("lineareval.py config/m2d.yaml cremad", "name the weights"),
        ("lineareval.py config/m2d.yaml cremad weight_file=W --hidden x", "--hidden is a list"),
        ("lineareval.py config/m2d.yaml cremad weight_file=W --seeds 3", "has no option --seeds"),
        ("2pass_lineareval.py config/m2d.yaml cremad weight_file=W --repeat 0", "repeats at least once"),
        ("zeroshot.py config/m2d_clap.yaml cremad weight_file=W", "--text MODULE:NAME"),
        ("prepare_wav.py nowhere work/16k/x 16000", "nowhere is not a folder"),
        ("summarize.py W", "holds no row of W"),
    ],
)
def test_wrong_lines_are_refused_in_words(here, capsys, line, message):
    (here / "W").write_bytes((here / WEIGHT).read_bytes())
    assert original(line.replace("weight_file=W", f"weight_file={WEIGHT}") if "cremat" in line else line) == 2
    assert message in capsys.readouterr().err


def test_zero_shot_and_retrieval_lines_run_with_a_text_side(here, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(here))
    (here / "letters.py").write_text(TEXT_SIDE)
    names = [f"{actor}_DFA_{emotion}_XX.wav" for actor in range(1001, 1006) for emotion in ("ANG", "SAD")]
    write_recordings(here / "work/original/cremad", names)
    line = f"config/m2d_clap.yaml cremad weight_file={WEIGHT} --text letters:Captions"
    assert original(f"python zeroshot.py {line}") == 0
    assert rows(here / "results/scores.csv")[0]["task"] == "zs_cremad"
    write_recordings(here / "work/original/clotho", ["a.wav", "b.wav"])
    captions = "\n".join(f"{name}.wav,{text},test" for name in "ab" for text in ("a bell", "rain falls"))
    (here / "evar/metadata/clotho.csv").write_text(f"file_name,caption,split\n{captions}\n")
    assert original(f"python retr_a2t_t2a.py {line.replace('cremad', 'clotho')}") == 0
    line_of_ours = ["evaluate", "--suite", "evar-retrieval", "--tasks", "clotho", "--model", WEIGHT, "--quiet"]
    assert main([*line_of_ours, "--text", "letters:Captions", "--page", "page.html"]) == 0
    assert "t2a_R@1 " in capsys.readouterr().out
    assert main([*line_of_ours, "--text", "letters:Captions", "--pooling", "mean_std"]) == 0
    assert "(mean_std)  t2a_R@1 " in capsys.readouterr().out  # another row of the store
    assert main([*line_of_ours, "--text", "letters:Captions", "--statistics", "pooled"]) == 2
    assert "retrieval has none" in capsys.readouterr().err
    row = rows(here / "results/retrieval_scores.csv")[0]
    assert list(row)[:4] == ["model", "task", "a2tR1", "a2tR5"]
    assert float(row["t2aR5"]) == 100.0


def test_a_suite_of_a_text_side_is_one_command(here, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(here))
    (here / "letters.py").write_text(TEXT_SIDE)
    names = [f"{actor}_DFA_{emotion}_XX.wav" for actor in range(1001, 1006) for emotion in ("ANG", "SAD")]
    write_recordings(here / "work/original/cremad", names)
    line = ["evaluate", "--suite", "evar-zero-shot", "--tasks", "cremad", "--model", WEIGHT, "--quiet", "--json"]
    assert main([*line, "--text", "letters:Captions"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [(row["task"], row["protocol"]) for row in found["scores"]] == [("zs_cremad", "zero-shot")]
    assert found["comparison"][0]["published"][0]["model"].startswith("M2D-CLAP")
    assert main([*line, "--text", "letters:Captions", "--pooling", "max"]) == 0
    assert json.loads(capsys.readouterr().out)["scores"][0]["model"].endswith(" (max)")
    assert main(line) == 2
    assert "no text side" in json.loads(capsys.readouterr().out)["absent"]["zs_cremad/zero-shot"]


def test_every_task_of_evar_says_where_its_data_come_from(here, capsys):
    assert set(tasks()) >= {"esc50", "us8k", "fsd50k", "fsdnoisy18k", "as20k", "as", "vocalsound", "circor3", "bmdhs1"}
    line = ["evaluate", "--suite", "evar", "--model", "logmel-stats", "--quiet", "--json"]
    assert main(line) == 2
    absent = json.loads(capsys.readouterr().out)["absent"]
    assert len(absent) == len(tasks())
    assert all("published at http" in reason and "--data FOLDER" in reason for reason in absent.values())
