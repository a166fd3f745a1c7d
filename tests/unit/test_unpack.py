"""Folders and archives of others: what they may hold, and that nothing lands elsewhere."""

from __future__ import annotations

import gzip
import io
import os
import random
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from models.archives import (
    Budget,
    UnpackError,
    members_of_archive,
    members_of_folder,
    write_archive,
)
from models.unpack import lay_out

Entries = list[tarfile.TarInfo]


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", mode: int = 0o644) -> Entries:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, link, mode
    return [made]


def tar(folder: Path, entries: Entries, content: bytes = b"all:\n", mode: str = "w:gz") -> Path:
    path = folder / "source.tar"
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for made in entries:
            made.size = len(content) if made.isreg() else 0
            packed.addfile(made, io.BytesIO(content))
    return path


def unpack(archive: Path, folder: Path, budget: Budget | None = None) -> Path:
    target = folder / "out" / "deep" / "tree"
    target.mkdir(parents=True)
    budget = budget or Budget()
    with members_of_archive(archive, budget) as members:
        lay_out(members, target, budget)
    return target


def below(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


LINK, COPY = tarfile.SYMTYPE, tarfile.LNKTYPE
LEAVING = {
    "above": entry("../x"),
    "further above": entry("a/../../../x"),
    "absolute": entry("/srv/llama-herd-absolute"),
    "two slashes": entry("//tmp/x"),
    "slash inside": entry("a//b"),
    "backslash": entry("..\\x"),
    "here in between": entry("a/./b"),
    "line feed": entry("a\nb"),
    "control sequence": entry("\x1b[2J"),
    "written from right to left": entry("a\u202eb"),
    "no UTF-8": entry("a\udcff"),
    "long": entry("a" * 256),
    "deep": entry("a/" * 600 + "b"),
    "link above": entry("l", LINK, "../x"),
    "link to the root": entry("l", LINK, "/"),
    "link to nothing": entry("l", LINK, ""),
    "absolute link": entry("l", LINK, "/etc/passwd"),
    "link over a link": entry("a/b/l", LINK, "../..") + entry("m", LINK, "a/b/l/../.."),
    "link behind a link": entry("d/l", LINK, "..") + entry("d/l/m", LINK, "../.."),
    "link, then a file behind it": entry("up", LINK, "a") + entry("up/x") + entry("a/y"),
    "link in place of a file": entry("a") + entry("a", LINK, "b"),
    "file twice": entry("a") + entry("a"),
    "file above a file": entry("a") + entry("a/b"),
    "folder in place of a file": entry("a") + entry("a", tarfile.DIRTYPE),
    "copy of what is outside": entry("c", COPY, "/etc/passwd"),
    "copy from above": entry("c", COPY, "../../x"),
    "copy of a link": entry("l", LINK, "a") + entry("c", COPY, "l"),
    "copy of nothing": entry("c", COPY, "none"),
    "pipe": entry("p", tarfile.FIFOTYPE),
    "device": entry("d", tarfile.CHRTYPE),
    "disk": entry("d", tarfile.BLKTYPE),
}


@pytest.mark.parametrize("entries", LEAVING.values(), ids=LEAVING)
def test_what_would_lie_elsewhere_is_refused_by_name_and_nothing_is_there(
    tmp_path: Path, entries: Entries
) -> None:
    archive = tar(tmp_path, entries)
    with pytest.raises(UnpackError, match=r"its (member|link) '"):
        unpack(archive, tmp_path)
    top = tmp_path / "out" / "deep"
    assert {path.name for path in tmp_path.iterdir()} == {"source.tar", "out"}
    assert below(top.parent)[:2] == ["deep", "deep/tree"]
    for path in (top / "tree").rglob("*"):
        assert path.resolve().is_relative_to(top / "tree")
    assert not Path("/srv/llama-herd-absolute").exists()


def test_links_that_stay_inside_and_copies_are_what_they_were(tmp_path: Path) -> None:
    entries = (
        entry("./top/", tarfile.DIRTYPE)
        + entry("./top/run", mode=0o6755)
        + entry("top/sub/back", LINK, "../run")
        + entry("top/here", LINK, "sub")
        + entry("top/again", COPY, "./top/run")
        + entry("top/.git/config")
        + entry(".GIT/hooks/x")
        + entry("top/.gitignore")
    )
    tree = unpack(tar(tmp_path, entries), tmp_path)
    expected = ["top", "top/.gitignore", "top/again", "top/here", "top/run", "top/sub"]
    assert below(tree) == [*expected, "top/sub/back"]
    assert (tree / "top/here/back").read_text() == "all:\n"
    assert stat.S_IMODE((tree / "top/run").stat().st_mode) == 0o755
    assert stat.S_IMODE((tree / "top/again").stat().st_mode) == 0o755


@pytest.mark.parametrize("mode", ["w:", "w:gz", "w:bz2", "w:xz"])
def test_every_way_of_compressing_a_tar_is_read(tmp_path: Path, mode: str) -> None:
    tree = unpack(tar(tmp_path, entry("Makefile"), mode=mode), tmp_path)
    assert (tree / "Makefile").read_text() == "all:\n"


def zipped(folder: Path, name: str, content: bytes = b"all:\n", mode: int = 0) -> Path:
    path = folder / "source.zip"
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr(made, content, zipfile.ZIP_DEFLATED)
    return path


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("../x", 0),
        ("/srv/x", 0),
        ("a/../../x", 0),
        ("a\\..\\..\\x", 0),
        ("a\tb", 0),
        ("p", stat.S_IFIFO),
        ("d", stat.S_IFCHR),
    ],
)
def test_a_zip_is_held_to_the_same(tmp_path: Path, name: str, mode: int) -> None:
    with pytest.raises(UnpackError, match="its member '"):
        unpack(zipped(tmp_path, name, mode=mode), tmp_path)
    assert below(tmp_path / "out") == ["deep", "deep/tree"]


