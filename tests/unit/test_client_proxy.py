"""The client behind a proxy: when it takes it, and what the proxy and the records get to see."""

from __future__ import annotations

import json
import os
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from core.paths import CLIENT
from tests.doubles.api_server import Behaviour, refusing, saying, serving
from tests.doubles.proxy import Proxied, proxying

KEY = "sk-planted-3b1f9c27"
LOGIN = "kim:p@ss/word-1234"
LOGIN_IN_URL = "kim:p%40ss%2Fword-1234"
SECRETS = (KEY, "p@ss/word-1234", "p%40ss%2Fword-1234", "a2ltOnBAc3Mvd29yZC0xMjM0")
"""The last one is the login in base64."""


def asked(url: str, env: Mapping[str, str], *options: str) -> tuple[int, dict[str, Any]]:
    """The client's exit status and record; no secret of ours is in what it writes."""
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    question = json.dumps({"id": "q", "body": {"stream": True}})
    done = subprocess.run(
        [sys.executable, "-IS", str(CLIENT), *options, url, "5", question],
        capture_output=True,
        check=False,
        timeout=30,
        env={**clean, "A_KEY": KEY, **env},
    )
    written = (done.stdout + done.stderr).decode()
    assert "Traceback" not in written
    assert not [secret for secret in SECRETS if secret in written]
    return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of api.test with its key, signed by itself."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
        f"-keyout {path} -out {path}.crt -subj /CN=api.test -addext subjectAltName=DNS:api.test "
        "-addext basicConstraints=critical,CA:TRUE".split(),
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


