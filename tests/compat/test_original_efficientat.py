"""EfficientAT's command lines, every one of its read-me."""

import json
import re
import shlex

import pytest

from auricle.cli.main import main
from auricle.compat.efficientat import command_line as original
from auricle.core.errors import AuricleError
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.log_mel_stats import LogMelStats
from helpers.paths import GOLDEN
from helpers.sounds import tone, write_sound

README_LINES = (  # of the public read-me; a test compares them with the copy beside this checkout, where there is one
    'complexity.py --model_name="mn10_as"',
    'inference.py --cuda --model_name=mn10_as --audio_path="resources/metro_station-paris.wav"',
    "inference.py --ensemble mn40_as_ext mn40_as mn40_as_no_im_pre --cuda "
    "--audio_path=resources/metro_station-paris.wav",
    'ex_audioset.py --cuda --model_name="mn10_as"',
    "ex_audioset.py --cuda --train --pretrained_name=mn10_im_pytorch --batch_size=60 --max_lr=0.0004",
    "ex_audioset.py --cuda --train --batch_size=120 --model_width=0.1 --head_type=fully_convolutional --se_dims=f",
    "ex_dcase20.py --cuda --pretrained_name=mn10_as --cache_path=<directory>",
    "ex_fsd50k.py --cuda --pretrained_name=mn10_as",
    "ex_esc50.py --cuda --pretrained_name=mn40_as_ext --fold=1",
)


@pytest.fixture
def metro(tmp_path, monkeypatch):
    """The read-me's recording, generated, where its lines look for it."""
    monkeypatch.chdir(tmp_path)
    return write_sound(tmp_path / "resources" / "metro_station-paris.wav", tone(12.0, 44100), 44100)


def small(name: str) -> MN:
    """A network of toy size for every name."""
    classes = [(f"/m/{i}", f"class {i}") for i in range(20)]
    return MN(MNConfig(width=0.1, num_classes=20), seed=len(name), name=name, classes=classes).eval()


def words(line: str) -> list[str]:
    return shlex.split(line)


def test_the_lines_are_those_of_the_readme(shared):
    text = (shared / "reference" / "originals" / "efficientat_readme.md").read_text()
    assert re.findall(r"^python (.*)$", text, flags=re.MULTILINE) == list(README_LINES)


@pytest.mark.parametrize("line", [line for line in README_LINES if not line.startswith("ex_")])
def test_every_line_of_the_readme_that_needs_no_data_set_runs(line, metro, capsys):
    assert original.run(["python", *words(line)], load=small) == 0
    printed = capsys.readouterr().out.splitlines()
    if line.startswith("complexity"):
        assert printed == [
            "Model 'mn10_as' has 4.88 million parameters and inference of a single 10-seconds audio clip requires "
            "0.54 billion multiply-accumulate operations."
        ]
    else:
        assert printed[0] == "************* Acoustic Event Detected: *****************"
        assert printed[-1] == "*" * 56
        assert all(re.fullmatch(r"class \d+: 0\.\d{3}", row) for row in printed[1:-1])
        assert len(printed) == 12


@pytest.mark.parametrize(
    "name",
    ["--model mn04_as", "--model_name=mn04_as", "--pretrained_name mn04_as", "--pretrained --model_name mn04_as"],
)
def test_windowed_inference_prints_five_tags_a_window_by_any_spelling_of_the_name(name, metro, capsys):
    asked = []
    sound = "--audio_path resources/metro_station-paris.wav"
    line = f"windowed_inference {name} --cuda {sound} --window_size 4 --hop-length 2.5"
    assert original.run(words(line), load=lambda found: asked.append(found) or small(found)) == 0
    blocks = capsys.readouterr().out.rstrip("\n").split("\n\n")
    assert asked == ["mn04_as"]
    assert [block.splitlines()[0] for block in blocks] == [
        f"Window: {start:.2f} - {start + 4:.2f}" for start in (0, 2.5, 5, 7.5, 10)
    ]
    assert all(len(block.splitlines()) == 6 for block in blocks)
    assert all(re.fullmatch(r"\tclass \d+: 0\.\d\d", row) for block in blocks for row in block.splitlines()[1:])


def test_window_size_is_samples_in_inference_and_seconds_in_windowed_inference(metro, capsys):
    sound = ["--audio_path", str(metro)]
    assert original.run(["inference", *sound, "--window_size", "800"], load=small) == 0
    with pytest.raises(AuricleError, match="--window_size 800, not 400"):
        original.run(["inference", *sound, "--window_size", "400"], load=small)
    capsys.readouterr()
    assert original.run(["windowed_inference", *sound, "--window_size", "40", "--hop_length", "20"], load=small) == 0
    assert capsys.readouterr().out == ""  # the published rule: no window at all


