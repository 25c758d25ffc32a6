"""``hf://owner/name``: weights from the hub without its package, against a local server that speaks its HTTP."""

from __future__ import annotations

import json
import os
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import auricle
from auricle.core.errors import AuricleError
from auricle.hub.huggingface.name import HubSettings, RepositoryName
from auricle.hub.huggingface.snapshot import kept_repositories
from auricle.models.base import Encoder
from auricle.models.efficientat.config import MNConfig
from auricle.models.efficientat.mn import MN
from helpers.encoders import logmel_stats, m2d
from helpers.fake_hub import READER, WRITER, FakeHub, fake_hub

ID, NAME = "anna/frogs", "hf://anna/frogs"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return MN(MNConfig(width=0.1, num_classes=3), seed=1).eval()


@pytest.fixture(scope="module")
def files(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = encoder.save_pretrained(tmp_path_factory.mktemp("published"))
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in (
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_HUB_CACHE",
        "HF_HUB_OFFLINE",
        "AURICLE_OFFLINE",
        "TRANSFORMERS_OFFLINE",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with fake_hub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def refusal(name: str = NAME, **options) -> str:
    with pytest.raises(AuricleError) as caught:
        auricle.load(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def same(one: Encoder, other: Encoder) -> bool:
    return one.fingerprint() == other.fingerprint()


# ---- names
@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://anna/frogs", ("anna", "frogs", "main", "")),
        ("hf://models/anna/frogs", ("anna", "frogs", "main", "")),
        ("hf://anna/frogs@v1.2", ("anna", "frogs", "v1.2", "")),
        ("hf://anna/frogs@refs/pr/3", ("anna", "frogs", "refs/pr/3", "")),
        ("hf://anna/frogs@try%2Fmore/a/b.safetensors", ("anna", "frogs", "try/more", "a/b.safetensors")),
        ("hf://anna/frogs/small.safetensors", ("anna", "frogs", "main", "small.safetensors")),
    ],
)
def test_a_name_holds_owner_repository_revision_and_file(text, parts):
    name = RepositoryName.parse(text)
    assert (name.owner, name.name, name.revision, name.file) == parts


@pytest.mark.parametrize(
    "text",
    ["hf://", "hf://anna", "hf://anna/", "hf:///frogs", "hf://../frogs", "hf://anna/..", "hf://anna/frogs@", "hf://anna/frogs@../x",
     "hf://anna/frogs/../x.safetensors", "hf://anna/frogs/C:/x.safetensors", "hf://anna/a b", "hf://an\0na/frogs",
     "hf://datasets/anna/frogs", "hf://" + "a" * 5000 + "/b"],
)  # fmt: skip
def test_what_is_no_name_of_a_repository_is_refused(text, hub):
    assert "hf://" in refusal(text)
    assert hub.requests == []


# ---- loading
def test_weights_are_downloaded_once_and_a_new_commit_is_noticed(hub, files, encoder):
    hub.add(ID, files)
    assert same(auricle.load(NAME), encoder)
    assert [path for path in hub.paths() if "/cdn/" in path or "resolve" in path] != []
    hub.requests.clear()
    assert same(auricle.load(NAME), encoder)
    assert hub.paths() == ["/api/models/anna/frogs/revision/main?blobs=true"]
    other = MN(MNConfig(width=0.1, num_classes=3), seed=2).eval()
    folder = other.save_pretrained(Path(os.environ["HF_HOME"]).parent / "other")
    hub.add(ID, {"model.safetensors": (folder / "model.safetensors").read_bytes()})
    assert same(auricle.load(NAME), other)


def test_the_copy_is_the_one_that_huggingface_hub_uses(hub, files):
    client = pytest.importorskip("huggingface_hub")
    hub.add(ID, files)
    auricle.load(NAME)
    cache = HubSettings.from_environment().cache
    found = client.try_to_load_from_cache(ID, "model.safetensors", cache_dir=str(cache))
    assert Path(found).read_bytes() == files["model.safetensors"]
    scanned = client.scan_cache_dir(cache)
    assert [repository.repo_id for repository in scanned.repos] == [ID]
    assert scanned.warnings == []


def test_what_huggingface_hub_downloaded_is_used_without_a_request(hub, files, encoder):
    client = pytest.importorskip("huggingface_hub")
    hub.add(ID, files)
    cache = HubSettings.from_environment().cache
    client.hf_hub_download(ID, "model.safetensors", cache_dir=cache, endpoint=hub.url)
    hub.requests.clear()
    assert same(auricle.load(NAME, offline=True), encoder)
    assert hub.requests == []


def test_a_revision_is_a_branch_a_tag_or_a_commit(hub, files, encoder):
    repository = hub.add(ID, files)
    first = repository.refs["main"]
    repository.refs["v1"] = first
    repository.commit({"model.safetensors": b"later"})
    for revision in ("v1", first):
        assert same(auricle.load(f"{NAME}@{revision}"), encoder)
    hub.requests.clear()
    auricle.load(f"{NAME}@{first}")
    assert hub.requests == [], "a commit that is here needs no request"
    assert "has no revision 'v2'; it has main, v1" in refusal(f"{NAME}@v2")


def test_a_file_that_is_named_is_taken(hub, files, encoder):
    weights = files["model.safetensors"]
    hub.add(ID, {"model.safetensors": b"other", "small/frogs.safetensors": weights})
    assert same(auricle.load(f"{NAME}/small/frogs.safetensors"), encoder)
    assert "there is no such file; it holds model.safetensors, small/frogs.safetensors" in refusal(
        f"{NAME}/absent.safetensors"
    )


def test_a_run_folder_that_was_uploaded_as_it_is_loads(hub, files, encoder):
    hub.add(
        ID,
        {"encoder.safetensors": files["model.safetensors"], "encoder-best.safetensors": b"x", "config.yaml": b"a: 1"},
    )
    assert same(auricle.load(NAME), encoder)


def test_tensors_in_the_layout_of_efficientat_or_m2d_load_with_their_settings(hub, tmp_path, encoder):
    from auricle.hub.convert.efficientat import to_published
    from auricle.hub.convert.m2d import m2d_content

    save_file(to_published(encoder.state_dict()), tmp_path / "mn.safetensors")
    network = m2d()
    content, _ = m2d_content({f"online.{name}": value for name, value in network.state_dict().items()})
    state = content.get("model", content)
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "m2d.safetensors")
    hub.add(ID, {file.name: file.read_bytes() for file in tmp_path.glob("*.safetensors")})
    found = auricle.load(f"{NAME}/mn.safetensors")
    wave = torch.randn(1, 32000, generator=torch.Generator().manual_seed(0)) / 10
    assert found.info.name == f"{NAME}/mn.safetensors"
    torch.testing.assert_close(found(wave).clip, encoder(wave).clip)
    assert "input_size= and sample_rate=" in refusal(f"{NAME}/m2d.safetensors")
    assert "several safetensors files" in refusal(NAME)


