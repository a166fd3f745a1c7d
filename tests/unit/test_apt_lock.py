"""Systems that update themselves in the background hold apt's lock: roles wait for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).resolve().parents[2]
APT = "ansible.builtin.apt"
UNATTENDED_UPGRADES_S = 600


def uses_apt(role: str) -> bool:
    """Whether some task of a role installs packages."""
    return any(f"{APT}:" in path.read_text() for path in PROJECT.glob(f"roles/{role}/**/*.yml"))


def roles_of(play: dict[str, Any]) -> list[str]:
    """Its roles, but for those of which it takes other tasks than `main`."""
    called = [task.get("ansible.builtin.import_role", {}) for task in play.get("tasks", ())]
    whole = [one["name"] for one in called if one and "tasks_from" not in one]
    return [one["role"] for one in play.get("roles", ())] + whole


PLAYS = [
    pytest.param(play, id=f"{path.stem}: {play['name']}")
    for path in sorted(PROJECT.glob("playbooks/**/*.yml"))
    for play in yaml.safe_load(path.read_text())
    if play.get("hosts") != "localhost" and any(map(uses_apt, roles_of(play)))
]


@pytest.mark.parametrize("play", PLAYS)
def test_whoever_installs_packages_on_nodes_waits_for_the_lock(play: dict[str, Any]) -> None:
    assert play["module_defaults"][APT]["lock_timeout"] >= UNATTENDED_UPGRADES_S


def test_there_are_such_plays() -> None:
    assert len(PLAYS) >= 4
