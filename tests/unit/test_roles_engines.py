"""The engines as Ansible sees them: each with its facts, and with a role."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleError

from experiments.engines import ON_NODES
from experiments.nodes.told import Stamp
from tests.doubles.fake_hosts import failures, play
from tests.doubles.role_files import PROJECT, load_at

PLUGIN = PROJECT / "playbooks" / "parts" / "lookup_plugins" / "herd_engines.py"
RINGER = {"name": "ringer", "role": "ringer", "format": "gguf", "ports": [], "wish": None}


@pytest.fixture
def lookup() -> ModuleType:
    return load_at(PLUGIN)


def say(monkeypatch: pytest.MonkeyPatch, lookup: ModuleType, **done: Any) -> list[object]:  # noqa: ANN401
    """Have `python -m experiments.engines` end so; what was called is in the list."""
    called: list[object] = []

    def run(command: object, **_: object) -> subprocess.CompletedProcess[str]:
        called.append(command)
        return subprocess.CompletedProcess([], **{"returncode": 0, "stderr": "", **done})

    monkeypatch.setattr(lookup.subprocess, "run", run)
    return called


def test_an_engine_without_a_role_is_refused_by_name(
    lookup: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(lookup, "ROLES", tmp_path)
    say(monkeypatch, lookup, stdout=json.dumps([RINGER]))
    with pytest.raises(AnsibleError, match=r"ringer has no role .*ringer/tasks/main\.yml"):
        lookup.engines()
    (tmp_path / "ringer" / "tasks").mkdir(parents=True)
    (tmp_path / "ringer" / "tasks" / "main.yml").touch()
    assert lookup.engines() == [RINGER]


def test_engines_are_asked_for_once(lookup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    called = say(monkeypatch, lookup, stdout="[]")
    for _ in range(3):
        assert lookup.LookupModule().run([]) == [[]]
    assert len(called) == 1


def test_an_engine_that_cannot_be_read_ends_the_playbook_with_its_last_words(
    lookup: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(monkeypatch, lookup, returncode=1, stdout="", stderr="Traceback\nSyntaxError: here\n")
    with pytest.raises(AnsibleError, match="cannot be read: SyntaxError: here"):
        lookup.engines()


def test_roles_work_out_ports_and_records_from_what_engines_say(tmp_path: Path) -> None:
    found = {"ringer": {"install": {}}, "petals": {"install": {"version": "1"}}}
    for name in ("llama.cpp", "distributed-llama"):
        engine = ON_NODES[name]
        found[name] = {"install": {"flags": "-O3", **said(engine)}}
    told = json.dumps({"engines": found})
    hosts = {"pi": {"engine_base_probe": {"stdout_lines": [told]}}}
    firewall = PROJECT / "roles" / "node_base" / "templates" / "firewall.nft.j2"
    shown = {
        "outdated": "{{ engine_base_outdated }}",
        "ports": "{{ node_base_engine_ports }}",
        "firewall": f"{{{{ lookup('ansible.builtin.template', '{firewall}') }}}}",
        "open": "{{ wsl_host_engine_ports }}",
    }
    files = ("engine_base/vars", "node_base/vars", "node_base/defaults", "wsl_host/vars")
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_vars": str(PROJECT / "roles" / file / "main.yml")}
        for file in files
    ]
    tasks.append({"name": "Values", "ansible.builtin.debug": {"msg": shown}})
    hosts["pi"]["wsl_host_guest"] = "pi"
    account = play(tmp_path, hosts, tasks)
    assert failures(account) == {}
    seen = account["plays"][0]["tasks"][-1]["hosts"]["pi"]["msg"]
    assert set(seen["outdated"]) == {"petals"}
    assert seen["outdated"]["petals"] == said(ON_NODES["petals"])
    assert seen["ports"] == seen["open"] == ["9990-9999", "50052-50061"]
    assert "tcp dport { 9980, 9990-9999, 50052-50061 } jump engines" in seen["firewall"]


def test_a_build_that_is_not_activated_always_has_a_reason(tmp_path: Path) -> None:
    placed = {
        "refused": {"rc": 1, "stderr": "dllama does not run here", "msg": "non-zero return code"},
        "killed": {"rc": -9, "stderr": "", "msg": "non-zero return code"},
        "not_started": {"rc": 12, "stderr": "", "msg": "Error executing command."},
        "silent": {"failed": True},
    }
    tasks: list[dict[str, Any]] = [
        {"ansible.builtin.include_vars": str(PROJECT / "roles/engine_base/vars/main.yml")},
        {"name": "Reason", "ansible.builtin.debug": {"msg": "{{ engine_base_placed_why }}"}},
    ]
    hosts = {host: {"engine_base_placed": result} for host, result in placed.items()}
    account = play(tmp_path, hosts, tasks)
    seen = account["plays"][0]["tasks"][-1]["hosts"]
    assert {host: told["msg"] for host, told in seen.items()} == {
        "refused": "dllama does not run here",
        "killed": "non-zero return code (exit status -9)",
        "not_started": "Error executing command. (exit status 12)",
        "silent": "it ended without a reason (exit status unknown)",
    }


def said(engine: Any) -> dict[str, Any]:  # noqa: ANN401 - one of any class
    """What a record says of an engine besides what was installed."""
    lists = {name: list(getattr(engine, name)) for name in ("options", "flags", "texts")}
    names = ("format", "reads_model_on_every_node")
    return {**{name: getattr(engine, name) for name in names}, "arguments": lists}


def test_a_runs_provenance_has_of_a_record_what_was_installed_alone() -> None:
    record = {"engine": "petals", "installed": True, "method": "cpu", **said(ON_NODES["petals"])}
    assert Stamp.model_validate(record).details() == {"method": "cpu"}


@pytest.mark.parametrize("engine", ON_NODES.values(), ids=lambda engine: engine.name)
def test_each_engines_role_stands_on_the_shared_one(engine: Any) -> None:  # noqa: ANN401
    meta = yaml.safe_load((PROJECT / "roles" / engine.slug / "meta" / "main.yml").read_text())
    assert {"role": "engine_base"} in meta["dependencies"]
