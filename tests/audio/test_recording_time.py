"""The date and time of a recording is read from the name that its recorder gave it."""

from __future__ import annotations

from datetime import datetime

import pytest

from auricle.audio.recording_time import start_time


@pytest.mark.parametrize(
    ("name", "time"),
    [
        ("20240501_053000.WAV", (2024, 5, 1, 5, 30)),  # AudioMoth
        ("24F319046365A8F0_20240501_053000.WAV", (2024, 5, 1, 5, 30)),  # AudioMoth with its number
        ("20240501_053000T.WAV", (2024, 5, 1, 5, 30)),  # AudioMoth, triggered
        ("night/SITE_20240501_053000.wav", (2024, 5, 1, 5, 30)),  # Song Meter
        ("S4A03895_20190522_060001_000.wav", (2019, 5, 22, 6, 0, 1)),  # Song Meter with milliseconds
        ("SITE_0+1_20150506$143000.wac.wav", (2015, 5, 6, 14, 30)),  # SM2 and SM3
        ("20240501T053000+1000_REC_-31.2+152.9.flac", (2024, 5, 1, 5, 30)),  # BAR
        ("20240501T053000Z.flac", (2024, 5, 1, 5, 30)),
        ("240501_053000.wav", (2024, 5, 1, 5, 30)),  # Zoom and others
        ("240501-0530.wav", (2024, 5, 1, 5, 30)),
        ("ZOOM_240501_053000_Tr1.wav", (2024, 5, 1, 5, 30)),
        ("2026-05-01_2300.flac", (2026, 5, 1, 23, 0)),
        ("Recording 2024-05-01 05.30.07.m4a", (2024, 5, 1, 5, 30, 7)),
        ("2024-05-01T05-30-07.ogg", (2024, 5, 1, 5, 30, 7)),
        ("Voice 2024-05-01 at 05.30.07.m4a", (2024, 5, 1, 5, 30, 7)),
        ("2024_05_01_05_30_07.wav", (2024, 5, 1, 5, 30, 7)),
        ("20240501/053000.wav", (2024, 5, 1, 5, 30)),
        ("2024-05-01/card/REC_05-30-00.wav", (2024, 5, 1, 5, 30)),
        ("2024-05-01-birdnet-RTSP_1-05:30:00.wav", (2024, 5, 1, 5, 30)),  # BirdNET-Pi
        ("0.91_1_20240501_053000_9.0s_12.0s.wav", (2024, 5, 1, 5, 30, 9)),  # a segment of BirdNET-Analyzer
        ("5042.240501053000.wav", (2024, 5, 1, 5, 30)),  # SoundTrap
        ("REC20240501053000.wav", (2024, 5, 1, 5, 30)),
        ("5AFE2A50.WAV", (2018, 5, 18, 1, 20, 16)),  # AudioMoth, first firmware
        ("59123456.WAV", (2017, 5, 9, 21, 27, 50)),
        ("part_20240501_053000_to_20240501_063000.wav", (2024, 5, 1, 5, 30)),
    ],
)
def test_recorders_names_hold_the_time(name, time):
    assert start_time(name) == datetime(*time)


@pytest.mark.parametrize(
    "name",
    [
        "metro.wav",
        "1-100032-A-0.wav",  # ESC-50
        "100032-3-0-0.wav",  # UrbanSound8K
        "ZOOM0001.WAV",
        "20240501.wav",  # no time of day
        "20241301_053000.wav",  # no such month
        "20240501_253000.wav",  # no such hour
        "12345678_901234.wav",
        "123456789_20240501.wav",
        "XC123456_0530.mp3",
        "LJ001-0001.wav",
        "991332_245961.wav",
        "84-121123-0000.flac",
        "20240501_0530001.wav",
        "20240501/clip_0530.wav",  # too few digits to be a time
        "5AFE2A50.mp3",  # AudioMoth writes WAV
        "52345678.wav",
        "00C0FFEE.WAV",
        "",
    ],
)
def test_other_names_hold_none(name):
    assert start_time(name) is None