# ---- the token
def test_a_private_repository_needs_a_token_which_no_other_server_gets(hub, files, encoder, monkeypatch):
    hub.add(ID, files, private=True)
    message = refusal()
    assert "there is no repository anna/frogs" in message
    assert "it is private: set HF_TOKEN" in message
    monkeypatch.setenv("HF_TOKEN", READER)
    hub.requests.clear()
    assert same(auricle.load(NAME), encoder)
    tokens = {path.split("/")[1]: headers.get("Authorization") for _, path, headers in hub.requests}
    assert tokens == {"api": f"Bearer {READER}", "anna": f"Bearer {READER}", "cdn": None}


def test_the_token_is_that_of_the_login_unless_a_variable_forbids_it(hub, files, monkeypatch):
    hub.add(ID, files, private=True)
    file = Path(os.environ["HF_HOME"]) / "token"
    file.parent.mkdir()
    file.write_text(f"{READER}\n")
    auricle.load(NAME)
    monkeypatch.setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")
    assert "it is private" in refusal(f"{NAME}@main")


def test_a_token_goes_with_a_redirect_to_the_same_server(hub, files, encoder, monkeypatch):
    hub.add("anna/toads", files, private=True)
    hub.moved = {"anna/frogs": "anna/toads"}
    monkeypatch.setenv("HF_TOKEN", READER)
    assert same(auricle.load(NAME), encoder)


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_false", "refuses the token from HF_TOKEN"),
        (READER, "or the token from HF_TOKEN may not read it"),
        ("a b", "holds characters"),
    ],
)
def test_a_refused_token_is_said(hub, monkeypatch, token, message):
    monkeypatch.setenv("HF_TOKEN", token)
    assert message in refusal()
    assert token not in refusal()


def test_a_gated_repository_says_what_to_accept(hub, files):
    hub.add(ID, files, gated=True)
    assert f"{hub.url}/anna/frogs is gated: accept its conditions" in refusal()


# ---- what is not there, or is no weight file
def test_a_repository_without_weights_says_what_it_holds_and_no_pickle_is_read(hub):
    hub.add(ID, {"pytorch_model.bin": b"\x80\x04", "README.md": b"hello"})
    message = refusal()
    assert "holds no weights that Auricle reads; expected model.safetensors" in message
    assert "it holds README.md, pytorch_model.bin" in message
    assert "only safetensors are read from the hub" in refusal(f"{NAME}/pytorch_model.bin")
    assert not [path for path in hub.paths() if "resolve" in path], "nothing was downloaded"