def test_a_link_in_a_zip_is_one_and_may_not_leave(tmp_path: Path) -> None:
    mode = stat.S_IFLNK | 0o777
    tree = unpack(zipped(tmp_path, "l", b"Makefile", mode), tmp_path)
    assert (tree / "l").readlink() == Path("Makefile")
    (tmp_path / "other").mkdir()
    with pytest.raises(UnpackError, match="its link 'l'"):
        unpack(zipped(tmp_path, "l", b"../x", mode), tmp_path / "other")


def zip_bomb(folder: Path) -> Path:
    return zipped(folder, "zeros", bytes(8 << 20))


def tar_bomb(folder: Path) -> Path:
    return tar(folder, entry("zeros"), bytes(8 << 20))


def skipped_bomb(folder: Path) -> Path:
    """Zeros that belong to no file: they would be unpacked only to find the next header."""
    return tar(folder, entry(".git/zeros") + entry("a"), bytes(8 << 20))


def header_bomb(folder: Path) -> Path:
    path = folder / "source.tar"
    header = tarfile.TarInfo("a")
    header.pax_headers = {"comment": "x" * (8 << 20)}
    with gzip.open(path, "wb") as stream:
        stream.write(header.tobuf(tarfile.PAX_FORMAT))
    return path


def sparse_bomb(folder: Path) -> Path:
    """GNU's way to name holes: 512 bytes of header for terabytes of zeros."""
    header = bytearray(tarfile.TarInfo("holes").tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:410] = b"%011o\0%011o\0" % (1 << 31, 0)
    header[483:495] = b"%011o\0" % (1 << 31)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = folder / "source.tar"
    path.write_bytes(bytes(header) + bytes(1024))
    return path


def many(folder: Path) -> Path:
    return tar(folder, [made for number in range(300) for made in entry(f"f{number}")])


@pytest.mark.parametrize("bomb", [zip_bomb, tar_bomb, skipped_bomb, header_bomb, sparse_bomb, many])
def test_what_is_small_on_its_way_and_huge_when_unpacked_is_refused_in_time(
    tmp_path: Path, bomb: Callable[[Path], Path]
) -> None:
    archive = bomb(tmp_path)
    began = time.process_time()
    with pytest.raises(UnpackError, match=r"holds more than|header that is too large"):
        unpack(archive, tmp_path, Budget(most_bytes=1 << 20, most_members=200))
    assert time.process_time() - began < 1
    tree = tmp_path / "out/deep/tree"
    assert sum(path.stat().st_size for path in tree.rglob("*")) < 3 << 20


