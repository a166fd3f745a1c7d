"""A file lands whole and right, or not at all; what was already fetched is not fetched again."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from core.errors import HerdError
from models.catalogue import FileSource, ModelFile
from models.download import ensure_file
from models.packages import PackageStore, SourceUnavailableError
from models.partial import PartialFile
from tests.doubles.serving import serving

CONTENT = bytes(range(256)) * 12_000  # 3 MB: several chunks
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """An HTTP server on loopback that can misbehave, and remembers what it was asked."""

    content: bytes = CONTENT
    breaks_after_bytes: int | None = None
    knows_ranges: bool = True
    status: int | None = None
    etag: str | None = None
    others: dict[str, bytes] | None = None
    ranges: list[str | None] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)
    sent_on_to: str | None = None
    told_sha256: str | None = None
    url: str = ""


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            state.keys.append(self.headers.get("Authorization"))
            if state.sent_on_to is not None and self.path == "/a.bin":
                self.send_response(302)
                self.send_header("Location", state.sent_on_to)
                if state.told_sha256:
                    self.send_header("X-Linked-ETag", f'"{state.told_sha256}"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = state.content if state.others is None else state.others.get(self.path)
            same = self.headers.get("If-Range") in (None, state.etag)
            start = int(asked.split("=")[1].rstrip("-")) if asked and same else 0
            start = start if state.knows_ranges else 0
            beyond = content is not None and 0 < start >= len(content)
            body = (content or b"")[start:]
            status = 404 if content is None else 416 if beyond else 206 if start else 200
            self.send_response(state.status or status)
            self.send_header("Content-Length", str(len(body)))
            if beyond:
                self.send_header("Content-Range", f"bytes */{len(content or b'')}")
            if state.etag:
                self.send_header("ETag", state.etag)
            self.end_headers()
            if state.breaks_after_bytes is not None:
                body, state.breaks_after_bytes = body[: state.breaks_after_bytes], None
            with suppress(ConnectionError):  # the client may have seen enough
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its own name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        state.url = f"http://127.0.0.1:{http.server_port}/a.bin"
        with serving(http):
            yield state


@dataclass
class Listener:
    notes: list[str] = field(default_factory=list)
    done_bytes: list[int] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, what: str, done_bytes: int, total_bytes: int) -> None:
        assert total_bytes == len(CONTENT)
        self.done_bytes.append(done_bytes)


def file_of(*addresses: str) -> ModelFile:
    # loopback speaks plain HTTP, which a catalogue may not name: hence construct
    sources = tuple(FileSource.model_construct(address=address) for address in addresses)
    return ModelFile.model_construct(
        name="a.bin", size_bytes=len(CONTENT), sha256=SHA256, sources=sources
    )


def fetch(folder: Path, file: ModelFile, listener: Listener | None = None) -> Path:
    hears = listener or Listener()
    return ensure_file(file, folder, PackageStore(folder / "packages", hears), hears)


def leave(folder: Path, content: bytes, origin: str = SHA256) -> None:
    """What a command that was killed leaves."""
    partial = PartialFile(folder / "a.bin")
    partial.begin(origin)
    partial.path.write_bytes(content)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_lands_with_its_content_and_only_its_manifest_beside_it(
    tmp_path: Path, server: Server
) -> None:
    listener = Listener()
    path = fetch(tmp_path, file_of(server.url), listener)
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["a.bin", "a.bin.json"]
    assert listener.done_bytes[-1] == len(CONTENT)
    assert listener.done_bytes == sorted(listener.done_bytes)


def test_a_file_that_is_there_is_not_asked_for_again(tmp_path: Path, server: Server) -> None:
    fetch(tmp_path, file_of(server.url))
    fetch(tmp_path, file_of(server.url))
    assert len(server.ranges) == 1


def test_a_file_that_is_there_is_read_again_only_if_it_changed(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(CONTENT)  # by hand, or by a version that kept no manifest
    read: list[Path] = []

    def counted(asked: Path) -> str:
        read.append(asked)
        return hashlib.sha256(asked.read_bytes()).hexdigest()

    monkeypatch.setattr("models.download.sha256_of", counted)
    monkeypatch.setattr("models.built.sha256_of", counted)
    for _ in range(3):
        fetch(tmp_path, file_of(server.url))
    assert len(read) == 1
    os.utime(path, ns=(1, 1))  # as a copy has another time
    for _ in range(3):
        fetch(tmp_path, file_of(server.url))
    assert len(read) == 2
    other = file_of(server.url).model_copy(update={"sha256": "0" * 64})
    with pytest.raises(HerdError, match="a different or damaged file"):
        fetch(tmp_path, other)
    assert len(server.ranges) == 1


def test_a_file_that_came_is_read_once(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_path: Path) -> str:
        raise AssertionError("it was hashed as it came")

    monkeypatch.setattr("models.download.sha256_of", never)
    monkeypatch.setattr("models.built.sha256_of", never)
    fetch(tmp_path, file_of(server.url))
    fetch(tmp_path, file_of(server.url))
    assert len(server.ranges) == 1


def test_a_file_that_was_damaged_on_disk_is_fetched_again(tmp_path: Path, server: Server) -> None:
    path = fetch(tmp_path, file_of(server.url))
    path.write_bytes(b"x" + CONTENT[1:])
    assert fetch(tmp_path, file_of(server.url)).read_bytes() == CONTENT


def test_a_broken_line_is_taken_up_where_it_broke(tmp_path: Path, server: Server) -> None:
    server.breaks_after_bytes = 2_000_000
    assert fetch(tmp_path, file_of(server.url)).read_bytes() == CONTENT
    assert server.ranges[0] is None
    assert server.ranges[1] is not None
    assert int(server.ranges[1].removeprefix("bytes=").rstrip("-")) > 900_000


def test_what_an_earlier_command_left_is_continued(tmp_path: Path, server: Server) -> None:
    leave(tmp_path, CONTENT[:1_234_567])
    assert fetch(tmp_path, file_of(server.url)).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1234567-"]


def test_a_server_that_knows_no_ranges_gives_the_file_from_the_start(
    tmp_path: Path, server: Server
) -> None:
    server.knows_ranges = False
    leave(tmp_path, CONTENT[:1000])
    assert fetch(tmp_path, file_of(server.url)).read_bytes() == CONTENT


def test_other_content_is_thrown_away_and_named(tmp_path: Path, server: Server) -> None:
    server.content = b"<html>" + CONTENT[6:]
    with pytest.raises(HerdError, match=r"has the sha256 .* it is a different or damaged file"):
        fetch(tmp_path, file_of(server.url))
    assert names_in(tmp_path) == []


def test_a_damaged_beginning_does_not_poison_the_next_try(tmp_path: Path, server: Server) -> None:
    leave(tmp_path, b"damaged" * 1000)
    with pytest.raises(HerdError):
        fetch(tmp_path, file_of(server.url))
    assert fetch(tmp_path, file_of(server.url)).read_bytes() == CONTENT


def test_a_longer_file_is_not_read_to_its_end(tmp_path: Path, server: Server) -> None:
    server.content = CONTENT * 4
    with pytest.raises(HerdError, match=r"a different or damaged file|stopped sending the file"):
        fetch(tmp_path, file_of(server.url))


def test_an_unreachable_source_is_said_in_one_line_and_the_next_is_tried(
    tmp_path: Path, server: Server
) -> None:
    listener = Listener()
    unreachable = "http://127.0.0.1:9/a.bin"
    assert fetch(tmp_path, file_of(unreachable, server.url), listener).exists()
    assert listener.notes == ["a.bin: 127.0.0.1 cannot be reached; trying the next source"]


def test_a_proxy_in_the_way_is_told_without_its_login(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://kim:pw-planted@127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(HerdError) as caught:
        fetch(tmp_path, file_of("http://models.test/a.bin"))
    message = str(caught.value)
    assert "the proxy set in the environment does not reach models.test" in message
    assert "pw-planted" not in message


def test_when_no_source_works_each_is_named_with_its_reason(tmp_path: Path, server: Server) -> None:
    server.status = 404
    with pytest.raises(HerdError) as caught:
        fetch(tmp_path, file_of("http://127.0.0.1:9/a.bin", server.url))
    message = str(caught.value)
    assert "127.0.0.1 cannot be reached" in message
    assert "answered 404" in message
    assert f"save it as {tmp_path / 'a.bin'}" in message


def test_a_full_disk_is_named_and_leaves_nothing(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(self: Path, mode: str = "r", *args: object, **more: object) -> object:
        file = opened(self, mode, *args, **more)  # type: ignore[call-overload]
        if self.suffix == ".part" and mode in ("wb", "ab"):
            file.write(b"some")
            file.flush()

            def refuse(_: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            monkeypatch.setattr(file, "write", refuse, raising=False)
        return file

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(HerdError, match=r"Fetching .*the disk of this machine is full"):
        fetch(tmp_path, file_of(server.url))
    monkeypatch.undo()
    assert names_in(tmp_path) == []


def test_a_disk_without_room_is_refused_before_the_first_byte(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.cache._free_bytes", lambda _: 1024)
    with pytest.raises(HerdError, match=r"it needs 3 MiB, 0 MiB are free"):
        fetch(tmp_path, file_of(server.url))
    assert server.ranges == []


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A client called npm that packs a package of ours, and counts how often it is asked."""
    archive = tmp_path / "a.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("package/all.data")
        info.size = len(CONTENT) + 20
        tar.addfile(info, io.BytesIO(b"0123456789" + CONTENT + b"0123456789"))
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\necho asked >> {tmp_path}/asked\n"
        f'[ "$2" = good@1.0.0 ] || {{ echo "npm error 404 no $2" >&2; exit 1; }}\n'
        f"cp {archive} .\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "asked"


