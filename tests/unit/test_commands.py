"""The commands that are printed: inventory, password, limits and variables, quoted for a shell."""

from __future__ import annotations

import inspect
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fabfile
from experiments.fleet import commands

PROJECT = Path(__file__).resolve().parents[2]
MANY = "inventory/home fleet.yml"


@pytest.fixture(autouse=True)
def _no_inventory_around(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("ANSIBLE_INVENTORY", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:/usr/bin:/bin")
    with commands.remembered():
        yield


def test_nothing_is_added_for_the_default_inventory_but_what_may_be_asked() -> None:
    assert commands.provision() == "ansible-playbook provision.yml -K"
    assert commands.fab("plan", "--nodes", "1,2") == "fab plan --nodes 1,2"


def test_the_inventory_of_the_invocation_is_in_every_command_that_reads_one() -> None:
    with commands.remembered(MANY, {"pi1": False, "desk": True}):
        assert commands.provision(limit=["pi1"]) == (
            "ansible-playbook -i 'inventory/home fleet.yml' provision.yml --limit pi1"
        )
        assert shlex.split(commands.fab("prepare"))[-2:] == ["--inventory", MANY]
        assert commands.fab("report", "--run", "x") == "fab report --run x"


def test_inventories_of_the_environment_are_named_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANSIBLE_INVENTORY", "a.yml, b.yml")
    with commands.remembered():
        assert commands.provision() == "ansible-playbook -i a.yml -i b.yml provision.yml -K"
        assert commands.fab("plan") == "ANSIBLE_INVENTORY=a.yml,b.yml fab plan"
    with commands.remembered("c.yml"):
        assert commands.fab("plan") == "fab plan --inventory c.yml"


@pytest.mark.parametrize(
    ("limit", "password", "asked"),
    [
        ((), None, True),  # desk may ask
        (("pi1",), None, False),
        (("pi1", "desk"), None, True),
        (("stranger",), None, True),
        (("desk",), False, False),  # it was seen that it does not
        (("pi1",), True, True),
    ],
)
def test_a_password_is_asked_for_where_it_may_be_needed(
    *, limit: tuple[str, ...], password: bool | None, asked: bool
) -> None:
    with commands.remembered("x.yml", {"pi1": False, "desk": True}):
        assert ("-K" in shlex.split(commands.provision(limit=limit, password=password))) == asked


def test_a_fleet_that_asks_nowhere_is_provisioned_without() -> None:
    with commands.remembered("x.yml", {"pi1": False, "pi2": False}):
        assert "-K" not in commands.provision()


def test_variables_keep_their_types_and_survive_the_shell() -> None:
    models = [{"name": "synthetic:dim=64,layers=2", "weights": ["f32"]}]
    words = shlex.split(
        commands.provision(
            "petals",
            "models",
            variables={
                "herd_petals": True,
                "petals_variant": "cuda",
                "petals_python": "/opt/it's here/python3.11",
                "herd_models": models,
            },
        )
    )
    assert words[2:5] == ["-K", "--tags", "petals,models"]
    assert words[5::2] == ["-e"] * 4
    assert words[6::2] == [
        "herd_petals=true",
        "petals_variant=cuda",
        '{"petals_python": "/opt/it\'s here/python3.11"}',
        '{"herd_models": [{"name": "synthetic:dim=64,layers=2", "weights": ["f32"]}]}',
    ]


@pytest.mark.parametrize(
    ("told", "may_ask"),
    [
        ({}, True),
        ({"ansible_user": "pi"}, True),
        ({"ansible_user": "root"}, False),
        ({"ansible_become_password": "x"}, False),
        ({"ansible_become_pass": {"__ansible_vault": "$ANSIBLE_VAULT;1.1;AES256"}}, False),
        ({"ansible_become_password": ""}, True),
        ({"lab_gateway": "10.77.0.1"}, False),
    ],
)
def test_the_inventory_tells_where_a_password_may_be_asked_for(
    *, told: dict[str, object], may_ask: bool
) -> None:
    assert commands.may_ask(told) == may_ask


def test_a_folder_that_everybody_may_write_to_does_not_hide_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o777)
    monkeypatch.setattr(commands, "PROJECT_FOLDER", tmp_path)
    assert commands.provision().startswith("ANSIBLE_CONFIG=ansible.cfg ansible-playbook ")


def test_programs_that_the_shell_would_not_find_are_named_by_their_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    program = Path(shlex.split(commands.fab("status"))[0])
    assert program.name == "fab"
    assert (PROJECT / program).exists()
    assert (PROJECT / shlex.split(commands.python_module("models", "list"))[0]).exists()


def test_what_was_remembered_before_comes_back() -> None:
    commands.remember("a.yml")
    with pytest.raises(ZeroDivisionError), commands.remembered("b.yml"):
        raise ZeroDivisionError
    assert "-i a.yml" in commands.provision()


def test_verbs_with_an_inventory_are_those_that_fab_has() -> None:
    taking = {
        task.name.replace("_", "-")
        for task in vars(fabfile).values()
        if hasattr(task, "body") and "inventory" in inspect.signature(task.body).parameters
    }
    assert taking <= commands.VERBS_WITH_INVENTORY


def test_a_flag_that_may_be_left_out_is_text() -> None:
    """Invoke turns a flag's text into the type of its default alone, and None has none."""
    tasks = [task for task in vars(fabfile).values() if hasattr(task, "body")]
    assert tasks
    for task in tasks:
        for one in inspect.signature(task.body).parameters.values():
            if one.default is None:
                assert one.annotation in {"str | None", "list[str] | None"}, (task.name, one)
