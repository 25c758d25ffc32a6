"""The folder names of M2D's runs ([m2d 5.6](docs/specification/m2d.md#s5-6))."""

from __future__ import annotations

import pytest

from auricle.compat.m2d.names import initials, number, run_folder_name
from auricle.compat.m2d.options import AUDIOSET, GENERAL, MAE, SPEECH
from auricle.hub.convert.m2d_names import parse_name

ICBHI = dict(  # the guide's further pre-training
    model="m2d_x_vit_base", input_size="80x200", patch_size="16x4", epochs=600, batch_size=64, accum_iter=2, seed=6,
    csv_main="data/files_icbhi2017.csv", csv_bg_noise="data/files_f_s_d_5_0_k.csv", noise_ratio=0.3, loss_off=1.0,
    min_ds_size=10000, blr=3e-4, save_freq=100, eval_after=600,
)  # fmt: skip


def named(program=GENERAL, processes=4, **settings):
    return run_folder_name(program, settings, date="240514", processes=processes)


def test_the_published_example_is_named_as_published():
    assert named(processes=1, **ICBHI) == "m2d_x_vit_base-80x200p16x4p16k-240514-MdfiDdffsd50ks6bs128a2lo1nr.3-e600"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, ".3"),
        (1.0, "1"),
        (0.01, "01"),
        (0.0003, "0003"),
        (0.001, "001"),
        (24.0, "24"),
        (600, "600"),
        (0.99995, ".99995"),
    ],
)
def test_numbers_lose_their_zeros_by_the_published_rule(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("path", "letters"),
    [
        ("data/files_icbhi2017.csv", "dfi"),
        ("data/files_f_s_d_5_0_k.csv", "dffsd50k"),
        ("data/files_fsd50k.csv", "dff"),
        ("", ""),
        ("/abs/list.csv", "al"),
    ],
)
def test_paths_become_the_initials_of_their_parts(path, letters):
    assert initials(path) == letters


def test_usual_settings_leave_only_the_epochs():
    assert named() == "m2d_vit_base-80x608p16x16p16k-240514--e300"
    assert named(SPEECH) == "m2d_s_vit_base-80x208p80x4-240514--e1000"
    assert named(MAE) == "msm_mae_vit_base-80x208p16x16-240514--e200"
    assert named(AUDIOSET, loss_off=0.1) == "m2d_as_vit_base-80x608p16x16p16k-240514--e300"


@pytest.mark.parametrize(
    ("settings", "tags"),
    [
        (dict(ema_decay_init=0.99, ema_decay=0.999), "ema.99ed.999"),
        (dict(decoder_depth=4, mask_ratio=0.6), "dd4mr.6"),
        (dict(no_norm_pix_loss=True, loss_fn="mse", optim="sgd"), "~NLmOs"),
        (dict(warmup_epochs=24.0, blr=1e-3, lr=0.5), "wu24blr001lr.5"),
        (dict(batch_size=256, accum_iter=2), "a2"),
        (dict(batch_size=32, accum_iter=4), "bs512a4"),
        (dict(loss_m2d=0.5, loss_off=1.0, noise_ratio=0.01, min_ds_size=0, cont_mask=10), "lm.5lo1nr01dn0C10"),
    ],
)
def test_every_other_setting_gets_its_tag_in_the_published_order(settings, tags):
    assert named(**settings) == f"m2d_vit_base-80x608p16x16p16k-240514-{tags}-e300"


def test_our_loaders_read_sizes_and_rate_from_the_name():
    said = parse_name(named(sr="32k", input_size="80x200", patch_size="16x4"))
    assert (said.model, said.input_size, said.patch_size, said.sample_rate) == ("m2d_vit_base", "80x200", "16x4", 32000)