def package_file(address: str, start: int = 10) -> ModelFile:
    source = {"from": address, "bytes": [start, start + len(CONTENT)]}
    return ModelFile.model_validate(
        {"name": "a.bin", "size_bytes": len(CONTENT), "sha256": SHA256, "sources": [source]}
    )


def test_a_part_of_a_file_in_a_package_is_taken_and_the_package_fetched_once(
    tmp_path: Path, npm: Path
) -> None:
    folder, listener = tmp_path / "cache", Listener()
    packages = PackageStore(folder / "packages", listener)
    file = package_file("npm:good@1.0.0#package/all.data")
    assert ensure_file(file, folder, packages, listener).read_bytes() == CONTENT
    (folder / "a.bin").unlink()
    ensure_file(file, folder, packages, listener)
    assert npm.read_text().count("asked") == 1


@pytest.mark.parametrize(
    ("address", "start", "reason"),
    [
        ("npm:bad@1.0.0#package/all.data", 10, "npm error 404 no bad@1.0.0"),
        ("npm:good@1.0.0#package/none", 10, "has no readable file package/none"),
        ("npm:good@1.0.0#package/all.data", 9, "a different or damaged file"),
    ],
)
def test_a_package_that_does_not_help_says_why(
    tmp_path: Path, npm: Path, address: str, start: int, reason: str
) -> None:
    with pytest.raises(HerdError, match=reason):
        fetch(tmp_path / "cache", package_file(address, start))


