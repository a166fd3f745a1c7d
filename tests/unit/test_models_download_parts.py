"""Files in parts, and files whose sha256 nobody published, land whole and right or not at all."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from core.errors import HerdError
from core.progress import SilentReporter
from models.catalogue import FilePiece, FileSource, ModelFile
from models.download import ensure_file, fetched_sha256
from models.packages import PackageStore
from models.partial import PartialFile
from tests.unit.test_models_download import CONTENT, Server, names_in, server

__all__ = ["server"]  # the fixture

PARTS = [CONTENT[:1_000_000], CONTENT[1_000_000:1_700_000], CONTENT[1_700_000:]]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def parted(server: Server, *, pinned: bool = True, whole: str | None = None) -> ModelFile:
    """A file in three parts on the server; loopback speaks plain HTTP, hence construct."""
    base = server.url.rpartition("/")[0]
    server.others = {f"/{number}": part for number, part in enumerate(PARTS)}
    pieces = tuple(
        FilePiece.model_construct(
            size_bytes=len(part) if pinned else None,
            sha256=sha256(part) if pinned else None,
            sources=(FileSource.model_construct(address=f"{base}/{number}"),),
        )
        for number, part in enumerate(PARTS)
    )
    return ModelFile.model_construct(name="a.bin", sha256=whole, parts=pieces)


def unpinned(server: Server) -> ModelFile:
    sources = (FileSource.model_construct(address=server.url),)
    return ModelFile.model_construct(name="a.bin", sources=sources)


def begins_rightly(path: Path) -> None:
    """Stands for a format's check of its header."""
    if path.read_bytes()[:2] != CONTENT[:2]:
        raise HerdError("it is no such file.")


def fetch(folder: Path, file: ModelFile) -> Path:
    quiet = SilentReporter()
    return ensure_file(file, folder, PackageStore(folder / "p", quiet), quiet, begins_rightly)


@pytest.mark.parametrize("pinned", [True, False])
def test_parts_land_as_one_file_in_their_order(
    tmp_path: Path, server: Server, *, pinned: bool
) -> None:
    path = fetch(tmp_path, parted(server, pinned=pinned, whole=sha256(CONTENT)))
    assert path.read_bytes() == CONTENT
    assert names_in(tmp_path) == ["a.bin", "a.bin.json"]


def test_a_missing_part_is_named_and_the_others_are_kept(tmp_path: Path, server: Server) -> None:
    file = parted(server)
    others = dict(server.others or {})
    server.others = {name: part for name, part in others.items() if name != "/2"}
    with pytest.raises(HerdError, match=r"Could not fetch a.bin, part 3 of 3: .* answered 404"):
        fetch(tmp_path, file)
    asked = len(server.ranges)
    server.others = others
    assert fetch(tmp_path, file).read_bytes() == CONTENT
    assert len(server.ranges) == asked + 1


def test_a_wrong_part_is_thrown_away_alone(tmp_path: Path, server: Server) -> None:
    file = parted(server)
    others = dict(server.others or {})
    server.others = {**others, "/1": bytes(len(PARTS[1]))}
    with pytest.raises(HerdError, match=r"part 2 of 3: .* a different or damaged file"):
        fetch(tmp_path, file)
    assert (tmp_path / "a.bin.part").read_bytes() == PARTS[0]
    server.others = others
    assert fetch(tmp_path, file).read_bytes() == CONTENT


def test_a_broken_line_in_a_part_is_taken_up_where_it_broke(tmp_path: Path, server: Server) -> None:
    file = parted(server)
    partial = PartialFile(tmp_path / "a.bin")
    partial.begin(sha256(PARTS[0]))
    partial.path.write_bytes(PARTS[0])
    partial.finish(sha256(PARTS[0]))
    partial.begin(sha256(PARTS[1]))
    partial.path.write_bytes(PARTS[0] + PARTS[1][:12_345])
    assert fetch(tmp_path, file).read_bytes() == CONTENT
    assert server.ranges == ["bytes=12345-", None]


