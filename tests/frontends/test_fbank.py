"""MAE-AST's fbank agrees with the published front end and with Kaldi's own code, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.core.errors import AuricleError
from auricle.frontends.base import front_end
from auricle.frontends.fbank import DEFAULT_ID, N_FFT, WIN_LENGTH, KaldiFbank, window_of
from auricle.frontends.framing import kaldi_bank
from helpers.encoders import mae_ast
from helpers.golden_files import close, read_golden
from helpers.paths import GOLDEN
from tolerances import TOLERANCES

CPU = torch.device("cpu")
TOLERANCE = TOLERANCES["Kaldi fbank"].atol


@pytest.fixture(scope="module")
def golden():
    return read_golden(GOLDEN / "mae_ast" / "frontend_few.safetensors")[0]


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("wave", "wanted"),
    [
        ("wav_16k", "fbank_mae_ast"),
        ("wav_dc_400", "fbank_dc_400"),
        ("resampled_48000", "fbank_48000"),
        ("resampled_44100", "fbank_44100"),
    ],
)
def test_the_fbank_agrees_with_the_published_one(golden, wave, wanted):
    found = KaldiFbank()(golden[wave][None])[0].T
    close(found, golden[wanted], TOLERANCE)
    assert float((found - golden[wanted]).abs().mean()) < 2e-5


def test_silence_is_the_floor(golden):
    close(KaldiFbank()(torch.zeros(1, 400 + 7 * 160))[0].T, golden["fbank_silence"], 1e-6)


def test_ssasts_flavour_has_a_hann_window(golden):
    wave = golden["wav_16k"]
    found = front_end("mae-ast-fbank/16k-hann")((wave - wave.mean())[None])[0].T
    close(found, golden["fbank_ssast_raw"], TOLERANCE)


def test_ssasts_constants_are_statistics_of_the_network(shared):
    tensors, meta = read_golden(shared / "golden" / "mae_ast" / "frontend.safetensors")
    said = meta["info"]["ssast_normalised"]
    wave = tensors["wav_16k"] - tensors["wav_16k"].mean()
    values = front_end("mae-ast-fbank/16k-hann")(wave[None])[:, :, : said["target_length"]]
    found = mae_ast().with_stats(said["mean"], said["std"]).normalise(values)[0].T
    close(found, tensors["fbank_ssast_normalised"], TOLERANCE)


def test_windows_and_mel_bank_are_the_published_ones(golden):
    close(window_of("povey", CPU)[:WIN_LENGTH], golden["window_povey_400"], 2e-7)
    close(window_of("hann", CPU)[:WIN_LENGTH], golden["window_hanning_400"], 2e-7)
    close(kaldi_bank(128, N_FFT, 16000, 20, 8000, CPU), golden["mel_banks_128x256"], TOLERANCES["mel bank"].atol)


@pytest.mark.parametrize("bands", [80, 40])  # 128 stand in the vectors: Kaldi refuses a filter that no FFT bin falls on
def test_kaldis_own_code_agrees(bands):
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = 16000
    options.mel_opts.num_bins = bands
    options.use_energy = False
    computer = knf.OnlineFbank(options)
    wave = noise(1, 16000)
    computer.accept_waveform(16000, wave[0].tolist())
    computer.input_finished()
    wanted = torch.from_numpy(np.stack([computer.get_frame(i) for i in range(computer.num_frames_ready)]))
    found = KaldiFbank(bands)(wave)[0].T
    close(found, wanted, TOLERANCE)


def test_a_clip_of_a_mixed_batch_comes_out_as_if_alone():
    front, wave, lengths = KaldiFbank(), noise(4, 9000), [9000, 400, 3201, 3200]
    mixed = front(wave, torch.tensor(lengths))
    for row, length in enumerate(lengths):
        frames = front.num_frames(length)
        torch.testing.assert_close(mixed[row, :, :frames], front(wave[row : row + 1, :length])[0], atol=1e-5, rtol=0)
        assert not mixed[row, :, frames:].any()


@pytest.mark.parametrize("samples", [400, 559, 560, 16000])
def test_the_number_of_frames_is_as_promised(samples):
    front = KaldiFbank()
    assert front(noise(1, samples)).shape == (1, 128, front.num_frames(samples))


def test_a_wave_shorter_than_a_frame_is_refused():
    with pytest.raises(AuricleError, match="400 samples"):
        KaldiFbank()(noise(1, 399))


def test_an_id_names_its_front_end_completely():
    assert front_end(DEFAULT_ID) == KaldiFbank()
    assert DEFAULT_ID == "mae-ast-fbank/16k"
    for front in (KaldiFbank(40), KaldiFbank(window="hann"), KaldiFbank(80, "hann")):
        assert front_end(front.id) == front
    for wrong in ("mae-ast-fbank/8k", "mae-ast-fbank/16k-m0", "mae-ast-fbank/"):
        with pytest.raises(AuricleError, match="16k-m80"):
            front_end(wrong)


def test_constants_made_in_inference_mode_serve_training():
    front = KaldiFbank(96)
    with torch.inference_mode():
        front(noise(1, 4000))
    wave = noise(1, 4000).requires_grad_()
    front(wave).sum().backward()
    assert torch.isfinite(wave.grad).all()
