"""``auricle VERB DATA … --model NAME --out OUT``, and the first edition's spellings of the same."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest

from auricle.cli import aliases
from auricle.cli.flags import config_from
from auricle.cli.main import VERBS, main, read
from auricle.commands.advise.facts import AdviseConfig
from auricle.commands.check import CheckConfig
from auricle.commands.complexity import ComplexityConfig
from auricle.commands.demo import DemoConfig
from auricle.commands.embed import EmbedConfig
from auricle.commands.evaluate import EvaluateConfig
from auricle.commands.export import ExportConfig
from auricle.commands.models.merge import MergeConfig
from auricle.commands.models.models import ConvertConfig, GetConfig, ListModelsConfig, ShowConfig, VerifyConfig
from auricle.commands.models.push import PushConfig
from auricle.commands.models.recipes import ListRecipesConfig
from auricle.commands.prepare.hear import HearTaskConfig
from auricle.commands.prepare.lists import AsListConfig, ListConfig
from auricle.commands.prepare.log_mel_folder import LmsConfig
from auricle.commands.prepare.prepare import PrepareConfig
from auricle.commands.prepare.published import DatasetsConfig
from auricle.commands.prepare.shards import ShardsConfig
from auricle.commands.prepare.speech import SpeechConfig
from auricle.commands.prepare.teacher import TeacherOutputsConfig
from auricle.commands.results import ReportConfig, ResultsConfig
from auricle.commands.review.review import ReviewConfig
from auricle.commands.search import SearchConfig
from auricle.commands.stream import StreamConfig
from auricle.commands.suggest import SuggestConfig
from auricle.commands.tag import TagConfig
from auricle.core.errors import AuricleError
from auricle.index.config import IndexConfig
from auricle.methods.distillation.config import DistillConfig
from auricle.methods.supervised.config import FinetuneConfig
from auricle.serve.settings import ServeConfig
from helpers.paths import ROOT
from helpers.patience import PATIENCE

CONFIGS = {
    "demo": DemoConfig,
    "advise": AdviseConfig,
    "tag": TagConfig,
    "embed": EmbedConfig,
    "index": IndexConfig,
    "search": SearchConfig,
    "stream": StreamConfig,
    "export": ExportConfig,
    "check": CheckConfig,
    "suggest": SuggestConfig,
    "review": ReviewConfig,
    "serve": ServeConfig,
    "prepare": PrepareConfig,
    "prepare datasets": DatasetsConfig,
    "prepare lms": LmsConfig,
    "prepare list": ListConfig,
    "prepare as-list": AsListConfig,
    "prepare speech": SpeechConfig,
    "prepare hear": HearTaskConfig,
    "prepare shards": ShardsConfig,
    "prepare teacher": TeacherOutputsConfig,
    "pretrain": None,  # one of each method
    "finetune": FinetuneConfig,
    "distill": DistillConfig,
    "evaluate": EvaluateConfig,
    "results": ResultsConfig,
    "report": ReportConfig,
    "complexity": ComplexityConfig,
    "models list": ListModelsConfig,
    "models show": ShowConfig,
    "models recipes": ListRecipesConfig,
    "models get": GetConfig,
    "models convert": ConvertConfig,
    "models merge": MergeConfig,
    "models push": PushConfig,
    "models verify": VerifyConfig,
}
WITHOUT_CONFIG = {"doctor", "original"}

NEW_FORMS = [
    ("demo", "sounds --labels l.csv --out d", {"source": "sounds", "labels": "l.csv", "out": "d"}),
    ("advise", "sounds --domain speech --gpus auto", {"source": "sounds", "domain": "speech", "gpus": None}),
    ("tag", "a.wav b.wav --model mn04_as", {"files": ("a.wav", "b.wav"), "model": "mn04_as"}),
    ("tag", "a.wav --model mn04_as b.wav", {"files": ("a.wav", "b.wav"), "model": "mn04_as"}),
    ("suggest", "night --model RUN --top-k 5 --out none", {"source": ("night",), "top_k": 5, "out": None}),
    ("review", "tags --label Frog --sample all", {"source": ("tags",), "label": ("Frog",), "sample": None}),
    ("review", "RUN --refit --target-precision 0.9", {"refit": True, "goal.target_precision": 0.9}),
    ("serve", "night --model RUN --port auto", {"folders": ("night",), "model": ("RUN",), "port": None}),
    ("check", "a b --clean c.csv --workers auto", {"source": ("a", "b"), "clean": "c.csv", "workers": None}),
    ("stream", "live --model mn04_as --hop 1", {"source": "live", "model": "mn04_as", "hop": 1.0}),
    (
        "export",
        "--model RUN --out e --length any --clip a.wav",
        {"model": "RUN", "length": math.inf, "clip": ("a.wav",)},
    ),
    ("embed", "a.wav --model mn04_as --out e.npy", {"source": ("a.wav",), "out": "e.npy"}),
    (
        "index",
        "night --out i --dtype auto --window 3",
        {"source": ("night",), "out": "i", "dtype": None, "window": 3.0},
    ),
    (
        "search",
        "INDEX bark.wav #12 --unlike a.wav #7 --after 22:00 --min-score none",
        {
            "index": "INDEX",
            "query": ("bark.wav", "#12"),
            "unlike": ("a.wav", "#7"),
            "after": "22:00",
            "min_score": None,
        },
    ),
    ("prepare", "sounds --out p --workers auto", {"source": "sounds", "out": "p", "workers": None}),
    ("prepare", "--out p --workers 3 sounds", {"source": "sounds", "out": "p", "workers": 3}),
    ("prepare datasets", "esc50 gtzan", {"names": ("esc50", "gtzan")}),
    ("prepare lms", "sounds --out p --min_length 2", {"source": "sounds", "out": "p", "min_length": 2.0}),
    ("prepare list", "lms --out l.csv --root auto", {"source": "lms", "out": "l.csv", "root": None}),
    ("prepare as-list", "l.csv a.csv b.csv --out w.csv", {"source": "l.csv", "segments": ("a.csv", "b.csv")}),
    ("prepare speech", "speech --out s", {"source": "speech", "out": "s"}),
    (
        "prepare hear",
        "d --out t --rates 16000 --seconds 2",
        {"source": "d", "out": "t", "rates": (16000,), "seconds": 2.0},
    ),
    (
        "prepare shards",
        "d --out s --shard-size 1GB --encode flac --no-check",
        {"source": "d", "out": "s", "shard_size": "1GB", "encode": "flac", "check": False},
    ),
    ("prepare teacher", "d --model mn10_as --out s", {"source": "d", "out": "s", "model": "mn10_as"}),
    ("pretrain", "data", {"source": "data", "method": "msm-mae"}),
    ("pretrain", "data --method m2d --out r", {"source": "data", "method": "m2d", "out": "r"}),
    ("distill", "data --model mn01_as --out r", {"source": "data", "model": "mn01_as", "out": "r"}),
    ("finetune", "data --model mn10_as --out r", {"source": "data", "model": "mn10_as", "out": "r"}),
    ("pretrain", "--method=mae-ast data", {"source": "data", "method": "mae-ast"}),
    ("evaluate", "data --model m --split-by drawn", {"task.source": "data", "model": ("m",), "task.split_by": "drawn"}),
    ("evaluate", "data --model m --seconds none", {"task.seconds": None, "protocol": "linear"}),
    ("evaluate", "--suite quick --model m", {"suite": "quick", "task.source": ""}),
    ("results", "--task esc10 --last none", {"task": "esc10", "last": None}),
    ("report", "r1 r2 --out both.html", {"runs": ("r1", "r2"), "out": "both.html"}),
    ("complexity", "--model a b --no-measure", {"model": ("a", "b"), "measure": False}),
    ("models list", "--family mn", {"family": "mn"}),
    ("models show", "mn10_as", {"name": "mn10_as"}),
    ("models recipes", "icbhi --data icbhi", {"name": "icbhi", "data": "icbhi"}),
    ("models get", "mn04_as --weights f.pt", {"names": ("mn04_as",), "weights": "f.pt"}),
    ("models convert", "run --to m2d --out f.pth", {"source": "run", "to": "m2d", "out": "f.pth"}),
    (
        "models merge",
        "runs/a runs/b --out both --names a b",
        {"detectors": ("runs/a", "runs/b"), "out": "both", "names": ("a", "b")},
    ),
    ("models push", "run hf://a/b --private", {"model": "run", "repository": "hf://a/b", "private": True}),
    ("models verify", "mn04_as run", {"names": ("mn04_as", "run")}),
]
OLD_FORMS = [
    ("prepare", "sounds p --workers 0", "prepare", "sounds --out p --workers auto"),
    ("prepare", "sounds --workers 2 p", "prepare", "sounds --out p --workers 2"),
    ("prepare lms", "sounds p", "prepare lms", "sounds --out p"),
    ("prepare list", "lms l.csv", "prepare list", "lms --out l.csv"),
    ("prepare speech", "speech s", "prepare speech", "speech --out s"),
    ("pretrain", "m2d data --out r", "pretrain", "data --method m2d --out r"),
    ("pretrain", "mae-ast data --preset patch-chunk", "pretrain", "data --method mae-ast --preset patch-chunk"),
    ("pretrain", "m2d data --precision bfloat16", "pretrain", "data --method m2d --precision bf16"),
    ("evaluate", "linear m data --folding groups", "evaluate", "data --model m --split-by groups"),
    ("evaluate", "knn m data", "evaluate", "data --model m --protocol knn"),
    ("evaluate", "knn m data --protocol knn-vote", "evaluate", "data --model m --protocol knn"),
    ("evaluate", "linear m data --protocol=logistic-cv", "evaluate", "data --model m --protocol logistic-cv"),
    ("evaluate", "data --model m --metric roc-auc --seconds 0", "evaluate", "data --model m --metric roc_auc"),
    ("evaluate set", "tasks.yaml --model m", "evaluate", "--suite tasks.yaml --model m"),
    ("complexity", "a --model_name b", "complexity", "--model a b"),
    ("advise", "--gpus -1 --hours 0", "advise", "--gpus auto --hours auto"),
    ("results", "--last 0", "results", "--last none"),
]


def config_of(verb, words):
    """The config that a line stands for."""
    name, values = read(verb, words.split())
    return config_from(CONFIGS[name] or values.settings, values)


def value_of(config, name):
    for part in name.split("."):
        config = getattr(config, part)
    return config


def test_the_table_names_every_verb():
    assert {verb for verb, *_ in NEW_FORMS} == CONFIGS.keys()
    assert CONFIGS.keys() | WITHOUT_CONFIG == VERBS.keys()


@pytest.mark.parametrize(("verb", "words", "expected"), NEW_FORMS)
def test_data_come_first_and_all_else_are_named_options(verb, words, expected, capsys):
    config = config_of(verb, words)
    assert {name: value_of(config, name) for name in expected} == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("old_verb", "old", "new_verb", "new"), OLD_FORMS)
def test_an_old_form_is_translated_and_the_new_one_named(old_verb, old, new_verb, new, capsys):
    config = config_of(old_verb, old)
    lines = capsys.readouterr().err.splitlines()
    assert config == config_of(new_verb, new)
    assert lines
    assert all(f"the old spelling goes in version {aliases.GONE_IN}" in line for line in lines)


def test_old_forms_work_in_the_version_that_is_being_made_and_name_a_later_one():
    """They work for one version, which the changelog begins with."""
    made = re.search(r"^## (\d+)\.(\d+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert made is not None
    assert f"{made[1]}.{int(made[2]) + 1}" == aliases.GONE_IN


def test_a_folder_with_the_name_of_a_method_is_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m2d").mkdir()
    assert config_of("pretrain", "m2d --out r").method == "msm-mae"
    assert config_of("pretrain", "m2d m2d --out r").method == "m2d"


def test_only_the_first_of_several_processes_names_the_new_form(monkeypatch, capsys):
    monkeypatch.setenv("RANK", "1")
    config_of("pretrain", "m2d data")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "original"])
def test_an_unknown_option_is_one_line_with_code_2(verb, capsys):
    assert main([*verb.split(), "--jsom"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == "auricle: unknown option --jsom; did you mean --json?\n"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tag a.wav -model m", "unknown option -model; did you mean --model?"),
        ("pretrain data -x", "unknown option -x; "),
        ("tag a.wav --model", "--model: needs one value"),
        ("tag a.wav --json=1", "--json: takes no value"),
        ("results --compare a", "--compare: needs 2 values"),
        ("pretrain --allow", "--allow: needs at least one value"),
        ("finetune data --lables l.csv", "unknown option --lables; did you mean --labels?"),
        ("pretrain data --preset smal", "no preset 'smal'; did you mean small?"),
        (
            "prepare esc5 --out x",
            "'esc5' is no published data set and no folder, table or recording here; did you mean esc50?",
        ),
        ("prepare lmss out", "'lmss' does not exist; did you mean 'auricle prepare lms'?"),
        ("prepare spech --out o", "did you mean 'auricle prepare speech'?"),
        (
            "original efficientat inference --audio_path a.wav --modle m",
            "has no option --modle; did you mean --model_name",
        ),
        ("original efficientat inference", "required: --audio_path"),
        ("original m2d wav_to_lms.py a b --sufix x", "has no option --sufix; did you mean --suffix"),
        ("original m2d train_audio.py --csv_mian x", "did you mean csv_main"),
        ("original mae-ast fairseq-hydra-train task.dta=x", "task.dta"),
    ],
)
def test_a_mistyped_option_is_one_line_that_names_the_nearest(line, message, capsys):
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in shown.err
    assert len(shown.err.splitlines()) == 1


def test_names_that_begin_with_a_dash_stand_behind_two_dashes():
    assert config_of("tag", "--model m -- -a.wav --b.wav").files == ("-a.wav", "--b.wav")
    assert config_of("tag", "a.wav --model m -- -b.wav").files == ("a.wav", "-b.wav")


WARN = """
import sys, warnings
from auricle.data.manifest.manifest import ManifestWarning
from auricle.cli import main as cli
cli.VERBS["doctor"] = cli.Verb("doctor", "", computes=False)
import auricle.cli.doctor as doctor
from auricle.data.manifest import formats
code = compile("warnings.warn('two groups leak', ManifestWarning)", formats.__file__, "exec")
doctor.run = lambda args: exec(code, {"warnings": warnings, "ManifestWarning": ManifestWarning}) or warnings.warn("from elsewhere")
sys.exit(cli.main(["doctor"]))
"""


def test_a_warning_of_this_package_is_one_line_without_its_source():
    done = subprocess.run([sys.executable, "-c", WARN], capture_output=True, text=True, timeout=PATIENCE)
    first, *rest = done.stderr.splitlines()
    assert first == "auricle: two groups leak"
    assert any("UserWarning: from elsewhere" in line for line in rest)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tag", "auricle tag needs FILES; auricle tag --help shows an example"),
        ("prepare", "auricle prepare needs SOURCE and --out"),
        ("embed a.wav --model m", "auricle embed needs --out"),
        ("models", "usage: auricle models {list,show,recipes,get,convert,merge,push,verify}"),
        ("models shwo x", "did you mean show"),
        ("prepare a b c", "auricle prepare does not take"),
        ("pretrain data --epochs many", "--epochs: 'many' is not a whole number"),
        ("prepare a --out b --workers some", "--workers: 'some' is not a whole number or auto"),
        ("evaluate d --model m --split-by nothing", "--split-by: 'nothing' is none of auto, folds"),
        ("results --format yaml", "--format: invalid choice: 'yaml'"),
    ],
)
def test_mistakes_have_an_error_message(line, message, capsys):
    assert main(line.split()) == 2
    shown = capsys.readouterr()
    assert message in shown.err + shown.out


def test_an_invalid_command_line_raises_before_anything_runs():
    with pytest.raises(AuricleError, match="unknown method 'm3d'"):
        read("pretrain", ["data", "--method", "m3d"])
