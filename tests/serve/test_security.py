"""Who may ask: names of the host, origins, the token; and what the page may load."""

from __future__ import annotations

import pytest

from auricle.core.errors import AuricleError
from auricle.core.options import size_of
from auricle.serve.security import token_of
from auricle.serve.settings import ServeConfig
from helpers.serving import client_of


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    with client_of(model="logmel-stats", state=str(tmp_path_factory.mktemp("state"))) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with client_of(model="logmel-stats", state=str(tmp_path_factory.mktemp("state")), token="open-sesame") as client:
        yield client


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8765", "localhost:80", "[::1]:8765", "192.168.1.7", "LOCALHOST"]
)
def test_addresses_and_own_names_are_hosts(client, host):
    assert client.get("/api/about", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "[", "127.0.0.1.evil.example:8765"])
def test_a_name_that_somebody_points_at_this_machine_is_no_host(client, host):
    answer = client.get("/api/about", headers={"host": host})
    assert answer.status_code == 421
    assert answer.json()["error"]["code"] == "host"


def test_a_name_that_was_allowed_is_a_host(tmp_path):
    with client_of(model="logmel-stats", state=str(tmp_path), allow_host=("Sounds.example",)) as client:
        assert client.get("/api/about", headers={"host": "sounds.example"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_of_another_site_may_not_ask(client, headers):
    for method in ("GET", "POST", "DELETE"):
        assert client.request(method, "/api/labels", headers=headers).status_code == 403


def test_the_own_page_may_ask_and_a_link_to_it_may_be_followed(client):
    own = {"origin": "http://127.0.0.1", "sec-fetch-site": "same-origin"}
    assert client.get("/api/about", headers=own).status_code == 200
    assert client.get("/", headers={"sec-fetch-site": "cross-site"}).status_code == 200


def test_the_page_may_load_from_its_server_alone(client):
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy.replace("https:", "http")
    assert "unsafe" not in policy
    for path in ("/", "/api/about", "/api/nothing"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_without_the_token_nothing_is_answered(guarded):
    for path in ("/", "/api/about", "/main.js", "/api/openapi.json", "/?token=wrong", "/api/about?token=open-sesame"):
        answer = guarded.get(path)
        assert answer.status_code == 401, path
        assert answer.json()["error"]["code"] == "token"


@pytest.mark.parametrize("kind", ["Bearer", "bearer"])
def test_the_token_is_taken_from_the_header(guarded, kind):
    assert guarded.get("/api/about", headers={"authorization": f"{kind} open-sesame"}).status_code == 200
    assert guarded.get("/api/about", headers={"authorization": f"{kind} open-sesam"}).status_code == 401


def test_the_printed_address_leaves_a_cookie_that_scripts_cannot_read(guarded):
    answer = guarded.get("/?token=open-sesame", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    value = answer.cookies["auricle_token"]
    assert guarded.get("/api/about", headers={"cookie": f"auricle_token={value}"}).status_code == 200
    guarded.cookies.clear()
    assert guarded.get("/api/about", headers={"cookie": 'auricle_token="'}).status_code == 401


def test_a_token_is_made_where_other_machines_reach_the_server():
    made = {token_of(ServeConfig(model="m", host="0.0.0.0")) for _ in range(2)}
    assert len(made) == 2
    assert all(token and len(token) >= 24 for token in made)
    assert token_of(ServeConfig(model="m", host="::1")) is None
    assert token_of(ServeConfig(model="m", host="0.0.0.0", token="chosen-by-me")) == "chosen-by-me"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"host": "0.0.0.0", "token": None}, "needs a token"),
        ({"token": "short"}, "8 or more"),
        ({"port": 70000}, "--port"),
        ({"max_upload": "much"}, "--max-upload is a size"),
        ({"max_seconds": 0.0}, "--max-seconds"),
        ({"jobs": 0}, "--jobs"),
        ({"model": ()}, "needs --model"),
    ],
)
def test_settings_that_cannot_work_are_refused_by_their_names(settings, words):
    with pytest.raises(AuricleError, match=words):
        ServeConfig(**{"model": ("m",), **settings})


def test_sizes_are_written_with_units():
    assert [size_of(text) for text in ("5", "2kB", "1.5 MB", "1GiB")] == [5, 2000, 1_500_000, 2**30]
