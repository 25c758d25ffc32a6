"""`auricle advise`: the guide's rules, the published runs as fixed points, and command lines that parse and train."""

from __future__ import annotations

import argparse
import json
import shlex

import pytest

from auricle.cli import advise as verb
from auricle.cli.flags import config_from
from auricle.cli.main import VERBS, main, parser_of
from auricle.commands.advise import rules
from auricle.commands.advise.advise import advise
from auricle.commands.advise.facts import AdviseConfig
from auricle.commands.advise.rules import Shape, fitting_batch, measured, state_bytes, training_flops
from auricle.core.errors import AuricleError
from auricle.core.options import with_values
from auricle.hub.published.table import find
from auricle.methods.m2d.config import M2DPretrain
from auricle.methods.registry import find_method
from auricle.models.m2d.config import PredictorConfig, ViTConfig
from helpers.paths import ROOT
from helpers.sounds import write_sounds
from helpers.training_runs import prepared

MACHINES = [dict(gpus=0, gpu_memory=24.0), dict(gpus=1, gpu_memory=12.0), dict(gpus=4, gpu_memory=80.0)]
SIZES = [
    dict(),
    dict(clips=539, clip_seconds=20.0),
    dict(hours=30.0, clip_seconds=2.0),
    dict(clips=2_000_000, hours=5500.0),
]


def advised(**facts):
    return advise(AdviseConfig(**{"measure": "no", "gpus": 1, "gpu_memory": 24.0, **facts}))


def parsed(command: str) -> argparse.Namespace:
    """The arguments of one printed command line, by the verb's own parser."""
    words = shlex.split(command)
    words = words[words.index("auricle") + 1 :]
    name = " ".join(words[:2]) if " ".join(words[:2]) in VERBS else words[0]
    rest = words[len(name.split()) :]
    parser = parser_of(name, rest)
    values, extra = parser.read(rest)
    parser.check_required(values)
    assert not extra
    return values


def test_little_data_from_a_clinic_gets_the_published_icbhi_run():
    advice = advised(domain="respiratory", clips=539, hours=3.0, noisy="yes", fine_time=True)
    plan = advice.plan
    assert (advice.strategy, advice.weight) == ("further", "m2d_vit_base-80x200p16x4-230529")
    assert (plan.method, plan.input_size, plan.patch_size) == ("m2d-x", "80x200", "16x4")
    assert (plan.epochs, plan.effective_batch, plan.noise_ratio, plan.min_ds_size) == (600, 128, 0.3, 10000)
    assert (plan.blr, plan.loss_off) == (3e-4, 1.0)
    assert plan.like == "M2D-X on ICBHI 2017"


def test_audioset_on_four_gpus_gets_the_published_run():
    advice = advised(domain="audioset", clips=2_000_000, hours=5500.0, gpus=4, gpu_memory=80.0)
    plan = advice.plan
    assert (advice.strategy, advice.weight, plan.method) == ("scratch", "", "m2d")
    assert (plan.batch_size, plan.accum_iter, plan.effective_batch, plan.epochs) == (512, 1, 2048, 300)
    assert (plan.input_size, plan.patch_size) == ("80x608", "16x16")


def test_labels_at_24_gb_get_the_published_accumulation():
    plan = advised(domain="audioset", clips=2_000_000, hours=5500.0, gpus=4, gpu_memory=24.0, labels=True).plan
    assert (plan.method, plan.batch_size, plan.accum_iter, plan.loss_off) == ("m2d-as", 256, 2, 1.0)


def test_librispeech_gets_the_published_speech_run():
    plan = advised(domain="speech", clips=281_241, hours=960.0, gpus=4, gpu_memory=80.0).plan
    assert (plan.method, plan.input_size, plan.patch_size) == ("m2d-s", "80x400", "80x2")
    assert (plan.epochs, plan.warmup_epochs, plan.effective_batch) == (1000, 60, 2048)
    assert (plan.noise_ratio, plan.loss_off, plan.mask_ratio) == (0.2, 0.5, 0.6)


def test_fifty_thousand_clips_on_two_small_gpus():
    plan = advised(clips=50_000, hours=140.0, gpus=2, gpu_memory=8.0).plan
    assert (plan.method, plan.epochs, plan.warmup_epochs, plan.noise_ratio) == ("m2d-x", 600, 24, 0.01)
    assert (plan.effective_batch, plan.min_ds_size) == (128, 0)