def test_a_size_below_zero_does_not_read_the_same_header_for_ever(tmp_path: Path) -> None:
    header = bytearray(tarfile.TarInfo("a").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + (-1024 & 0xFFFF).to_bytes(2, "big")
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    path = tmp_path / "source.tar"
    path.write_bytes(bytes(header) * 4)
    with pytest.raises(UnpackError):
        unpack(path, tmp_path)


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_a_damaged_archive_is_unpacked_inside_or_refused_and_never_a_traceback(
    tmp_path: Path, kind: str
) -> None:
    entries = entry("a/b", mode=0o755) + entry("a/l", LINK, "b") + entry("c", COPY, "a/b")
    if kind == "zip":
        whole = zipped(tmp_path, "a/b", bytes(100) + b"all").read_bytes()
    else:
        whole = tar(tmp_path, entries, mode="w:" + kind[4:]).read_bytes()
    order = random.Random(7)  # noqa: S311 - to damage, not to hide
    for number in range(400):
        damaged = bytearray(whole[: order.randrange(1, len(whole) + 1)])
        for _ in range(order.randrange(4)):
            damaged[order.randrange(len(damaged))] = order.randrange(256)
        case = tmp_path / f"{kind}{number}"
        case.mkdir()
        (case / "archive").write_bytes(damaged)
        try:
            tree = unpack(case / "archive", case, Budget(most_bytes=1 << 20, most_members=100))
        except UnpackError:
            continue
        assert all(path.resolve().is_relative_to(tree) for path in tree.rglob("*"))
        assert {path.name for path in case.iterdir()} == {"archive", "out"}


def test_a_folder_is_copied_without_what_it_points_to(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "sub").mkdir(parents=True)
    target.mkdir()
    (source / "sub" / "Makefile").write_text("all:\n")
    (source / "link").symlink_to("sub/Makefile")
    lay_out(members_of_folder(source), target, Budget())
    assert below(target) == ["link", "sub", "sub/Makefile"]
    (source / "out").symlink_to("/etc")
    (tmp_path / "other").mkdir()
    with pytest.raises(UnpackError, match="its link 'out'"):
        lay_out(members_of_folder(source), tmp_path / "other", Budget())


def test_a_pipe_in_a_folder_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    os.mkfifo(tmp_path / "source" / "pipe")
    (tmp_path / "target").mkdir()
    with pytest.raises(UnpackError, match="its member 'pipe' is a device, a pipe"):
        lay_out(members_of_folder(tmp_path / "source"), tmp_path / "target", Budget())


def test_what_took_a_files_place_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "target").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "source" / "a").write_text("a")

    def swapped() -> object:
        for member in members_of_folder(tmp_path / "source"):
            (tmp_path / "source" / "a").unlink()
            (tmp_path / "source" / "a").symlink_to(tmp_path / "secret")
            yield member

    with pytest.raises(UnpackError, match="its member 'a'"):
        lay_out(swapped(), tmp_path / "target", Budget())  # type: ignore[arg-type]


def test_the_same_files_make_the_same_archive(tmp_path: Path) -> None:
    for number in (1, 2):
        folder = tmp_path / f"tree{number}"
        (folder / "b").mkdir(parents=True)
        (folder / "b" / "run").write_text("x")
        (folder / "b" / "run").chmod(0o700 + number)
        (folder / "l").symlink_to("b/run")
        os.utime(folder / "b" / "run", (number, number))
        write_archive(folder, tmp_path / f"{number}.tar.gz")
    assert (tmp_path / "1.tar.gz").read_bytes() == (tmp_path / "2.tar.gz").read_bytes()
    with tarfile.open(tmp_path / "1.tar.gz") as packed:
        assert {(one.uid, one.gid, one.mode) for one in packed if one.isreg()} == {(0, 0, 0o755)}
