"""Recorder, place and time of a recording come from its name and folder, or from a table of the user."""

from __future__ import annotations

from datetime import datetime

import pytest

from auricle.core.errors import AuricleError
from auricle.index.recorders import RecordingPlace, describe, read_recorders

DAWN = datetime(2024, 6, 1, 5, 30)


@pytest.mark.parametrize(
    ("path", "recorder", "place"),
    [
        ("pond/20240601_053000.WAV", "pond", "pond"),  # AudioMoth: the folder is all that names it
        ("pond/24F319055FDF2205_20240601_053000.WAV", "24F319055FDF2205", "pond"),  # AudioMoth with its number
        ("pond/S4A01234_20240601_053000.wav", "S4A01234", "pond"),  # Song Meter SM4
        ("pond/Data/SMM00123_20240601_053000.wav", "SMM00123", "pond"),  # Song Meter Mini
        ("SITE_0+1_20240601$053000.wac.wav", "SITE", ""),  # SM2, SM3
        ("PREFIX_20240601_$053000.wav", "PREFIX", ""),
        ("2024-06-01/SWIFT07_20240601_053000.wav", "SWIFT07", ""),  # a date is no place
        ("reef/5042.240601053000.wav", "5042", "reef"),  # SoundTrap
        ("reef/20240601053000.wav", "reef", "reef"),
        ("porch/2024-06-01-birdnet-05:30:00.wav", "porch", "porch"),  # BirdNET-Pi
        ("pond/2024-06-01/REC_053000.wav", "pond", "pond"),
        ("pond/Recording 2024-06-01 05.30.00.m4a", "pond", "pond"),
        ("/20240601_053000.WAV", "", ""),
    ],
)
def test_recorder_is_the_prefix_or_the_folder(path, recorder, place):
    found = describe(path)
    assert (found.recorder, found.place, found.began) == (recorder, place, DAWN)


def test_position_in_a_frontier_labs_name_is_read():
    found = describe("creek/20240601T053000+1000_REC_[-27.4521+153.0211].flac")
    assert found == RecordingPlace("creek", "creek", DAWN, -27.4521, 153.0211)


def test_segment_of_birdnet_began_later_than_its_recording():
    found = describe("pond/Eurasian Wren/0.912_3_S4A01234_20240601_052951_9.0s_12.0s.wav")
    assert (found.recorder, found.began) == ("S4A01234", DAWN)


@pytest.mark.parametrize("path", ["dog/1-100032-A-0.wav", "metro.wav", "pond/rec001.wav"])
def test_names_without_a_time_say_nothing(path):
    assert describe(path) == RecordingPlace()


def test_table_says_more_than_names_and_its_first_rows_decide(tmp_path):
    table = tmp_path / "recorders.csv"
    table.write_text(
        "pattern,recorder,place,began,latitude\n"
        "card1/*.WAV,,Mill pond,,51.5\n"
        "card1/20240601_053000.WAV,M7,elsewhere,,\n"
        "tape.wav,,,1987-05-01 21:00:00,\n"
    )
    recorders = read_recorders(table)
    found = describe("/data/card1/20240601_053000.WAV", recorders)
    assert found == RecordingPlace("M7", "Mill pond", DAWN, 51.5)
    assert describe("/old/tape.wav", recorders).began == datetime(1987, 5, 1, 21)
    assert describe("/old/hightape.wav", recorders) == RecordingPlace()  # whole names only


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,site\na,b\n", "no column path"),
        ("path,colour\na.wav,red\n", "no column recorder or place"),
        ("path,place\n,pond\n", "line 2: no path"),
        ("path,began\na.wav,yesterday\n", "line 2: began 'yesterday'"),
        ("path,latitude\na.wav,north\n", "line 2: latitude 'north'"),
        ("path,latitude\na.wav,91\n", "not between -90 and 90"),
        ("path,longitude\na.wav,nan\n", "not between -180 and 180"),
    ],
)
def test_impossible_tables_are_refused_in_words(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(AuricleError, match=message):
        read_recorders(tmp_path / "t.csv")
