"""The README.md of each role says what its argument_specs say, and they say all that it has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())


def content(role: str, name: str) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((ROLES / role / name).read_text())
    return read


def test_readmes_are_in_step_with_the_specs() -> None:
    done = subprocess.run(
        [sys.executable, str(ROLES / "readmes.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}Run `make role-docs`."


@pytest.mark.parametrize("role", NAMES)
def test_each_role_says_who_made_it_and_what_for(role: str) -> None:
    info = content(role, "meta/main.yml")["galaxy_info"]
    assert set(info) >= {"author", "description", "license", "min_ansible_version"}


@pytest.mark.parametrize("role", NAMES)
def test_each_default_is_described_and_has_the_value_that_is_told(role: str) -> None:
    specs = content(role, "meta/argument_specs.yml")["argument_specs"]
    options = {name: one for spec in specs.values() for name, one in spec["options"].items()}
    defaults = (ROLES / role / "defaults" / "main.yml").exists() and content(
        role, "defaults/main.yml"
    )
    for name, value in (defaults or {}).items():
        assert options[name]["description"]
        is_template = isinstance(value, str) and "{{" in value
        assert is_template or options[name].get("default", value) == value


def test_a_readme_shows_each_variable_with_type_default_choices_and_meaning() -> None:
    told = (ROLES / "llama_cpp" / "README.md").read_text()
    row = next(line for line in told.splitlines() if line.startswith("| `llama_cpp_method` "))
    assert row.startswith("| `llama_cpp_method` | str | `debian` | `debian`, prebuilt packages,")
    assert row.endswith("One of `debian`, `source`. |")
    assert "It depends on role [engine_base](../engine_base/README.md)." in told
    inner = (ROLES / "model_store" / "README.md").read_text()
    assert "| `model_store_models[].name` | str | required |" in inner
