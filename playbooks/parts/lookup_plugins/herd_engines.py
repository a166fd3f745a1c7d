"""Lookup of the project's engines: what each says about itself (`python -m experiments.engines`).

lookup('herd_engines')    a list of records, each with `name`, `role`, `format`, `ports` …
"""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

PROJECT = Path(__file__).resolve().parents[3]
ROLES = PROJECT / "roles"


@functools.cache
def engines() -> list[dict[str, Any]]:
    """The records, asked for once by each process of Ansible's and by none that it forks after.

    Raises:
        AnsibleError: they cannot be read, or an engine has no role.
    """
    asked = subprocess.run(
        [sys.executable, "-m", "experiments.engines"],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        said = asked.stderr.strip().rpartition("\n")[2].removeprefix("core.errors.HerdError: ")
        raise AnsibleError(
            f"The engines in {PROJECT / 'experiments' / 'engines'} cannot be read: {said}"
        )
    found: list[dict[str, Any]] = json.loads(asked.stdout)
    for engine in found:
        if not (ROLES / engine["role"] / "tasks" / "main.yml").is_file():
            raise AnsibleError(
                f"The engine {engine['name']} has no role that installs it: "
                f"{ROLES / engine['role']}/tasks/main.yml is missing. Add it "
                "(docs/adding-an-engine.md), or remove "
                f"experiments/engines/{engine['role']}.py."
            )
    return found


class LookupModule(LookupBase):  # type: ignore[misc] # Ansible ships no types
    """What Ansible loads."""

    def run(self, *_: object, **__: object) -> list[list[dict[str, Any]]]:
        """All engines that have a role, in the order of their names."""
        return [engines()]