@contextmanager
def behind(
    certificate: Path, *behaviours: Behaviour, **proxy: str
) -> Iterator[tuple[Proxied, list[bytes]]]:
    """An https server that only a proxy leads to; the proxy, and what the server gets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        serving(*behaviours, tls=context) as (url, requests),
        proxying(urlsplit(url).port or 0, **proxy) as proxied,
    ):
        yield proxied, requests


URL = "https://api.test/v1/chat/completions"
KEYED = ("--key-env", "A_KEY")


def test_https_goes_through_a_tunnel_in_which_the_proxy_reads_nothing(certificate: Path) -> None:
    with behind(certificate, saying("yes"), login=LOGIN) as (proxied, requests):
        env = {
            "https_proxy": f"http://{LOGIN_IN_URL}@{proxied.address}",
            "SSL_CERT_FILE": str(certificate),
        }
        status, record = asked(URL, env, *KEYED)

    assert (status, record["text"], record["error"]) == (0, "yes", None)
    assert record["proxy"] == proxied.address
    (head,) = proxied.heads
    assert head.startswith(b"CONNECT api.test:443 ")
    assert KEY.encode() not in b"".join(proxied.clear)
    (request,) = requests
    assert f"Authorization: Bearer {KEY}".encode() in request
    assert b"Proxy-Authorization" not in request, "the login is the proxy's alone"
    assert b"Host: api.test\r\n" in request


def test_the_certificate_is_that_of_the_server_behind_the_proxy(certificate: Path) -> None:
    with behind(certificate, saying("yes")) as (proxied, requests):
        status, record = asked(URL, {"HTTPS_PROXY": proxied.address}, *KEYED)

    assert status == 3
    assert "the certificate of api.test is not to be trusted" in record["error"]
    assert requests == []


@pytest.mark.parametrize("no_proxy", ["api.test", ".test", "*", "other.org, api.test:443"])
def test_no_proxy_exempts(certificate: Path, no_proxy: str) -> None:
    with behind(certificate, saying("yes")) as (proxied, _):
        env = {"https_proxy": proxied.address, "no_proxy": no_proxy}
        _, record = asked(URL, env, *KEYED)

    assert proxied.heads == []
    assert record["proxy"] is None
    assert record["error"], "nobody knows the name but the proxy"


@pytest.mark.parametrize(
    ("no_proxy", "is_exempt"),
    [("10.96.0.0/24", True), ("10.96.0.77", True), ("10.97.0.0/16,nonsense/x", False)],
)
def test_no_proxy_may_name_networks(no_proxy: str, *, is_exempt: bool) -> None:
    with serving(saying("yes")) as (url, _), proxying(urlsplit(url).port or 0) as proxied:
        env = {"http_proxy": proxied.address, "no_proxy": no_proxy}
        _, record = asked("http://10.96.0.77:9/v1", env, "--retries", "0")

    assert (record["proxy"] is None) is is_exempt
    assert bool(proxied.heads) is not is_exempt


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_never_asked_through_a_proxy(host: str) -> None:
    with serving(saying("yes")) as (url, _), proxying(1) as proxied:
        env = {"http_proxy": proxied.address, "https_proxy": proxied.address, "no_proxy": ""}
        status, record = asked(url.replace("127.0.0.1", host), env, *KEYED)

    assert (status, record["text"]) == (0, "yes")
    assert proxied.heads == []


def test_plain_http_takes_http_proxy_alone() -> None:
    plain = "http://api.test/v1/chat/completions"
    with (
        serving(saying("yes")) as (url, requests),
        proxying(urlsplit(url).port or 0, login=LOGIN) as proxied,
    ):
        _, refused = asked(plain, {"https_proxy": proxied.address})
        assert proxied.heads == []
        env = {"http_proxy": f"http://{LOGIN_IN_URL}@{proxied.address}"}
        status, record = asked(plain, env)

    assert refused["proxy"] is None
    assert (status, record["text"], record["proxy"]) == (0, "yes", proxied.address)
    assert proxied.heads[0].startswith(f"POST {plain} HTTP/1.1".encode())
    assert b"Host: api.test\r\n" in requests[0]


def test_a_key_does_not_go_to_a_proxy_in_clear() -> None:
    with serving(saying("yes")) as (url, _), proxying(urlsplit(url).port or 0) as proxied:
        env = {"http_proxy": proxied.address}
        status, record = asked("http://api.test/v1", env, *KEYED)

    assert status == 3
    assert record["error"] == (
        f"over http the proxy {proxied.address} would read the key: use https"
    )
    assert proxied.heads == []


@pytest.mark.parametrize(
    ("login", "refusal", "status", "told"),
    [
        ("", "407 No", 3, "wants a user and password: https_proxy=http://USER:PASSWORD@127.0.0.1:"),
        (LOGIN_IN_URL, "407 p@ss/word-1234", 3, "does not accept the user and password in https_"),
        (LOGIN_IN_URL, f"403 {KEY}", 3, "does not let through to the server (status 403)"),
        ("", "502 Bad", 1, "does not let through to the server (status 502)"),
    ],
)
def test_what_a_proxy_refuses_is_told_without_its_words(
    certificate: Path, login: str, refusal: str, status: int, told: str
) -> None:
    with behind(certificate, saying("yes"), refusal=refusal) as (proxied, requests):
        address = f"http://{login}@{proxied.address}" if login else proxied.address
        code, record = asked(URL, {"https_proxy": address}, *KEYED)

    assert code == status
    assert record["error"].startswith(f"the proxy {proxied.address} {told}")
    assert requests == []


def test_a_proxy_that_refuses_for_a_moment_is_asked_again(certificate: Path) -> None:
    with behind(certificate, saying("yes"), refusal="503 Later") as (proxied, _):
        env = {"https_proxy": proxied.address}
        asked(URL, env, *KEYED, "--retries", "1")

    assert len(proxied.heads) == 2


def test_a_proxy_that_is_not_there_is_named() -> None:
    env = {"https_proxy": f"http://{LOGIN_IN_URL}@127.0.0.1:1"}
    code, record = asked(URL, env, *KEYED)
    assert code == 1
    assert record["error"] == "the proxy 127.0.0.1:1 cannot be used: nothing listens there"


@pytest.mark.parametrize(
    "address",
    [f"https://{LOGIN_IN_URL}@p:1", "socks5://p:1", f"http://{LOGIN_IN_URL}@p:x", "http://["],
)
def test_what_is_no_proxy_that_can_be_used_is_told_without_it(address: str) -> None:
    code, record = asked(URL, {"https_proxy": address}, *KEYED)
    assert code == 3
    assert record["error"].startswith("https_proxy names no proxy of the form http://USER:")
    assert "socks5" not in record["error"]


def test_a_password_that_a_page_of_the_proxy_sends_back_is_hidden() -> None:
    refusals = refusing("403 No", f"your password {LOGIN.partition(':')[2]} is bad")
    with serving(refusals) as (url, _), proxying(urlsplit(url).port or 0) as proxied:
        env = {"http_proxy": f"http://{LOGIN_IN_URL}@{proxied.address}"}
        _, record = asked("http://api.test/v1", env)

    assert record["error"].endswith("your password <key> is bad")