def test_weights_of_another_program_are_named(hub, tmp_path):
    save_file({"encoder.weight": torch.zeros(2, 2)}, tmp_path / "x.safetensors")
    hub.add(ID, {"model.safetensors": (tmp_path / "x.safetensors").read_bytes()})
    assert "without Auricle's description, and no state dict of EfficientAT or M2D" in refusal()


@pytest.mark.parametrize(
    "path", ["../model.safetensors", "/etc/model.safetensors", "a/../../b", "C:\\x", "a\nb", 3, ""]
)
def test_a_listing_with_a_path_that_leads_out_is_refused(hub, path):
    hub.add(ID, {"model.safetensors": b"x"})
    commit = hub.repositories[ID].refs["main"]
    hub.listings[ID] = {"sha": commit, "siblings": [{"rfilename": "model.safetensors"}, {"rfilename": path}]}
    assert "leads out of the repository" in refusal()
    assert not (Path(os.environ["HF_HOME"]) / "hub").exists()


@pytest.mark.parametrize(
    "listing",
    [[], 3, None, {}, {"sha": "x", "siblings": []}, {"sha": "../" * 13 + "x", "siblings": []}, {"sha": "a" * 40, "siblings": "all"},
     {"sha": "a" * 40, "siblings": [3]}, {"sha": "a" * 40, "siblings": [{"rfilename": "model.safetensors", "size": 1 << 60}]},
     {"sha": "a" * 40, "siblings": [{"rfilename": "model.safetensors", "size": "b", "blobId": "../x", "lfs": {"sha256": "../y"}}]},
     {"sha": "a" * 40, "siblings": [{"rfilename": f"{i}"} for i in range(100_001)]}],
)  # fmt: skip
def test_a_listing_that_is_none_is_refused(hub, listing):
    hub.add(ID, {"README.md": b"x"})
    hub.listings[ID] = listing
    assert len(refusal()) < 1000


def test_a_weight_file_with_another_content_than_listed_is_refused(hub, files):
    hub.add(ID, files)
    hub.lies = True
    assert "delivers another file" in refusal()
    hub.lies = False
    auricle.load(NAME)


def test_a_copy_that_has_changed_is_refused(hub, files):
    hub.add(ID, files)
    auricle.load(NAME)
    blob = next(
        path
        for path in (HubSettings.from_environment().cache / "models--anna--frogs" / "blobs").iterdir()
        if len(path.name) == 64
    )
    blob.write_bytes(blob.read_bytes()[:-1] + b"\xff")
    for offline in (False, True):
        assert f"{blob} has changed" in refusal(offline=offline)
    blob.unlink()
    auricle.load(NAME)


# ---- the network
def test_a_download_that_breaks_off_goes_on_where_it_ended(hub, files, encoder):
    hub.add(ID, files)
    hub.cuts = 2
    assert same(auricle.load(NAME), encoder)
    ranges = [headers.get("Range") for _, path, headers in hub.requests if "/cdn/" in path]
    assert ranges[0] is None
    assert ranges[1].startswith("bytes=")
    assert ranges[2] > ranges[1]


def test_a_server_with_too_many_requests_is_asked_again_when_it_says_so(hub, files, encoder):
    hub.add(ID, files)
    hub.busy = 2
    assert same(auricle.load(NAME), encoder)
    hub.busy, hub.retry_after = 9, "3600"
    shutil.rmtree(os.environ["HF_HOME"])
    assert (
        "too many requests (HTTP 429); try again in 3600 s, or set HF_TOKEN, and hf://anna/frogs is not on" in refusal()
    )
    assert hub.busy == 8, "nobody waits for an hour"


@pytest.mark.parametrize("why", ["closed", "down", "no JSON"])
def test_without_the_hub_the_copy_is_used_and_said(hub, files, encoder, monkeypatch, why):
    hub.add(ID, files)
    auricle.load(NAME)
    if why == "closed":
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    elif why == "down":
        hub.down = True
    else:
        monkeypatch.setenv("HF_ENDPOINT", hub.cdn_url)
        hub.large = {"main?blobs=true": b"", "main": b"<html>please log in</html>"}
    with pytest.warns(UserWarning, match="the copy of commit [0-9a-f]{8} is used"):
        assert same(auricle.load(NAME), encoder)
    shutil.rmtree(os.environ["HF_HOME"])
    assert "is not on this machine" in refusal()


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "AURICLE_OFFLINE"])
def test_offline_no_request_is_made(hub, files, encoder, monkeypatch, variable):
    hub.add(ID, files)
    monkeypatch.setenv(variable, "1")
    assert f"downloads are switched off ({variable}); 'auricle models get {NAME}' brings it" in refusal()
    assert hub.requests == []
    monkeypatch.delenv(variable)
    auricle.load(NAME)
    monkeypatch.setenv(variable, "1")
    hub.requests.clear()
    assert same(auricle.load(NAME), encoder)
    assert "here is main" in refusal(f"{NAME}@v1")
    assert hub.requests == []