def test_a_line_that_describes_another_network_is_refused(metro):
    for option in ("--hop_size=160", "--n_mels=64", "--head_type=fully_convolutional", "--strides 2 2 2 1"):
        line = ["inference", "--audio_path", str(metro), *words(option)]
        with pytest.raises(AuricleError, match="leave the option out"):
            original.run(line, load=small)
    mels = small("mn10_as_mels_64")
    mels.info = MN(MNConfig(width=0.1, num_classes=20, front_end=EfficientATMel(n_mels=64).id)).info
    assert original.run(["inference", "--audio_path", str(metro), "--n_mels=64"], load=lambda _: mels) == 0


def test_a_file_of_any_length_is_one_input_for_inference(tmp_path, capsys):
    file = write_sound(tmp_path / "long.wav", tone(125.0, 8000), 8000)
    assert original.run(["inference", "--audio_path", str(file)], load=small) == 0
    table = capsys.readouterr().out
    import auricle
    from auricle.inference.tag_results import tag_table

    assert table.strip() == tag_table(auricle.tag(file, small("mn10_as"), whole=200.0).results[0].tags).strip()


def test_lines_that_the_original_cannot_run_are_refused(metro):
    def refused(line: str, words_of: str) -> None:
        with pytest.raises(AuricleError, match=words_of):
            original.run(words(line), load=lambda name: LogMelStats() if name == "logmel-stats" else small(name))

    refused(f"inference --audio_path {metro.parent}", "is a folder")
    refused(f"windowed_inference --audio_path {metro} --hop_length 0", "above 0")
    refused(f"windowed_inference --audio_path {metro} --model logmel-stats", "cannot tag")
    refused("complexity --model_name mn10_as --se_dims f", "se_dims c, not f")
    refused("complexity --model_name mn10_as --model_width 0.1", "model_width 1.0, not 0.1")
    refused("complexity --model_name logmel-stats", "MN and DyMN")
    refused("complexity --model_width 1 --n_mels 0", "n_mels above 0")


def test_a_network_of_a_width_takes_the_lines_front_end(capsys):
    assert original.run(words("complexity --model_width 0.1 --se_dims t --hop_size 480"), load=small) == 0
    assert original.run(words("complexity --model_width 0.1 --resample_rate 16000"), load=small) == 0


def test_complexity_lines_give_the_published_numbers(capsys):
    rows = {row["name"]: row for row in json.loads((GOLDEN / "efficientat" / "complexity.json").read_text())}
    assert main(words("original efficientat complexity --complexity_type=memory --model_name=mn04_as")) == 0
    assert f"{rows['mn04_as']['peak_memory_kB_fp16_plain']:g} kB" in capsys.readouterr().out
    line = "original efficientat complexity.py --complexity_type memory --memory_efficient_inference --model_width 0.4"
    assert main(words(line)) == 0
    assert f"{rows['mn04_as']['peak_memory_kB_fp16_efficient']:g} kB" in capsys.readouterr().out
    line = "original efficientat complexity --model_width=0.1 --head_type=fully_convolutional --se_dims=f"
    assert main(words(line)) == 0
    assert "has 0.08 million parameters" in capsys.readouterr().out
    assert main(words("original efficientat receptive_field_cnn --model_name dymn04_as")) == 0
    assert "595 mel bins" in capsys.readouterr().out


def test_unknown_programs_scripts_and_bad_files_are_refused(metro, capsys):
    assert main(["original", "efficentat", "inference"]) == 2
    assert "did you mean efficientat" in capsys.readouterr().err
    assert main(["original", "efficientat", "inferense.py"]) == 2
    assert "did you mean inference" in capsys.readouterr().err
    with pytest.raises(AuricleError, match="no such file"):
        original.run(["inference", "--audio_path", "none.wav"], load=small)


def test_windows_of_the_real_network_agree_with_the_golden_ones(shared, capsys):
    """All four settings, from the file; probabilities move by up to 5e-4 with the resampler.

    Source: [efficientat 5.1](docs/specification/efficientat.md#s5-1).
    """
    import auricle

    encoder = auricle.load("mn04_as", weights=shared / "weights" / "mn04_as_mAP_432.pt")
    audio = shared / "data" / "audio" / "metro_station-paris.wav"
    golden = json.loads((GOLDEN / "efficientat" / "windowed_inference.json").read_text())["results"]
    for key, want in golden.items():
        window, hop = map(float, re.fullmatch(r"window([\d.]+)_hop([\d.]+)", key).groups())
        (found,) = auricle.Tagger(encoder, window=window, hop=hop, tail=original.zero_padded)(audio).results
        assert [(w.start, w.end) for w in found.windows] == [(w["start"], w["end"]) for w in want]
        for ours, theirs in zip(found.windows, want):
            assert [t.label for t in ours.tags] == [t["tag"] for t in theirs["tags"]]
            worst = max(abs(t.score - g["probability"]) for t, g in zip(ours.tags, theirs["tags"]))
            assert worst < 5e-4