def test_parts_that_make_another_file_than_the_catalogue_says_are_refused(
    tmp_path: Path, server: Server
) -> None:
    with pytest.raises(HerdError, match=r"has the sha256 .* Correct the catalogue"):
        fetch(tmp_path, parted(server, whole="0" * 64))
    assert names_in(tmp_path) == []


def test_the_first_file_of_an_unknown_sha256_is_what_later_ones_must_be(
    tmp_path: Path, server: Server
) -> None:
    file = unpinned(server)
    path = fetch(tmp_path, file)
    assert fetched_sha256(file, path) == sha256(CONTENT)
    assert len(server.ranges) == 1
    fetch(tmp_path, file)
    assert len(server.ranges) == 1
    path.unlink()
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(HerdError, match=r"different file .* delete .*a\.bin\.json"):
        fetch(tmp_path, file)
    assert not path.exists()
    server.content = CONTENT
    assert fetch(tmp_path, file).read_bytes() == CONTENT


def test_a_file_of_an_unknown_sha256_must_be_what_its_header_says(
    tmp_path: Path, server: Server
) -> None:
    server.content = b"<html>sign in</html>"
    with pytest.raises(
        HerdError,
        match=r"The file fetched as a.bin was deleted: it is no such file",
    ):
        fetch(tmp_path, unpinned(server))
    assert names_in(tmp_path) == []


def test_a_file_put_there_by_hand_is_looked_at_and_remembered(
    tmp_path: Path, server: Server
) -> None:
    (tmp_path / "a.bin").write_bytes(CONTENT)
    file = unpinned(server)
    assert fetched_sha256(file, fetch(tmp_path, file)) == sha256(CONTENT)
    assert server.ranges == []


def test_an_unknown_edition_is_continued_only_while_the_server_calls_it_the_same(
    tmp_path: Path, server: Server
) -> None:
    server.etag = '"one"'
    server.breaks_after_bytes = 2_000_000
    assert fetch(tmp_path / "same", unpinned(server)).read_bytes() == CONTENT
    assert server.ranges[1] is not None
    partial = PartialFile(tmp_path / "changed" / "a.bin")
    partial.path.parent.mkdir()
    partial.begin(server.url)
    partial.name_edition('"none"')
    partial.path.write_bytes(b"old" * 1000)
    assert fetch(tmp_path / "changed", unpinned(server)).read_bytes() == CONTENT


def test_without_a_name_for_the_edition_it_begins_anew(tmp_path: Path, server: Server) -> None:
    server.breaks_after_bytes = 2_000_000
    assert fetch(tmp_path, unpinned(server)).read_bytes() == CONTENT
    assert server.ranges == [None, None]


def test_a_whole_unknown_file_that_was_not_yet_named_is_not_fetched_again(
    tmp_path: Path, server: Server
) -> None:
    server.etag = '"one"'
    partial = PartialFile(tmp_path / "a.bin")
    partial.begin(server.url)
    partial.name_edition('"one"')
    partial.path.write_bytes(CONTENT)
    assert fetch(tmp_path, unpinned(server)).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_a_killed_command_is_continued_by_the_next(tmp_path: Path, server: Server) -> None:
    file = parted(server)
    stalled = dict(server.others or {})
    server.others = {"/0": stalled["/0"]}
    killed = multiprocessing.get_context("fork").Process(
        target=_fetch_for_ever, args=(tmp_path, file)
    )
    killed.start()
    deadline_s = time.monotonic() + 20
    while len(PartialFile(tmp_path / "a.bin").finished) < 1 and time.monotonic() < deadline_s:
        time.sleep(0.02)
    os.kill(killed.pid or 0, signal.SIGKILL)
    killed.join()
    asked = len(server.ranges)
    server.others = stalled
    assert fetch(tmp_path, file).read_bytes() == CONTENT
    assert server.ranges[asked:] == [None, None]


def _fetch_for_ever(folder: Path, file: ModelFile) -> None:
    while True:
        try:
            fetch(folder, file)
        except HerdError:
            time.sleep(0.05)