def test_a_full_disk_is_said_before_the_download(hub, files, monkeypatch):
    hub.add(ID, files)
    usage = namedtuple("Usage", "total used free")(1 << 30, 1 << 30, 1000)
    monkeypatch.setattr("auricle.hub.huggingface.snapshot.shutil.disk_usage", lambda _: usage)
    assert "has room for 1,000; make room, or set HF_HOME to another place" in refusal()


def test_a_cache_that_cannot_be_written_is_named(hub, files):
    hub.add(ID, files)
    Path(os.environ["HF_HOME"]).write_text("a file")
    assert "cannot make the folder" in refusal()
    assert "set HF_HOME to another" in refusal()


def test_an_address_that_is_none_is_refused(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "huggingface.co")
    assert "HF_ENDPOINT is 'huggingface.co'; expected an address" in refusal()


def test_where_no_links_can_be_made_the_files_are_copied(hub, files, encoder, monkeypatch):
    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr("auricle.hub.huggingface.snapshot.os.symlink", no_links)
    hub.add(ID, files)
    assert same(auricle.load(NAME), encoder)
    assert same(auricle.load(NAME, offline=True), encoder)


def test_repositories_of_this_machine_are_listed(hub, files):
    hub.add(ID, files)
    hub.add("berta/readme", {"README.md": b"no weights"})
    auricle.load(NAME)
    found = kept_repositories(HubSettings.from_environment(offline=True))
    assert [str(name) for name, _ in found] == [NAME]
    assert found[0][1].read_bytes() == files["model.safetensors"]


# ---- folders
def test_a_saved_folder_loads_and_its_description_is_that_of_the_weights(tmp_path, encoder, files):
    folder = encoder.save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "config.json", "model.safetensors"]
    assert same(auricle.load(folder), encoder)
    assert json.loads(files["config.json"])["fingerprint"] == encoder.fingerprint()
    assert load_file(folder / "model.safetensors").keys() == encoder.state_dict().keys()


def test_a_saved_folder_keeps_a_card_of_its_own_and_takes_no_place_of_a_run(tmp_path, encoder):
    folder = logmel_stats().save_pretrained(tmp_path)
    (folder / "README.md").write_text("mine")
    encoder.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "mine"
    (folder / "encoder.safetensors").touch()
    with pytest.raises(AuricleError, match="holds a run"):
        encoder.save_pretrained(folder)


# ---- uploading
@pytest.fixture
def client(monkeypatch):
    client = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # the fake has Git LFS alone
    return client


def test_what_is_pushed_loads_again(hub: FakeHub, client, encoder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", WRITER)
    done = encoder.push_to_hub(ID, private=True)
    assert done.url == f"{hub.url}/anna/frogs"
    assert hub.repositories[ID].private
    assert hub.repositories[ID].refs["main"] == done.commit
    assert set(done.files) == {"README.md", "config.json", "model.safetensors"}
    assert same(auricle.load(NAME), encoder)


def test_a_branch_is_made_and_a_card_of_its_own_is_kept(hub, client, encoder, monkeypatch):
    hub.add(ID, {"README.md": b"written by hand"})
    done = encoder.push_to_hub(f"{NAME}@trial", token=WRITER)
    assert done.notes == ("anna/frogs has a model card of its own, which was kept",)
    commits = hub.repositories[ID].commits
    assert commits[done.commit]["README.md"] == b"written by hand"
    assert "model.safetensors" not in commits[hub.repositories[ID].refs["main"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ID}, "without a token"),
        ({"name": ID, "token": READER}, "may not write to anna"),
        ({"name": ID, "token": "hf_false"}, "refuses the token from token="),
        ({"name": "frogs", "token": WRITER}, "no name of a model repository"),
        ({"name": "hf://anna/frogs/x.safetensors", "token": WRITER}, "names a file"),
    ],
)
def test_an_upload_that_is_refused_says_why(hub, client, encoder, options, message):
    with pytest.raises(AuricleError, match=message):
        encoder.push_to_hub(**options)
    assert hub.repositories == {}


def test_an_upload_without_a_network_or_offline_says_so(hub, client, encoder, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(AuricleError, match=r"was not written: http://127\.0\.0\.1:9 cannot be reached"):
        encoder.push_to_hub(ID, token=WRITER)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(AuricleError, match=r"requests are switched off \(HF_HUB_OFFLINE\)"):
        encoder.push_to_hub(ID, token=WRITER)
