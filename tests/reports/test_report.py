"""The report shows what the run folder holds and leaves out what it lacks."""

from __future__ import annotations

import base64
import html
import io
import json
import math
import re
import shutil
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from auricle.cli.main import main
from auricle.core.errors import AuricleError
from auricle.core.options import as_plain, with_values
from auricle.evaluation.compare import score_difference
from auricle.evaluation.evaluation import Evaluation, Score
from auricle.evaluation.scoring import FoldScore
from auricle.methods.msm_mae.config import MsmMaePretrain
from auricle.methods.registry import preset_values
from auricle.reports.drawing.charts import Line, line_chart, round_ticks, tick_text
from auricle.reports.drawing.media import CIVIDIS, PageSounds, mp3, png
from auricle.reports.page import build_report
from auricle.reports.run_view import RunView
from auricle.reports.sections.embedding_map import clips_to_play, two_dimensions
from auricle.reports.sections.training_curves import (
    SHIPPED,
    Reference,
    _chart,
    _lines,
    running_mean,
    shipped_references,
)
from auricle.reports.snapshot import CLIPS, FILE, load_snapshot, save_snapshot
from auricle.reports.verdicts import learnt, next_steps, probe_sentences, verdict_against
from helpers.report_runs import make_run, make_sounds


@pytest.fixture(scope="module")
def cached(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AURICLE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return make_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture(scope="module")
def whole(cached, sounds, tmp_path_factory) -> Path:
    return make_run(sounds, tmp_path_factory.mktemp("runs") / "whole")


@pytest.fixture
def run(whole, tmp_path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(whole, tmp_path / "whole"))


class Reader(HTMLParser):
    """Headings, ids and unbalanced elements of a page."""

    VOID = frozenset(["meta", "img", "br"])

    def __init__(self, page: str):
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[k] for k in ("src", "href") if found.get(k)]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def read(page: Path) -> tuple[str, Reader]:
    text = page.read_text()
    reader = Reader(text)
    assert reader.open == []
    assert reader.wrong == []
    return text, reader


def test_a_whole_run_gives_every_section_in_one_file_that_loads_nothing(run):
    text, reader = read(build_report(run))
    wanted = {"scores", "training", "clips", "map", "classes", "data", "again"}
    assert wanted <= set(reader.ids)
    assert all(link.startswith("data:") for link in reader.links)
    assert len(text) < 10e6
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)


def test_the_page_shows_the_data_the_command_and_the_baselines(run):
    text, _ = read(build_report(run))
    expected = (
        "the untrained encoder",
        "log-mel mean and standard deviation",
        "chance",
        "every clip could be read",
        "auricle ",
    )
    for sentence in expected:
        assert sentence in text


def test_clips_that_could_not_be_read_are_counted(run):
    snapshot = load_snapshot(run)
    assert snapshot is not None
    save_snapshot(replace(snapshot, facts={**snapshot.facts, "failed": 2}), run)
    assert "2 clips could not be read" in build_report(run).read_text()


def test_names_are_escaped(run):
    text, _ = read(build_report(run))
    assert "&lt;middle&gt; &amp; more" in text
    assert "<middle>" not in text


def test_rebuilding_gives_the_same_page(run):
    assert build_report(run).read_text() == build_report(run).read_text()


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        ("evaluations", "No evaluation yet"),
        (FILE, "has no clips to show"),
        ("metrics.jsonl", "Nothing was logged"),
        ("command.txt", "Configuration"),
        ("environment.json", "Configuration"),
        ("encoder.safetensors", "No map"),
    ],
)
def test_a_missing_part_is_left_out_with_a_note(run, lost, message):
    path = run / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    text, _ = read(build_report(run))
    assert message in text


@pytest.mark.parametrize("name", ["evaluations/logistic.json", FILE])
def test_a_damaged_part_is_named_and_the_others_are_shown(run, name):
    (run / name).write_bytes(b"{]")
    text, reader = read(build_report(run))
    assert Path(name).name in text
    assert "training" in reader.ids


def test_a_run_without_its_audio_shows_scores_and_curves(run):
    for file in (run / "evaluations").glob("*.json"):
        found = Evaluation.load(file)
        gone = {**found.settings, "task": {**found.settings["task"], "source": "no/such/folder"}}
        replace(found, settings=gone).save(file)
    text, reader = read(build_report(run))
    assert "not where they were" in text
    assert {"scores", "classes"} <= set(reader.ids)


def test_a_log_cut_in_the_middle_of_a_line_is_read_up_to_it(run):
    with open(run / "metrics.jsonl", "a") as file:
        file.write('{"kind": "step", "micro')
    read(build_report(run))