@pytest.mark.parametrize(
    ("facts", "weight"),
    [
        (dict(domain="tagging"), "m2d_as_vit_base-80x1001p16x16-240213_AS-FT_enconly"),
        (dict(domain="music", above_8khz=True), "m2d_as_vit_base-80x1001p16x16p32k-240413_AS-FT_enconly"),
        (dict(domain="machine", above_8khz=True), "m2d_as_vit_base-80x608p16x16p32k-240413_enconly"),
        (dict(domain="heart"), "m2d_vit_base-80x608p16x16-221006-mr7"),
        (dict(domain="speech"), "m2d_s_vit_base-80x400p80x2-230201"),
    ],
)
def test_without_own_data_or_gpus_the_weights_are_used_as_they_are(facts, weight):
    assert advised(**facts).strategy == "transfer"
    assert advised(**facts, clips=5000, hours=10.0, gpus=0).weight == weight
    assert advised(**facts).weight == weight


@pytest.mark.parametrize(
    ("domain", "kind"),
    [("birds", "far"), ("Bird song", "far"), ("bats", "far"), ("underwater", "far"), ("fishes", "far"), ("Voices", "speech"),
     ("traffic", "everyday"), ("medical", "far"), ("bioacoustics", "far"), ("city_sounds", "everyday")],
)  # fmt: skip
def test_a_domain_may_be_said_in_a_word_of_ones_own(domain, kind):
    assert advised(domain=domain).facts.kind == kind


def test_advice_goes_on_to_a_comparison_a_report_and_embeddings():
    verbs = [" ".join(command.split()[1:3]) for command in advised(domain="birds", clips=600, hours=2.0).commands]
    assert [verb.split()[0] for verb in verbs if not verb.startswith("prepare")] == [
        "pretrain", "evaluate", "evaluate", "results", "report", "embed",
    ]  # fmt: skip
    used = advised(domain="music")
    assert [command.split()[1] for command in used.commands] == ["models", "evaluate", "embed", "tag"]
    assert "label some clips" in " ".join(used.notes)
    assert "label some clips" not in " ".join(advised(domain="music", labels=True).notes)
    assert "--preset small" in " ".join(advised(clips=600, hours=2.0, gpus=0).notes)


def test_no_published_32_khz_weight_is_proposed_for_further_pre_training():
    advice = advised(domain="industrial", above_8khz=True, clips=5000, hours=14.0)
    assert advice.strategy == "transfer"
    assert "--strategy further" in advice.notes[0]
    assert (
        advised(domain="industrial", above_8khz=True, clips=5000, hours=14.0, strategy="further").plan.sample_rate
        == 16000
    )


def test_every_weight_named_is_published_and_fit_for_its_use():
    for row in rules.STARTS:
        record = find(row.weight)
        assert record is not None
        assert row.strategy != "further" or record.further
    assert {word for words in rules.DOMAINS.values() for word in words} >= set(rules.KINDS)


def test_every_proposal_fits_its_gpu_and_keeps_the_effective_batch():
    for gpus in (1, 2, 3, 4):
        for memory in (8.0, 12.0, 24.0, 80.0):
            plan = advised(clips=3000, hours=8.0, gpus=gpus, gpu_memory=memory).plan
            assert 0 <= plan.effective_batch - 128 < plan.accum_iter * gpus
            assert plan.effective_batch == plan.batch_size * plan.accum_iter * gpus


@pytest.mark.parametrize("domain", ["everyday", "speech", "far", "unsure"])
@pytest.mark.parametrize("strategy", ["auto", "transfer", "further", "scratch"])
def test_every_command_line_parses_into_valid_settings(domain, strategy):
    for machine in MACHINES:
        for size in SIZES:
            for flags in (
                dict(),
                dict(labels=True, noisy="yes"),
                dict(above_8khz=True, fine_time=True, noise="street"),
            ):
                advice = advised(domain=domain, strategy=strategy, **machine, **size, **flags)
                lines = [parsed(command) for command in advice.commands]
                assert lines
                for args in lines:
                    if getattr(args, "settings", None):
                        settings = config_from(args.settings, args)
                        assert type(settings) is find_method(advice.plan.method).settings
                        assert settings.train.epochs == advice.plan.epochs


def test_several_gpus_are_started_by_torchrun():
    [command] = [c for c in advised(clips=50_000, hours=140.0, gpus=2).commands if " pretrain " in c]
    assert command.startswith("torchrun --nproc-per-node 2 -m auricle pretrain prepared --method m2d-x ")


def test_a_source_is_counted_and_a_prepared_one_not_prepared_again(tmp_path):
    write_sounds(tmp_path / "sounds", 4, seconds=0.5)
    advice = advised(source=str(tmp_path / "sounds"), domain="bioacoustic")
    assert (advice.facts.clips, advice.facts.clip_seconds) == (4, pytest.approx(0.5))
    assert advice.plan.input_size == "80x200"
    assert advice.commands[0].startswith("auricle prepare ")
    ready = prepared(tmp_path / "ready", clips=3)
    assert advised(source=str(ready)).commands[0].startswith("auricle prepare NOISE")
    assert advised(source=str(ready)).facts.clips == 3


