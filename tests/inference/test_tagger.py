"""Tagging: right answers, every kind of input, and nothing lost."""

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import auricle
from auricle.audio.sources import AudioSource, find_audio
from auricle.cli.main import main
from auricle.commands.tag import TagFolder
from auricle.core.errors import AuricleError
from auricle.hub.convert.efficientat import to_published
from auricle.inference.tag_results import Failure, FileTags
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from auricle.models.ensemble import Ensemble
from helpers.paths import GOLDEN
from helpers.sounds import tone, write_sound
from helpers.tagging import LoudestBand

RATE = 32000
# Good resamplers differ by up to 0.00045 in a probability (polyphase against soxr HQ,
# [efficientat 5.1](docs/specification/efficientat.md#s5-1)).
# With soxr HQ, as the golden one, the resampled wave is the same bit for bit, and 2e-6 of rounding is left.
RESAMPLING = 0.0005


def published(path: Path, classes: int = 527, width: float = 0.1) -> Path:
    """A weight file in the published layout, with random weights."""
    torch.save(to_published(MN(MNConfig(width=width, num_classes=classes)).state_dict()), path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return published(tmp_path_factory.mktemp("weights") / "mn01_as_mAP_298.pt")


@pytest.fixture
def sound(tmp_path) -> Path:
    return write_sound(tmp_path / "low.wav", pure(1.0, 400.0), RATE)


def pure(seconds: float, hertz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def low_then_high(seconds: float) -> np.ndarray:
    half = seconds / 2
    return np.concatenate([pure(half, 400.0), pure(half, 9000.0)])


# ---- answers
def test_the_likeliest_label_comes_first(sound):
    tags = auricle.tag(sound, LoudestBand(), top_k=2)
    assert tags.results[0].tags[0].label == "low"
    assert len(tags.results[0].tags) == 2
    assert tags.results[0].seconds == 1.0
    assert "low: 0." in str(tags)


def test_exclusive_classes_share_one_probability(sound):
    many = auricle.tag(sound, LoudestBand("multiclass")).results[0].tags
    assert sum(t.score for t in many) == pytest.approx(1.0, abs=1e-5)
    each = auricle.tag(sound, LoudestBand()).results[0].tags
    assert sum(t.score for t in each) != pytest.approx(1.0, abs=1e-2)


def test_windows_give_the_times_of_each_label(tmp_path):
    file = write_sound(tmp_path / "both.wav", low_then_high(8.0), RATE)
    result = auricle.tag(file, LoudestBand("multiclass"), window=1, hop=0.5, threshold=0.6).results[0]
    assert [e.label for e in result.events] == ["low", "high"]
    low, high = result.events
    assert (low.start, high.end) == (0.0, 8.0)
    assert low.end == pytest.approx(4.0, abs=0.5)
    assert high.start == pytest.approx(4.0, abs=0.5)
    assert [w.tags[0].label for w in (result.windows[0], result.windows[-1])] == ["low", "high"]
    assert {t.label: t.score for t in result.tags}["high"] == max(w.tags[0].score for w in result.windows[8:])


def test_a_window_as_long_as_the_recording_scores_like_the_whole(sound):
    whole = auricle.tag(sound, LoudestBand()).results[0]
    windowed = auricle.tag(sound, LoudestBand(), window=1).results[0]
    assert windowed.tags == whole.tags
    assert whole.events is None
    assert len(windowed.windows) == 1


def test_windows_that_leave_gaps_do_not_shorten_the_recording(tmp_path):
    file = write_sound(tmp_path / "both.wav", low_then_high(8.0), RATE)
    result = auricle.tag(file, LoudestBand(), window=1, hop=5).results[0]
    assert result.windows[-1].end < 8.0
    assert result.seconds == 8.0


def test_long_recordings_are_scored_at_once_on_request(tmp_path):
    file = write_sound(tmp_path / "long.wav", np.tile(tone(10.0, 8000), 13), 8000)
    result = auricle.tag(file, LoudestBand(), whole=130).results[0]
    assert (result.seconds, result.events) == (pytest.approx(130.0), None)


def test_long_recordings_are_scored_in_windows_by_default(tmp_path):
    file = write_sound(tmp_path / "long.wav", np.tile(tone(10.0, 8000), 13), 8000)
    encoder = LoudestBand()
    result = auricle.tag(file, encoder).results[0]
    assert result.seconds == pytest.approx(130.0)
    assert result.windows[1].start == 5.0
    assert max(frames for _, _, frames in encoder.batches) == 1000


def test_several_taggers_make_an_ensemble(sound):
    members = [MN(MNConfig(width=0.1, num_classes=3), seed=seed).eval() for seed in (0, 1)]
    both = auricle.tag(sound, members, top_k=3)
    want = Ensemble(members)(torch.from_numpy(pure(1.0, 400.0))[None]).logits.sigmoid()[0]
    got = {t.label: t.score for t in both.results[0].tags}
    assert [got[f"class {c}"] for c in range(3)] == pytest.approx(want.tolist(), abs=1e-4)


def test_half_precision_moves_scores_only_a_little(sound):
    encoder = MN(MNConfig(width=0.1, num_classes=5)).eval()
    exact, coarse = (auricle.tag(sound, encoder, precision=p).results[0].tags for p in ("float32", "bf16"))
    assert {t.label for t in exact} == {t.label for t in coarse}
    assert max(abs(a.score - {t.label: t.score for t in coarse}[a.label]) for a in exact) < 0.02


# ---- what can be tagged
def test_folders_lists_and_bytes_are_tagged_each_file_once(tmp_path, sound):
    inner = write_sound(tmp_path / "more" / "b.flac", tone(0.5, 44100), 44100)
    (tmp_path / "more" / "notes.txt").write_text("no sound")
    sources = find_audio([tmp_path, sound, inner])
    assert [s.place for s in sources] == ["low.wav", "more/b.flac"]
    memory = AudioSource("-", sound.read_bytes(), "stdin")
    outcomes = list(auricle.Tagger(LoudestBand()).iterate([*sources, memory]))
    assert [o.file for o in outcomes] == [str(sound), str(inner), "-"]
    assert outcomes[2].tags == outcomes[0].tags


def bad_files(folder: Path) -> dict[str, str]:
    """Every kind of unusable file, and a word its message must hold."""
    (folder / "text.wav").write_text("this is no sound\n" * 10)
    (folder / "empty.wav").write_bytes(b"")
    write_sound(folder / "zero.wav", np.zeros(0, np.float32), RATE)
    write_sound(folder / "short.wav", tone(0.003, RATE), RATE)
    wave = tone(1.0, RATE)
    wave[500] = np.nan
    import soundfile

    soundfile.write(folder / "nan.wav", wave, RATE, subtype="FLOAT")
    cut = write_sound(folder / "cut.wav", tone(1.0, RATE), RATE).read_bytes()
    (folder / "cut.wav").write_bytes(cut[: len(cut) // 2])
    words = {"text.wav": "not audio", "empty.wav": "empty", "zero.wav": "no samples", "short.wav": "too short"}
    return words | {"nan.wav": "NaN", "cut.wav": "truncated", "missing.wav": "no such file"}


def test_bad_files_are_named_and_the_others_done(tmp_path, sound, capsys, weights):
    words = bad_files(tmp_path)
    files = [str(tmp_path / name) for name in words]
    middle = len(files) // 2
    line = ["tag", *files[:middle], str(sound), *files[middle:], "--model", "mn01_as", "--weights", str(weights)]
    assert main([*line, "--json", "--quiet"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [result["file"] for result in told["results"]] == [str(sound)]
    assert [failure["file"] for failure in told["failed"]] == files
    for failure in told["failed"]:
        name = Path(failure["file"]).name
        assert words[name] in failure["error"]
        assert name in failure["error"]
        assert "\n" not in failure["error"]


def test_an_unknown_model_a_truncated_and_a_wrong_weight_file_are_refused_with_a_message(
    tmp_path, sound, capsys, weights
):
    whole = weights.read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    published(tmp_path / "ten.pt", classes=10)
    lines = {
        ("--model", "mn01_sa"): "did you mean",
        ("--model", "mn01_as", "--weights", str(tmp_path / "cut.pt")): "cut.pt",
        ("--model", "mn01_as", "--weights", str(tmp_path / "ten.pt")): "10 classes",
        ("--model", "mn01_as", "--weights", str(tmp_path / "none.pt")): "no weight file",
        ("--model", "logmel-stats"): "cannot tag",
        (): "--model",
    }
    for options, words in lines.items():
        assert main(["tag", str(sound), *options, "--quiet"]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert words in said.err
        assert len(said.err.strip().splitlines()) == 1


def test_weights_that_give_nan_are_a_failure(sound):
    encoder = MN(MNConfig(width=0.1, num_classes=3)).eval()
    torch.nn.init.constant_(encoder.classifier[5].bias, float("nan"))
    tags = auricle.tag(sound, encoder)
    assert not tags.results
    assert "no finite scores" in tags.failed[0].error


def test_an_encoder_without_classes_and_an_unknown_option_are_refused(sound):
    with pytest.raises(AuricleError, match="cannot tag"):
        auricle.Tagger(LoudestBand(None))
    with pytest.raises(AuricleError, match="wndow"):
        auricle.tag(sound, LoudestBand(), wndow=3)


# ---- what is written
def test_json_has_exactly_the_documented_shape(sound):
    plain = auricle.tag([sound, "none.wav"], LoudestBand()).to_json()
    assert list(plain) == ["model", "results", "failed"]
    assert list(plain["results"][0]) == ["file", "seconds", "tags"]
    assert list(plain["results"][0]["tags"][0]) == ["label", "score"]
    assert list(plain["failed"][0]) == ["file", "error"]
    windowed = auricle.tag(sound, LoudestBand(), window=0.5, threshold=0.4).to_json()["results"][0]
    assert list(windowed) == ["file", "seconds", "tags", "events"]
    assert set(windowed["events"][0]) == {"label", "start", "end", "score"}


def test_results_are_equal_after_json(sound):
    result = auricle.tag(sound, LoudestBand(), window=0.5).results[0]
    plain = result.to_json() | {"windows": result.time_line()}
    assert FileTags.from_json(json.loads(json.dumps(plain))).to_json() == result.to_json()


def test_csv_has_a_row_per_window_and_label(sound, capsys, weights):
    options = ["--model", "mn01_as", "--weights", str(weights), "--window", "0.5", "--hop", "0.5", "--top_k", "3"]
    assert main(["tag", str(sound), *options, "--csv", "--quiet"]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["file", "start", "end", "label", "score"]
    assert [row[1:3] for row in rows[1:]] == [["0.000", "0.500"]] * 3 + [["0.500", "1.000"]] * 3


def test_a_folder_of_answers_gets_a_line_per_file_and_is_continued(tmp_path, sound, capsys, weights, monkeypatch):
    other = write_sound(tmp_path / "later.wav", tone(1.0, RATE, 5000.0), RATE)
    out = tmp_path / "out"
    line = ["--model", "mn01_as", "--weights", str(weights), "--window", "0.5", "--out", str(out), "--quiet"]
    assert main(["tag", str(sound), str(tmp_path / "none.wav"), *line, "--labels-out", "audacity"]) == 1
    lines = [json.loads(text) for text in (out / "tags.jsonl").read_text().splitlines()]
    assert [entry["file"] for entry in lines] == [str(sound), str(tmp_path / "none.wav")]
    assert (out / "low.wav.labels.txt").is_file()
    with open(out / "tags.jsonl", "a") as file:
        file.write('{"file": "cut by a ki')
    first = capsys.readouterr().out

    heard = []
    monkeypatch.setattr(AudioSource, "blocks", _recording_names(heard, AudioSource.blocks))
    assert main(["tag", str(sound), str(other), *line]) == 0
    assert heard == [str(other)]
    assert capsys.readouterr().out.startswith(first.split("Events")[0].split("No events")[0])
    names = [json.loads(text)["file"] for text in (out / "tags.jsonl").read_text().splitlines()]
    assert names == [str(sound), str(other)]
    assert main(["tag", str(sound), *line, "--hop", "0.1"]) == 2
    assert "another hop" in capsys.readouterr().err


def test_another_sound_on_standard_input_is_another_recording(tmp_path):
    folder, one, other = (
        TagFolder(tmp_path / "out", {}),
        AudioSource("-", b"one", "stdin"),
        AudioSource("-", b"two", "stdin"),
    )
    folder.add(one, FileTags("-", 1.0, ()))
    assert "-" in folder.finished([one])
    assert folder.finished([other]) == {}


def test_files_of_one_name_in_two_folders_have_their_own_label_tracks(tmp_path, sound, weights):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x.wav").write_bytes(sound.read_bytes())
    line = ["--model", "mn01_as", "--weights", str(weights), "--window", "0.5", "--out", str(tmp_path / "out")]
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert main(["tag", *folders, *line, "--labels-out", "audacity", "--quiet"]) == 0
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.txt")) == [
        "a/x.wav.labels.txt",
        "b/x.wav.labels.txt",
    ]


def test_outputs_that_cannot_be_written_are_refused_before_any_audio_is_read(tmp_path, sound, weights, capsys):
    line = ["tag", str(sound), "--model", "mn01_as", "--weights", str(weights), "--quiet"]
    (tmp_path / "file").write_text("")
    for options, words in (
        (["--picture", "p.xyz"], "ends in .png"),
        (["--out", str(tmp_path / "file")], "is a file; expected a folder"),
        (["--window", "1", "--hop", "0.0000001"], "a sample"),
    ):
        assert main([*line, *options]) == 2
        assert words in capsys.readouterr().err


def test_a_folder_without_audio_is_named_and_the_others_done(tmp_path, sound, capsys, weights):
    (tmp_path / "none").mkdir()
    assert main(["tag", str(tmp_path / "none"), str(sound), "--model", "mn01_as", "--weights", str(weights)]) == 1
    told = capsys.readouterr()
    assert "holds no audio" in told.err + told.out


def _recording_names(names: list[str], blocks):
    def recorded(source, *rest):
        names.append(source.name)
        return blocks(source, *rest)

    return recorded


def test_a_failure_comes_after_what_was_finished(sound):
    outcomes = auricle.Tagger(LoudestBand()).iterate([sound, "none.wav", sound.parent / "none too.wav"])
    assert isinstance(next(outcomes), FileTags)
    assert [type(o) for o in outcomes] == [Failure, Failure]


def test_a_picture_shows_one_recording(tmp_path, sound, weights, capsys):
    pytest.importorskip("matplotlib")
    sound = sound.rename(sound.with_name("price$5_$^.wav"))  # no formula
    picture = tmp_path / "picture.png"
    line = ["tag", str(sound), "--model", "mn01_as", "--weights", str(weights), "--quiet", "--picture", str(picture)]
    assert main(line) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert main([*line[:2], str(tmp_path), *line[2:]]) == 0, "a folder holding that one file is still one recording"
    write_sound(tmp_path / "two.wav", tone(), 16000)
    assert main([*line[:2], str(tmp_path), *line[2:]]) == 2
    assert "--picture draws one recording" in capsys.readouterr().err


def test_label_tracks_without_a_folder_or_windows_are_refused(sound, capsys):
    assert main(["tag", str(sound), "--model", "mn01_as", "--labels-out", "raven"]) == 2
    assert "--out and --window" in capsys.readouterr().err


# ---- memory
GROWTH = """
import resource, sys
from pathlib import Path
import numpy as np, soundfile, torch
import auricle
from auricle.models.efficientat.mn import MN
from auricle.models.efficientat.config import MNConfig

torch.set_num_threads(1)
encoder = MN(MNConfig(width=0.1, num_classes=20)).eval()
noise = np.random.default_rng(0).standard_normal(60 * 16000).astype(np.float32) * 0.1
peaks = []
for minutes in (2, 10):
    file = Path(sys.argv[1]) / f"{minutes}.flac"
    with soundfile.SoundFile(file, "w", 16000, 1) as out:
        for _ in range(minutes):
            out.write(noise)
    result = auricle.tag(file, encoder, window=10, hop=10).results[0]
    assert len(result.windows) == 6 * minutes
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[1] - peaks[0])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux only")
def test_memory_does_not_grow_between_the_second_and_the_tenth_minute(tmp_path):
    """Ten minutes at the network's 32 kHz would be 77 MB of samples alone.

    What the allocator keeps of what was freed differs from run to run by more than is asked here; told to give large
    pieces back it stays within a megabyte of 45 (decoder, queue of windows, graphs: level later, see LAB.md).
    """
    settled = {**os.environ, "MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536"}
    command = [sys.executable, "-c", GROWTH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=settled)
    assert float(done.stdout) < 65.0


# ---- the published network on the real recording
@pytest.fixture(scope="module")
def mn04(shared):
    return auricle.load("mn04_as", weights=shared / "weights" / "mn04_as_mAP_432.pt")


def test_the_real_network_gives_the_golden_top_ten_from_the_file(shared, mn04):
    """Decoded, mixed and resampled from 44.1 kHz here; the golden one was resampled by librosa with the same filter."""
    tags = auricle.tag(shared / "data" / "audio" / "metro_station-paris.wav", mn04).results[0].tags
    want = json.loads((GOLDEN / "efficientat" / "mn04_as_top10.json").read_text())["metro_station-paris"]
    assert [t.label for t in tags] == [row["label"] for row in want]
    assert max(abs(t.score - row["probability"]) for t, row in zip(tags, want)) < RESAMPLING


def test_bf16_and_fp16_stay_within_the_documented_difference(shared, mn04):
    audio = shared / "data" / "audio" / "metro_station-paris.wav"
    exact = {t.label: t.score for t in auricle.tag(audio, mn04, top_k=527).results[0].tags}
    for precision, most in (("bf16", 0.05), ("fp16", 0.02)):
        coarse = auricle.tag(audio, mn04, top_k=527, precision=precision).results[0].tags
        assert max(abs(t.score - exact[t.label]) for t in coarse) < most
