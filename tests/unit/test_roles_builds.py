"""Who gets which build of an engine, decided for all nodes at once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.role_files import load

WANTED = {"method": "source", "version": "abc", "flags": "-march=native"}
OLD, NEW = "g++ 12", "g++ 14"


builds = load("engine_base/filter_plugins/engine_builds.py")


def record(
    key: str = "pi5", build: str = "b1", compiler: str = OLD, **other: str
) -> dict[str, Any]:
    return {"engine": "e", "key": key, "build": build, "compiler": compiler, **WANTED, **other}


def probe(
    install: dict[str, Any] | None,
    key: str = "pi5",
    compiler: str | None = None,
    *,
    intact: bool = True,
) -> dict[str, Any]:
    engine = {"install": install or {}, "intact": intact and install is not None}
    return {"cpu_key": key, "compiler": compiler, "engines": {"e": engine}}


def keep(folder: Path, kept: dict[str, Any]) -> None:
    archive = folder / f"{kept['build']}.tar.gz"
    archive.write_bytes(b"")
    told = {"archive": archive.name, "archive_sha256": hashlib.sha256(b"").hexdigest()}
    archive.with_name(f"{kept['build']}.json").write_text(json.dumps({**kept, **told}))


def plan(folder: Path, **probes: dict[str, Any]) -> dict[str, Any]:
    planned: dict[str, Any] = builds.plan_builds(probes, "e", WANTED, "cpu_key", str(folder))
    return planned


def test_nodes_that_have_what_is_wanted_are_left_alone(tmp_path: Path) -> None:
    assert plan(tmp_path, a=probe(record()), b=probe(record()))["stale"] == []


def test_a_node_that_never_had_the_engine_gets_it(tmp_path: Path) -> None:
    never = {"cpu_key": "pi5", "compiler": None, "engines": {"other": {"install": {}}}}
    assert plan(tmp_path, a=never)["stale"] == ["a"]


def test_the_first_node_of_each_cpu_model_builds_for_its_likes(tmp_path: Path) -> None:
    planned = plan(tmp_path, a=probe(None), b=probe(None, "pi4"), c=probe(None))
    assert planned["stale"] == ["a", "c", "b"]
    assert planned["groups"]["pi5"] == {"builder": "a", "nodes": ["a", "c"], "bundle": None}
    assert planned["groups"]["pi4"]["builder"] == "b"


def test_a_build_that_the_controller_keeps_is_not_made_again(tmp_path: Path) -> None:
    keep(tmp_path, record())
    group = plan(tmp_path, a=probe(None))["groups"]["pi5"]
    assert group["bundle"]["build"] == "b1"
    assert Path(group["bundle"]["archive"]).is_file()


def test_a_kept_build_without_its_archive_is_none(tmp_path: Path) -> None:
    keep(tmp_path, record())
    (tmp_path / "b1.tar.gz").unlink()
    (tmp_path / "torn.json").write_text("{")
    assert plan(tmp_path, a=probe(None))["groups"]["pi5"]["bundle"] is None


@pytest.mark.parametrize("field", ["version", "flags", "method", "key"])
def test_another_version_flag_method_or_cpu_is_built_anew(tmp_path: Path, field: str) -> None:
    assert plan(tmp_path, a=probe(record(**{field: "other"})))["stale"] == ["a"]


def test_a_damaged_program_is_installed_again(tmp_path: Path) -> None:
    assert plan(tmp_path, a=probe(record()), b=probe(record(), intact=False))["stale"] == ["b"]


def test_a_new_compiler_on_the_builder_means_a_new_build_for_all(tmp_path: Path) -> None:
    keep(tmp_path, record())
    planned = plan(tmp_path, a=probe(record(), compiler=NEW), b=probe(record()))
    assert planned["stale"] == ["a", "b"]
    assert planned["groups"]["pi5"]["bundle"] is None


def test_a_compiler_on_another_node_does_not_matter(tmp_path: Path) -> None:
    keep(tmp_path, record())
    assert plan(tmp_path, a=probe(record()), b=probe(record(), compiler=NEW))["stale"] == []


def test_likes_with_different_builds_get_the_same_one(tmp_path: Path) -> None:
    probes = {"a": probe(record()), "b": probe(record(build="b2"))}
    assert plan(tmp_path, **probes)["stale"] == ["a", "b"]
    keep(tmp_path, record(build="b2"))
    assert plan(tmp_path, **probes)["stale"] == ["a"]


def test_a_node_with_a_gpu_and_its_like_without_have_builds_of_their_own(tmp_path: Path) -> None:
    keep(tmp_path, record(build="plain"))
    keep(tmp_path, record(build="fast", gpu="vulkan"))
    probes = {"a": probe(None), "b": probe(None), "c": probe(record(build="plain"))}

    planned = builds.plan_builds(
        probes, "e", WANTED, "cpu_key", str(tmp_path), {"b": {"gpu": "vulkan"}}
    )

    assert planned["stale"] == ["a", "b"]
    plain, fast = planned["groups"]["pi5"], planned["groups"]["pi5-vulkan"]
    assert (plain["nodes"], plain["bundle"]["build"]) == (["a", "c"], "plain")
    assert (fast["nodes"], fast["bundle"]["build"]) == (["b"], "fast")


def test_a_node_whose_gpu_is_no_longer_wanted_gets_the_build_without(tmp_path: Path) -> None:
    keep(tmp_path, record(build="plain"))
    assert plan(tmp_path, a=probe(record(build="fast", gpu="vulkan")))["stale"] == ["a"]


def test_an_archive_that_is_another_than_its_record_says_is_made_again(tmp_path: Path) -> None:
    keep(tmp_path, record())
    assert plan(tmp_path, a=probe(None))["groups"]["pi5"]["bundle"]["build"] == "b1"
    (tmp_path / "b1.tar.gz").write_bytes(b"another")
    assert plan(tmp_path, a=probe(None))["groups"]["pi5"]["bundle"] is None
    assert plan(tmp_path, a=probe(record()))["stale"] == []


def test_an_archive_whose_hash_nobody_kept_is_made_again(tmp_path: Path) -> None:
    (tmp_path / "b1.tar.gz").write_bytes(b"")
    (tmp_path / "b1.json").write_text(json.dumps({**record(), "archive": "b1.tar.gz"}))
    assert plan(tmp_path, a=probe(None))["groups"]["pi5"]["bundle"] is None
