"""``auricle complexity``: the published counts, and the time it takes here."""

import json

from auricle.cli.main import main
from helpers.paths import GOLDEN


def test_counts_are_the_published_ones_and_the_time_is_measured(capsys):
    golden = {row["name"]: row for row in json.loads((GOLDEN / "efficientat" / "complexity.json").read_text())}
    assert main(["complexity", "--model", "mn04_as", "dymn04_as", "--seconds", "10", "--rounds", "1", "--json"]) == 0
    for cost in json.loads(capsys.readouterr().out):
        want = golden[cost["name"]]
        assert (cost["parameters"], cost["macs"]) == (want["params"], want["macs"])
        assert cost["receptive_field"] == want["receptive_field_freq_time"][0]
        assert 0 < cost["latency_ms"] < 60_000
        assert abs(cost["real_time_factor"] * 10_000 - cost["latency_ms"]) < 1e-6


def test_the_table_leaves_out_what_was_not_measured_or_has_no_rule(capsys):
    assert main(["complexity", "--model", "mn01_as", "logmel-stats", "--no-measure"]) == 0
    header, mn, baseline, foot = capsys.readouterr().out.splitlines()
    assert header.split()[:3] == ["name", "parameters", "MACs"]
    assert mn.split()[:3] == ["mn01_as", "123,783", "18,147,487"]
    assert mn.split()[4:] == ["-", "5.95", "0.32", "-", "-"]
    assert baseline.split() == ["logmel-stats", "0", *["-"] * 4, "0.01", "-", "-"]
    assert "16 bits" in foot


def test_finer_frames_are_counted(capsys):
    assert main(["complexity", "--model", "mn04_as", "--frame-hop", "0.16", "--no-measure", "--json"]) == 0
    (cost,) = json.loads(capsys.readouterr().out)
    assert (cost["frame_seconds"], cost["macs"]) == (0.16, 173_170_455)
    assert main(["complexity", "--model", "mn04_as", "--frame-hop", "0.1"]) == 2
    assert "can be 0.32, 0.16, 0.08, 0.04, 0.02 s apart" in capsys.readouterr().err


def test_no_name_and_an_unknown_name_are_refused(capsys):
    assert main(["complexity"]) == 2
    assert "name at least one" in capsys.readouterr().err
    assert main(["complexity", "--model", "mn04_sa"]) == 2
    assert "did you mean mn04_as" in capsys.readouterr().err
