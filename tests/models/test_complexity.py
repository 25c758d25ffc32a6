"""Costs by the published counting rules."""

import json

import pytest

from auricle.compat.efficientat.get_model import dymn_config, mn_config
from auricle.core.errors import AuricleError
from auricle.frontends.efficientat_mel import EfficientATMel
from auricle.models.efficientat.complexity import complexity
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.dymn import DyMN
from auricle.models.efficientat.mn import MN
from auricle.models.ensemble import Ensemble
from auricle.models.log_mel_stats import LogMelStats
from helpers.efficientat_golden import golden_path

ROWS = json.loads(golden_path("complexity.json").read_text())
ARGUMENTS = ("width_mult", "head_type", "strides", "se_dims", "use_dy_blocks")


def built(row: dict):
    """The network of a row, with the front end of its input."""
    name = row["name"]
    arguments = {key: row[key] for key in ARGUMENTS if key in row}
    if "attention" in name:
        arguments["head_type"] = "multihead_attention_pooling"
    config = dymn_config(**arguments) if name.startswith("dymn") else mn_config(**arguments)
    front = EfficientATMel(n_mels=row["n_mels"], hop_length=row["hop"]).id
    kind = DyMN if name.startswith("dymn") else MN
    return kind(type(config)(**{**vars(config), "front_end": front}))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_costs_are_the_published_ones(row):
    cost = complexity(built(row))
    assert cost.parameters == row["params"]
    assert cost.buffers == row["buffers"]
    assert cost.macs == row["macs"]
    assert [cost.receptive_field] * 2 == row["receptive_field_freq_time"]
    plain = row.get("peak_memory_kB_fp16_plain", row.get("peak_memory_kB_fp16_plain_dynamic_convs_counted"))
    assert cost.memory_kb == pytest.approx(plain, abs=1e-9)
    efficient = row.get("peak_memory_kB_fp16_efficient", "error")
    assert cost.efficient_memory_kb == (None if isinstance(efficient, str) else pytest.approx(efficient, abs=1e-9))


def test_an_ensemble_adds_its_members_up():
    member = MN(MNConfig(width=0.2))
    one, both = complexity(member), complexity(Ensemble([member, MN(MNConfig(width=0.2))]))
    assert both.macs == 2 * one.macs
    assert both.parameters == 2 * one.parameters
    assert both.memory_kb == one.memory_kb


def test_costs_grow_with_the_clip_and_the_context_is_in_seconds():
    short, long = (complexity(MN(MNConfig(width=0.1)), seconds=seconds) for seconds in (1.0, 10.0))
    assert 9 < long.memory_kb / short.memory_kb < 11
    assert long.receptive_seconds == pytest.approx(5.95)


def test_any_length_counts_at_least_what_the_network_pads_to_and_bound_networks_keep_theirs():
    tiny = MN(MNConfig(width=0.1))
    assert complexity(tiny, seconds=1e-5) == complexity(tiny, seconds=514 / 32000)
    with pytest.raises(AuricleError, match="1000 mel frames"):
        complexity(MN(MNConfig(width=0.1, se_dims="t")), seconds=5)


def test_other_families_are_refused():
    with pytest.raises(AuricleError, match="logmel-stats"):
        complexity(LogMelStats())