def test_runs_are_compared_side_by_side(run, whole, tmp_path):
    other = shutil.copytree(run, tmp_path / "other")
    text, _ = read(build_report(run, [Path(other)], out=tmp_path / "both.html"))
    assert "tones, logistic: whole is no different from other" in text
    assert "lead of whole" in text


def test_two_tasks_of_one_name_are_not_compared(run, whole, tmp_path):
    """Another data set in a folder of the same name: other clips under the same task, protocol and metric."""
    other = Path(shutil.copytree(run, tmp_path / "other"))
    for file in (other / "evaluations").glob("*.json"):
        found = Evaluation.load(file)
        changed = replace(found.identity, clips="0" * 16, labels="0" * 16, tested=50)
        replace(found, identity=changed).save(file)
    text, _ = read(build_report(run, [other], out=tmp_path / "both.html"))
    assert "two different tasks of this name (24 tested clips against 50)" in text
    assert "no different from" not in text
    assert text.count("<h3>tones, logistic (") == 2
    assert text.count("<dt>tones (") == 2


def test_evaluations_of_other_layers_have_rows_of_their_own(run, tmp_path):
    found = Evaluation.load(run / "evaluations/logistic.json")
    encode = {**found.settings["encode"], "layers": [0], "pooling": "max"}
    replace(found, settings={**found.settings, "encode": encode}).save(run / "evaluations/layers.json")
    text, _ = read(build_report(run))
    assert "<b>whole (layers 0, max)</b>" in text
    assert "<b>whole</b>" in text


def test_a_comparison_has_the_key_figures_of_every_run_and_tells_runs_of_one_name_apart(run, tmp_path):
    other = Path(shutil.copytree(run, tmp_path / "elsewhere" / "whole"))
    text, _ = read(build_report(run, [other, run.parent / "elsewhere" / ".." / "whole"], out=tmp_path / "both.html"))
    assert "elsewhere/whole" in text
    assert f"{tmp_path.name}/whole" in text
    shutil.rmtree(other / "evaluations")
    text, _ = read(build_report(run, [other], out=tmp_path / "both.html"))
    assert "<dd><span>elsewhere/whole</span>–" in text.replace("<small></small>", "")
    assert text.count("<h1>") == 1
    assert text.split("</h1>")[0].count("against") == 1


def test_an_originals_log_is_drawn_beside_the_run(run, tmp_path):
    log = tmp_path / "original" / "log.txt"
    log.parent.mkdir()
    rows = [
        {"train_loss": 1 / (e + 1), "train_lr": 1e-4, "train_ema_decay": 0.99, "train_rank": -1, "epoch": e}
        for e in range(3)
    ]
    log.write_text("\n".join(json.dumps(row) for row in rows))
    found = Reference.read(log)
    assert found.rows[1] == {"epoch": 1.5, "loss": 0.5, "lr": 1e-4, "ema_decay": 0.99}
    text, _ = read(build_report(run, references=[log]))
    assert "original/log.txt" in text


FIRST_EDITION = {"embed_dim": "width", "num_heads": "heads"} | {
    "decoder_embed_dim": "decoder_width",
    "decoder_num_heads": "decoder_heads",
}


@pytest.mark.parametrize("names", [{}, FIRST_EDITION])
def test_the_shipped_curve_is_that_of_the_small_preset_also_under_earlier_names(run, tmp_path, names):
    config = as_plain(with_values(MsmMaePretrain("msm-mae", "sounds", "out"), preset_values("msm-mae", "small")))
    for part in ("model", "predictor"):
        config[part] = {names.get(name, name): value for name, value in config[part].items()}
    if names:
        config["objective"]["cont_mask"] = 0
    assert shipped_references([replace(RunView.open(run), config=config)])


def test_a_run_of_the_small_preset_is_drawn_beside_the_shipped_curve_as_far_as_it_goes(run, tmp_path):
    known = json.loads((files("auricle.reports.sections") / SHIPPED).read_text())
    assert shipped_references([RunView.open(run)]) == []
    long = [{"kind": "step", "step": 1000, "epoch": 50.0, "loss": 1.0}]
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run/metrics.jsonl").write_text("\n".join(json.dumps(row) for row in long))
    view = RunView.open(tmp_path / "run")
    [rows] = [c.rows for c in shipped_references([replace(view, config={**view.config, **known["settings"]})])][:1]
    wanted = [row for row in known["curves"][0]["rows"] if row["step"] <= 1000]
    assert [row["epoch"] for row in rows] == pytest.approx([row["step"] / 20 for row in wanted])
    assert [row["loss"] for row in rows] == [row["values"]["loss"] for row in wanted]


@pytest.mark.parametrize("content", ["", "epoch 1 loss 2", "[1, 2]", '{"loss": 1}'])
def test_another_file_as_reference_is_refused_with_a_message(tmp_path, content):
    log = tmp_path / "log.txt"
    log.write_text(content)
    with pytest.raises(AuricleError, match=r"log\.txt"):
        Reference.read(log)