def test_labels_in_the_source_or_beside_it_are_found(tmp_path):
    folder = tmp_path / "set" / "audio"
    write_sounds(folder, 3, seconds=0.5)
    names = sorted(file.name for file in folder.iterdir())
    (tmp_path / "set" / "attribution.csv").write_text("filename,author\n" + "".join(f"{name},me\n" for name in names))
    assert "label some clips" in " ".join(advised(source=str(folder)).notes)
    table = tmp_path / "set" / "meta.csv"
    table.write_text("filename,category\n" + "".join(f"{name},frog\n" for name in names))
    for source in (folder, folder.parent):
        advice = advised(source=str(source))
        assert advice.facts.labels == str(table)
        assert "label some clips" not in " ".join(advice.notes)
        assert any(f"--labels {table}" in command for command in advice.commands)
    for name in ("frog", "newt"):
        write_sounds(tmp_path / "tree" / name, 2, seconds=0.5)
    advice = advised(source=str(tmp_path / "tree"))
    assert advice.facts.labels == ""
    assert not any("--labels" in command for command in advice.commands)


def test_a_gpu_that_is_too_small_and_unknown_domains_are_refused_with_a_message():
    with pytest.raises(AuricleError, match="GiB"):
        advised(clips=500, hours=1.0, gpu_memory=2.0)
    with pytest.raises(AuricleError, match="did you mean speech"):
        advised(domain="speach")
    with pytest.raises(AuricleError, match="at least 0"):
        advised(hours=-1.0)


@pytest.mark.parametrize("wrong", [{"hours": float("nan")}, {"hours": float("inf")}, {"clip_seconds": float("nan")}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(AuricleError, match="must be a number of at least 0"):
        AdviseConfig(**wrong)


def test_hours_alone_are_enough_and_assumptions_are_printed():
    advice = advised(hours=1500.0, gpus=4)
    assert (advice.strategy, advice.facts.clips) == ("scratch", 540_000)
    assert "10 s are assumed" in " ".join(advice.notes)
    assert "no GPU was named" in " ".join(advised(hours=5.0, gpus=0, strategy="further").notes)
    assert "hours" not in advised(clips=5000).reasons[0]


def test_operations_follow_the_tokens():
    shape = Shape(ViTConfig(), PredictorConfig(), 0.7, teacher=False)
    assert shape.tokens == (190, 57)
    assert training_flops(Shape(ViTConfig(), PredictorConfig(), 0.7, teacher=True)) > training_flops(shape)
    assert fitting_batch(shape, 80.0) > 2 * fitting_batch(shape, 24.0)
    assert state_bytes(shape) == pytest.approx(2.121e9, rel=0.01), "what the rehearsal of ViT-B counts"


def test_a_few_steps_are_measured_on_this_machine():
    tiny = dict(
        input_size="80x40", patch_size="16x8", embed_dim=16, depth=1, num_heads=2, decoder_embed_dim=16, decoder_depth=1
    )
    config = with_values(
        M2DPretrain("m2d", "", ""),
        {**tiny, "decoder_num_heads": 2, "batch_size": 2, "workers": 0, "device": "cpu", "precision": "float32", "epochs": 1,
         "warmup_epochs": 0.0},
    )  # fmt: skip
    memory, seconds, where = measured(config, steps=1)
    assert memory > 0
    assert seconds > 0
    assert where == "cpu in float32"


def test_the_answer_on_the_terminal_and_as_json(capsys):
    words = ["advise", "--clips", "600", "--hours", "3", "--gpus", "1", "--gpu-memory", "24", "--measure", "no"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    for part in ("advice: further", "effective batch 128", "extrapolated", "auricle pretrain prepared --method m2d-x"):
        assert part in shown
    assert main([*words, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["plan"]["epochs"] == 600
    assert answer["cost"]["seconds"] > 0
    assert main(["advise", "--domain", "nonsense"]) == 2


def test_on_a_terminal_without_flags_advise_asks_questions(monkeypatch, capsys):
    answers = iter(["", "lung", "3", "600", "maybe", "yes", "no", "yes", "", "1", "24"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    args = parsed("auricle advise")
    verb.ask(args, input)
    assert "yes or no?" in capsys.readouterr().err
    assert (args.domain, args.hours, args.clips, args.labels, args.noisy) == ("lung", 3.0, 600, True, "yes")
    assert (args.gpus, args.gpu_memory) == (1, 24.0)


def test_the_guide_contains_every_rule():
    guide = (ROOT / "docs/application-guide.md").read_text()
    for run in rules.KNOWN:
        row = f"| {run.name} | `{run.method}`"
        assert row in guide
        line = next(line for line in guide.splitlines() if line.startswith(row))
        for part in (f"{run.clips:,}", str(run.effective_batch), f"{run.epochs} ({run.warmup})"):
            assert f"| {part} |" in line
        assert not run.noise_ratio or f"| {run.noise_ratio:g} |" in line
    assert all(row.weight in guide for row in rules.STARTS)