def test_without_npm_the_reason_is_that_npm_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HerdError, match="npm is not installed on this machine"):
        fetch(tmp_path / "cache", package_file("npm:good@1.0.0#package/all.data"))


@pytest.mark.network
def test_a_file_comes_out_of_a_real_package_of_pypi(tmp_path: Path) -> None:
    listener = Listener()
    address = "pypi:six==1.16.0#six.py"
    with PackageStore(tmp_path, listener).open_member(address) as member:
        content = member.read()
    expected = "4ce39f422ee71467ccac8bed76beb05f8c321c7f0ceda9279ae2dfa3670106b3"
    assert hashlib.sha256(content).hexdigest() == expected


@pytest.mark.network
@pytest.mark.parametrize("kind", ["npm:left-pad@99.0.0#x", "pypi:six==99#x"])
def test_a_version_that_does_not_exist_is_named(tmp_path: Path, kind: str) -> None:
    with (
        pytest.raises(SourceUnavailableError, match=r"No matching|not found|Not Found|notarget"),
        PackageStore(tmp_path, Listener()).open_member(kind),
    ):
        pass


# -- files that a publisher gives for a token

PLANTED = "hf_planted_7d1c0a"


def gated(url: str, sha256: str | None = SHA256) -> ModelFile:
    source = FileSource.model_construct(address=url, token_env="HF_TOKEN")  # noqa: S106 - a name
    return ModelFile.model_construct(
        name="a.bin", size_bytes=len(CONTENT), sha256=sha256, sources=(source,)
    )


def all_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_token_goes_to_its_host_and_nowhere_else(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Hugging Face does it: sent on to another host, which gives the file without a token."""
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password mine")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.sent_on_to = server.url.replace("127.0.0.1", "localhost").replace("a.bin", "b.bin")
    listener = Listener()

    path = fetch(tmp_path, gated(server.url), listener)

    assert path.read_bytes() == CONTENT
    assert server.keys == [f"Bearer {PLANTED}", None]
    assert PLANTED.encode() not in all_of(tmp_path)
    assert PLANTED not in " ".join(listener.notes)


@pytest.mark.parametrize("token", ["", PLANTED])
def test_who_may_not_have_a_file_is_told_what_to_do(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    server.status = 403

    with pytest.raises(HerdError) as caught:
        fetch(tmp_path, gated(server.url))

    told = str(caught.value)
    assert ("HF_TOKEN is not set" in told) == (not token)
    assert ("rejected the token in HF_TOKEN (403)" in told) == bool(token)
    assert "accept its licence" in told
    assert PLANTED not in told
    assert len(server.keys) == bool(token)


@pytest.mark.parametrize(("told", "comes"), [(SHA256, True), ("0" * 64, False)])
def test_what_the_server_says_of_a_file_must_be_true_where_nobody_else_says_it(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, *, told: str, comes: bool
) -> None:
    monkeypatch.setenv("HF_TOKEN", PLANTED)
    server.sent_on_to = server.url.replace("a.bin", "b.bin")
    server.told_sha256 = told

    if comes:
        assert fetch(tmp_path, gated(server.url, None)).read_bytes() == CONTENT
        return
    with pytest.raises(HerdError, match=r"instead of 0000000000000000…: it is a different"):
        fetch(tmp_path, gated(server.url, None))
    assert not (tmp_path / "a.bin").exists()
