"""Which nodes get distributed-llama for the CPU alone, because it cannot be built for their GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.doubles.fake_hosts import failures, play
from tests.doubles.role_files import PROJECT

SHOWN = {
    "fallen_back": "{{ engine_base_fallen_back }}",
    "nodes": "{{ engine_base_group.nodes }}",
    "kept": "{{ engine_base_kept_source | basename }}",
    "vulkan": "{{ distributed_llama_has_vulkan }}",
    "is_on_cpu": "{{ engine_base_is_on_cpu }}",
}
WHY = 'building it on desk failed at "Compile": no glslc.'
NODES = ("desk", "twin", "plain", "other")


def node(key: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever a host says
    told = {"cpu_key": key, "compiler": None, "cores": 2, "engines": {}}
    return {"engine_base_probe": {"stdout_lines": [json.dumps(told)]}, **more}


def values(folder: Path, **hosts: dict[str, Any]) -> dict[str, Any]:
    """What variables of both roles are on each host."""
    files = ("engine_base/vars", "distributed_llama/defaults", "distributed_llama/vars")
    tasks: list[dict[str, Any]] = [
        # For its filters; nothing of it is done.
        {
            "ansible.builtin.import_role": {"name": "engine_base", "tasks_from": "vulkan"},
            "when": False,
        },
        *(
            {"ansible.builtin.include_vars": str(PROJECT / "roles" / file / "main.yml")}
            for file in files
        ),
        {
            "ansible.builtin.debug": {"msg": SHOWN},
            "vars": {
                "engine_base_engine": "distributed-llama",
                "engine_base_wanted": {"method": "source"},
                "engine_base_wishes": "{{ distributed_llama_wishes }}",
            },
        },
    ]
    account = play(folder, hosts, tasks)
    assert failures(account) == {}
    told = account["plays"][0]["tasks"][-1]["hosts"]
    return {host: result["msg"] for host, result in told.items()}


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Three nodes of one CPU model, two with a GPU; one of another model, whose build is good."""
    monkeypatch.setenv("LLAMA_HERD_CACHE", str(tmp_path))
    failed = {"engine_base_failed": {"distributed-llama": WHY}}
    return {
        "desk": node("a", herd_gpu="vulkan", **failed),
        "twin": node("a", herd_gpu="cuda"),
        "plain": node("a"),
        "other": node("b", herd_gpu="vulkan"),
    }


def test_all_likes_of_a_builder_that_failed_fall_back_and_no_others(
    tmp_path: Path, hosts: dict[str, dict[str, Any]]
) -> None:
    told = values(tmp_path, **hosts)
    assert told["plain"]["fallen_back"] == {"desk": WHY, "twin": WHY}
    assert told["twin"]["nodes"] == ["desk", "twin"]
    assert [name for name in NODES if told[name]["is_on_cpu"]] == []


def test_what_falls_back_gets_the_build_of_a_node_without_a_gpu(
    tmp_path: Path, hosts: dict[str, dict[str, Any]]
) -> None:
    without = {"distributed-llama": {"desk": WHY, "twin": WHY}}
    fallen = {name: {**one, "engine_base_without_gpu": without} for name, one in hosts.items()}
    # It has no programs for its CPU either.
    fallen["twin"]["engine_base_now"] = {"distributed-llama": {"installed": False}}
    told = values(tmp_path, **fallen)
    assert told["twin"]["nodes"] == ["desk", "twin", "plain"]
    assert told["desk"]["kept"] == told["plain"]["kept"]
    assert [name for name in NODES if told[name]["vulkan"]] == ["other"]
    assert [name for name in NODES if told[name]["is_on_cpu"]] == ["desk"]