def test_the_command_writes_the_page_and_prints_its_path(run, capsys):
    assert main(["report", str(run), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert Path(answer["report"]) == run / "report.html"
    assert answer["bytes"] == (run / "report.html").stat().st_size


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "not a run folder" in capsys.readouterr().err


def test_a_broken_configuration_is_refused_with_a_message(run, capsys):
    (run / "config.yaml").write_text("a: [")
    assert main(["report", str(run)]) == 2
    assert "config.yaml" in capsys.readouterr().err


def test_a_snapshot_is_read_as_it_was_written(run):
    snapshot = load_snapshot(run)
    assert snapshot is not None
    assert snapshot.spec.shape[0] == snapshot.mask.shape[0] == len(snapshot.ids) == CLIPS
    assert snapshot.mask.shape == snapshot.error.shape == (CLIPS, 5, 5)
    assert np.array_equal(np.isfinite(snapshot.error), snapshot.mask > 0)
    assert snapshot.audio.dtype == np.int16
    assert snapshot.audio.any(axis=1).all()
    assert snapshot.facts["clips"] == 24
    assert snapshot.facts["failed"] == 0


def score(name: str, values, test: int = 20) -> Score:
    folds = tuple(FoldScore(f"fold {i}", 42, v, 80, 0, test, 3) for i, v in enumerate(values))
    return Score(name, float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None, folds)


def test_a_difference_is_reported_only_beyond_the_spread_of_folds():
    floor = score("untrained x", [0.50, 0.60, 0.55, 0.52, 0.58])

    def verdict(own, other):
        return score_difference(own, other).verdict("accuracy")

    assert verdict(score("x", [0.80, 0.90, 0.85, 0.83, 0.87]), floor) == "better"
    assert verdict(score("x", [0.55, 0.55, 0.60, 0.50, 0.60]), floor) == "no difference"
    assert verdict(floor, score("x", [0.80, 0.90, 0.85, 0.83, 0.87])) == "worse"
    assert verdict(score("x", [0.9]), score("y", [0.1])) == "unsure"
    assert verdict(floor, floor) == "no difference"


def test_the_summary_reports_when_nothing_was_gained(run):
    view = RunView.open(run)
    same = view.evaluations[0]
    twin = replace(same, baselines=(replace(same.score, model="untrained x"),))
    summary = " ".join(learnt(replace(view, evaluations=(twin,))))
    assert "no better than the untrained encoder" in summary


def test_what_to_try_is_said_where_training_shows_no_gain(run):
    view = RunView.open(run)
    assert view.snapshot is not None
    view = replace(view, snapshot=replace(view.snapshot, facts={"clips": 24, "seconds": 1440.0}))
    folds = [0.5, 0.6, 0.55, 0.52, 0.58]
    low, high = score("x", folds), score("x", [v + 0.3 for v in folds])
    measured = replace(view.evaluations[0], score=high, metric="accuracy")

    def said(own, untrained, log_mel, trained=view):
        others = (replace(untrained, model="untrained x"), replace(log_mel, model="logmel-stats"))
        return next_steps(replace(measured, score=own, baselines=others), trained)

    assert said(high, low, low) == ""
    nothing = said(low, low, low)
    for part in ("auricle evaluate", "--model mn10_as", "18 weight updates", "24.0 minutes of sound", "auricle advise"):
        assert part in nothing
    assert "weight updates" not in said(low, low, low, None)
    assert "plain summary of the spectrum" in said(high, low, high)
    assert "fewshot" in said(high, low, high)
    assert said(score("x", [0.9]), score("y", [0.1]), score("z", [0.1])) == ""


def test_the_terminal_and_the_page_say_the_same_of_one_run(run):
    view = RunView.open(run)
    page = build_report(run).read_text()
    for paragraph in learnt(view):
        assert html.escape(paragraph) in page


def test_evaluate_prints_the_verdict_that_the_report_shows(run, sounds, capsys):
    shutil.rmtree(run / "evaluations")
    assert main(["evaluate", str(sounds), "--model", str(run), "--seconds", "0.6", "--quiet"]) == 0
    printed = capsys.readouterr().out
    view = RunView.open(run)
    [evaluation] = view.evaluations
    page = build_report(run).read_text()
    for sentence in [*probe_sentences(evaluation), next_steps(evaluation, view)]:
        assert sentence in printed
        assert html.escape(sentence) in page
    for kind in ("untrained", "logmel-stats"):
        beaten = verdict_against(evaluation, kind) == "better"
        assert any(kind in note and "does as well" in note for note in evaluation.notes) != beaten


def test_key_figures_of_all_runs_stand_side_by_side(run, sounds, tmp_path):
    other = make_run(sounds, tmp_path / "longer", epochs=4, evaluations=False)
    page, _ = read(build_report(run, [other], out=tmp_path / "both.html"))
    tiles = page[page.index('<dl class="tiles">') : page.index("</dl>")]
    assert "<span>whole</span>3<small>epochs, 18 updates</small>" in tiles
    assert "<span>longer</span>4<small>epochs, 24 updates</small>" in tiles
    assert "<span>longer</span>–<small></small>" in tiles  # was not evaluated
    assert tiles.count("trained on") == 1
    assert "<dt>trained on</dt><dd>24<small>" in tiles  # the same for both


def test_a_share_is_drawn_on_the_whole_scale(run):
    rows = [{"epoch": i / 10, "data_wait": 0.006, "loss": 0.006} for i in range(10)]
    charts = [
        json.loads(
            html.unescape(re.search('data-chart="(.*?)"', _chart(key, ("x", ""), [rows], [RunView.open(run)], ()))[1])
        )
        for key in ("data_wait", "loss")
    ]
    assert (charts[0]["y"][:2], charts[0]["lines"][0]["y"][0]) == ([0.0, 100.0], 0.6)
    assert charts[1]["y"][1] < 0.01


def test_clips_to_play_are_mistakes_first_then_the_least_sure(run):
    found = RunView.open(run).evaluations[-1]
    ids = clips_to_play(found)
    wrong = [p.id for p in found.mistakes()]
    assert ids[: len(wrong)] == list(dict.fromkeys(wrong))
    assert len(ids) == len(set(ids))


def test_a_png_holds_its_pixels():
    pixels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = base64.b64decode(png(pixels, CIVIDIS).split(",")[1])
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    start = data.index(b"IDAT") + 4
    length = int.from_bytes(data[start - 8 : start - 4], "big")
    rows = np.frombuffer(zlib.decompress(data[start : start + length]), np.uint8).reshape(3, 5)
    assert np.array_equal(rows[:, 1:], pixels)


def test_a_clip_is_encoded_as_mp3():
    wave = 0.3 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000).astype(np.float32)
    back, rate = soundfile.read(io.BytesIO(mp3(wave, 16000)))
    assert rate == 16000
    assert abs(np.argmax(np.abs(np.fft.rfft(back[:16000]))) - 440) <= 2


def test_sounds_stop_at_the_budget(monkeypatch):
    monkeypatch.setattr("auricle.reports.drawing.media.BUDGET", 20_000)
    store = PageSounds()
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 32000).astype(np.float32)
    keys = [store.add(str(i), noise) for i in range(8)]
    assert keys[0] is not None
    assert keys[-1] is None
    assert store.spent <= 20_000


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_round_increasing_and_inside(low, span):
    ticks = round_ticks(low, low + span, 5)
    slack = 1e-6 * span + 4 * math.ulp(abs(low) + span)  # a range of 1e-6 about 1e6 is near the resolution of floats
    assert all(low - slack <= t <= low + span + slack for t in ticks)
    assert ticks == sorted(set(ticks))
    assert len(ticks) <= 7


