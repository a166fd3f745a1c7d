"""A folder that is written again: a kill leaves the old one or the new one, and nothing else."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core import durable
from core.durable import land_instead
from core.scratch import scratch

FILES = ("a", "b", "c")
KILLS = 60


def written(folder: Path, text: str) -> Path:
    folder.mkdir()
    for name in FILES:
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> set[str]:
    assert sorted(path.name for path in folder.iterdir()) == list(FILES)
    return {path.read_text() for path in folder.iterdir()}


def killed(body: Callable[[], object], after_s: float) -> None:
    """Kill a forked process that does something."""
    child = os.fork()
    if child == 0:
        try:
            body()
        finally:
            os._exit(0)
    time.sleep(after_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def write_often(parent: Path) -> None:
    for turn in range(10_000):
        with scratch(parent, "page") as made:
            land_instead(written(made / "page", str(turn)), parent / "page")


def test_a_kill_leaves_the_old_folder_or_the_new_and_the_next_call_clears_the_rest(
    tmp_path: Path,
) -> None:
    written(tmp_path / "page", "first")
    (tmp_path / ".page-mine").mkdir()
    moments = random.Random(5)  # noqa: S311
    left = 0
    for _ in range(KILLS):
        killed(lambda: write_often(tmp_path), moments.uniform(0.002, 0.05))
        assert len(content(tmp_path / "page")) == 1
        left += len(list(tmp_path.iterdir())) - 2
    assert left, "no kill hit a call"
    with scratch(tmp_path, "page"):
        pass
    unmarked = [one for one in tmp_path.glob(".page-????????") if (one / "new").exists()]
    assert unmarked == []
    assert (tmp_path / ".page-mine").is_dir()


def test_a_reader_never_meets_a_moment_without_the_folder(tmp_path: Path) -> None:
    written(tmp_path / "page", "first")
    child = os.fork()
    if child == 0:
        try:
            write_often(tmp_path)
        finally:
            os._exit(0)
    until = time.monotonic() + 1.0
    try:
        while time.monotonic() < until:
            assert (tmp_path / "page").is_dir()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_without_an_exchange_of_names_the_old_one_is_kept_until_the_new_one_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "_exchanged", lambda *_: False)
    written(tmp_path / "page", "old")
    moments = random.Random(7)  # noqa: S311
    for _ in range(KILLS):
        killed(lambda: write_often(tmp_path), moments.uniform(0.002, 0.05))
        there = [path for path in (tmp_path / "page", tmp_path / ".old-page") if path.is_dir()]
        assert any(len(content(path)) == 1 for path in there[:1])
    land_instead(written(tmp_path / "next", "new"), tmp_path / "page")
    land_instead(written(tmp_path / "next", "newer"), tmp_path / "page")
    assert content(tmp_path / "page") == {"newer"}
    assert not (tmp_path / ".old-page").exists()


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_stays(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "page"
    if kind == "file":
        target.write_text("mine")
    else:
        written(tmp_path / "elsewhere", "mine")
        target.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        land_instead(written(tmp_path / "next", "new"), target)
    assert (target.read_text() if kind == "file" else content(target)) in ("mine", {"mine"})

    land_instead(written(tmp_path / "other", "new"), target, of_any=True)
    assert content(target) == {"new"}
    assert not target.is_symlink()
    assert kind == "file" or content(tmp_path / "elsewhere") == {"mine"}


def test_a_living_process_and_what_is_not_ours_keep_their_folders(tmp_path: Path) -> None:
    foreign = tmp_path / ".page-abcdefgh"
    foreign.mkdir()
    (foreign / "mine").write_text("mine")
    (tmp_path / ".page-ijklmnop").symlink_to(foreign)
    with scratch(tmp_path, "page") as first:
        (first / "work").write_text("half")
        with scratch(tmp_path, "page") as second:
            assert second != first
            assert (first / "work").read_text() == "half"
    assert sorted(path.name for path in tmp_path.iterdir()) == [".page-abcdefgh", ".page-ijklmnop"]
    assert (foreign / "mine").read_text() == "mine"


def test_a_dead_process_leaves_nothing_that_stays(tmp_path: Path) -> None:
    def work() -> None:
        with scratch(tmp_path, "page") as made:
            (made / "half").write_text("x" * 1000)
            time.sleep(60)

    killed(work, 0.3)
    assert len(list(tmp_path.glob(".page-*"))) == 1
    with scratch(tmp_path, "other"):
        assert len(list(tmp_path.glob(".page-*"))) == 1, "another kind of work"
    with scratch(tmp_path, "page"):
        assert len(list(tmp_path.glob(".page-*"))) == 1
    assert list(tmp_path.iterdir()) == []
