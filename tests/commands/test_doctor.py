"""``auricle doctor`` tells the truth about formats, extras and folders, and always ends well."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path

import pytest

from auricle.audio.decode import AUDIO_SUFFIXES
from auricle.cli.doctor import lines
from auricle.cli.main import main
from auricle.commands import doctor as job
from auricle.commands.doctor import Extra, doctor, extras
from auricle.core.io import cache_dir


@pytest.fixture(scope="module")
def diagnosis():
    return doctor()


def test_core_formats_decode_everywhere(diagnosis):
    works = {format.suffix for format in diagnosis.formats if format.decodes}
    assert {".wav", ".flac", ".ogg", ".opus", ".mp3"} <= works


def test_media_formats_are_tried_where_pyav_is_installed(diagnosis):
    pytest.importorskip("av", reason="needs the [media] extra")
    problems = {format.suffix: format.detail for format in diagnosis.formats if not format.decodes}
    assert not problems
    assert {".m4a", ".aac", ".mp4", ".mkv", ".webm"} <= {format.suffix for format in diagnosis.formats}


def test_every_format_tried_is_one_that_folders_are_searched_for(diagnosis):
    assert {format.suffix for format in diagnosis.formats} <= AUDIO_SUFFIXES


def test_a_format_that_fails_is_reported_and_the_others_are_tested(monkeypatch):
    from auricle.audio import write as encode

    real = encode.encode_audio

    def breaks(wave, rate, suffix):
        if suffix == ".flac":
            raise RuntimeError("no encoder")
        return real(wave, rate, suffix)

    monkeypatch.setattr(encode, "encode_audio", breaks)
    found = {format.suffix: format for format in job.try_formats()}
    assert not found[".flac"].decodes
    assert "no encoder" in found[".flac"].detail
    assert found[".wav"].decodes


def test_extras_are_those_of_the_package_with_their_install_lines():
    found = {extra.name: extra for extra in extras()}
    assert {"media", "train", "data", "plots", "hf", "docs", "e2e", "dev"} <= set(found)
    assert "all" not in found
    alone = " in an environment of its own"
    assert all(e.install == f"pip install 'auricle[{n}]'{alone * (n == 'litert')}" for n, e in found.items())
    assert any(text.startswith("pytest ") for text in found["dev"].installed)


def test_missing_and_outdated_packages_are_named(monkeypatch):
    monkeypatch.setattr(job.metadata, "requires", lambda name: ['av>=14; extra == "media"', 'none; extra == "media"'])
    monkeypatch.setattr(job, "_version", lambda package: {"av": "13.1.0"}.get(package))
    assert extras() == [Extra("media", (), ("av>=14 (found 13.1.0)", "none"), "pip install 'auricle[media]'")]


def test_versions_compare_by_number():
    assert job._older("1.9.0", "x>=1.10")
    assert not job._older("1.10.0", "x>=1.9.3")
    assert not job._older("6.0.3", "x>=6,<7")
    assert not job._older("2.0", "x")


def test_text_names_device_cache_and_install_lines(diagnosis):
    text = "\n".join(lines(diagnosis))
    assert diagnosis.hardware.device in text
    assert diagnosis.cache in text
    for extra in diagnosis.extras:
        assert (extra.install in text) == bool(extra.missing)


def test_the_command_prints_text_or_json_and_exits_with_0(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "not" / "yet"))
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["cache"] == str(tmp_path / "not" / "yet")
    assert found["free_gib"] > 0
    assert found["torch"] == metadata.version("torch")
    assert found["hardware"]["cores"] >= 1
    assert main(["doctor"]) == 0
    assert "formats decoded here" in capsys.readouterr().out


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.setenv("AURICLE_CACHE", "~/sounds")
    assert cache_dir() == Path.home() / "sounds"
    monkeypatch.delenv("AURICLE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr("sys.platform", "linux")
    assert cache_dir() == tmp_path / "xdg" / "auricle"
    monkeypatch.setattr("sys.platform", "darwin")
    assert cache_dir() == Path.home() / "Library" / "Caches" / "auricle"
