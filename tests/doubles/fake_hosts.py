"""Hosts that are only facts: task files of roles run against what a probe would have answered.

Nothing is asked of any machine: tasks that only compare and refuse run on the controller.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))


def play(
    folder: Path,
    hosts: dict[str, dict[str, Any]],
    tasks: list[dict[str, Any]],
    groups: dict[str, list[str]] | None = None,
    only: list[str] | None = None,
) -> dict[str, Any]:
    """Run tasks on hosts that have these variables; Ansible's own account of it."""
    playbook = [{"hosts": only or "cases", "gather_facts": False, "tasks": tasks}]
    (folder / "play.yml").write_text(json.dumps(playbook))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    inventory: dict[str, Any] = {"cases": {"hosts": hosts, "vars": local}}
    for group, names in (groups or {}).items():
        inventory[group] = {"hosts": dict.fromkeys(names)}
    (folder / "hosts.yml").write_text(json.dumps(inventory))
    done = subprocess.run(
        [ANSIBLE_PLAYBOOK, "-i", str(folder / "hosts.yml"), str(folder / "play.yml")],
        cwd=PROJECT,
        env={
            **os.environ,
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_CACHE_PLUGIN": "memory",
            "ANSIBLE_ROLES_PATH": str(PROJECT / "roles"),
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    try:
        account: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise AssertionError(done.stdout + done.stderr) from None
    return account


def refusals(
    folder: Path,
    role: str,
    hosts: dict[str, dict[str, Any]],
    groups: dict[str, list[str]] | None = None,
    only: list[str] | None = None,
) -> dict[str, str]:
    """What a role's guards say of each host; hosts that they let pass are not there."""
    include = {"ansible.builtin.include_role": {"name": role, "tasks_from": "refuse"}}
    return failures(play(folder, hosts, [{"name": "Guards", **include}], groups, only))


def failures(account: dict[str, Any]) -> dict[str, str]:
    """The message of the task that failed, by host."""
    return {
        host: str(result["msg"])
        for ran in account["plays"]
        for task in ran["tasks"]
        for host, result in task["hosts"].items()
        if result.get("failed")
    }