def test_neighbouring_ticks_read_differently():
    assert [tick_text(v, 1e-5) for v in (0.99995, 0.99996)] == ["0.99995", "0.99996"]
    assert tick_text(0, 0.5) == "0"


def test_a_chart_leaves_out_what_is_not_finite():
    assert line_chart("x", [Line("a", [0, 1], [float("nan"), float("inf")])]) == ""
    assert "NaN" not in line_chart("x", [Line("a", [0, 1, 2], [1.0, float("nan"), 3.0])])
    assert line_chart("x", [Line("a", [1], [2.0])])


def test_an_infinite_norm_leaves_the_rest_of_its_curve():
    rows = [{"epoch": i / 10, "grad_norm": float("inf") if i == 5 else 1.0} for i in range(400)]
    lines = _lines("grad_norm", rows, "run", 0)
    assert all(np.isfinite(line.y).all() for line in lines)
    assert len(lines) == 2


def test_a_running_mean_of_a_constant_is_that_constant():
    assert np.allclose(running_mean(np.full(50, 3.0), 7), 3.0)


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_any_number_of_embeddings_has_a_place_on_the_map(count):
    points, _ = two_dimensions(np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32))
    assert points.shape == (count, 2)
    assert np.isfinite(points).all()
    assert points.min() >= 0
    assert points.max() <= 1


def test_separate_groups_stay_separate_on_the_map():
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(0, 0.1, (30, 8)), rng.normal(5, 0.1, (30, 8))]).astype(np.float32)
    points, _ = two_dimensions(features)
    apart = np.linalg.norm(points[:30].mean(0) - points[30:].mean(0))
    assert apart > 2 * points[:30].std(0).max()
