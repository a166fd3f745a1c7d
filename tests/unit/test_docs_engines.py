"""README and concepts name every engine and every axis, as the engines' own records have them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from collect.workloads import PROMPT_AXES
from experiments.engines import ENGINES, ON_NODES
from experiments.planning.axes import COMMON_AXES, PART, PLACE_AXES, SYSTEM

PROJECT = Path(__file__).resolve().parents[2]
CONCEPTS = (PROJECT / "docs" / "concepts.md").read_text()
OWN = sorted({axis.name for engine in ENGINES.values() for axis in engine.axes})


def rows() -> dict[str, tuple[str, str]]:
    """Axis to its values and engines, as the page says."""
    table = CONCEPTS.partition("## Axes\n")[2]
    found = re.findall(r"^\| (`[^|]+`) \| (.+) \| (.*) ?\|$", table, re.MULTILINE)
    return {
        name: (values, engines)
        for names, values, engines in found
        for name in re.findall(r"`(\w+)`", names)
    }


@pytest.mark.parametrize("page", ["README.md", "README.ko.md"])
def test_a_newcomer_sees_every_engine(page: str) -> None:
    text = (PROJECT / page).read_text().lower()
    assert [name for name in ENGINES if name not in text] == []


def test_the_words_name_every_engine() -> None:
    told = re.search(r"^\| engine \| (.+) \|$", CONCEPTS, re.MULTILINE)
    assert told
    assert set(re.findall(r"`([^`]+)`", told[1])) == set(ENGINES)
    assert set(re.findall(r"`([^`]+)`", rows()["engine"][0])) == set(ON_NODES)


def test_the_table_has_exactly_the_axes_that_there_are() -> None:
    assert set(rows()) == {
        SYSTEM.name,
        *OWN,
        *PROMPT_AXES,
        *(axis.name for axis in (*COMMON_AXES, PART, *PLACE_AXES)),
    }


@pytest.mark.parametrize("name", OWN)
def test_an_axis_is_listed_with_its_values_and_engines(name: str) -> None:
    values, engines = rows()[name]
    having = [engine for engine in ENGINES.values() if any(a.name == name for a in engine.axes)]
    for axis in (axis for engine in having for axis in engine.axes if axis.name == name):
        words = [str(value) for value in axis.values or () if not isinstance(value, bool)]
        assert [word for word in words if f"`{word}`" not in values] == []
    names = {engine.name for engine in having}
    assert (
        engines.strip() == "all"
        if names >= set(ON_NODES)
        else names == set(engines.strip().split(", "))
    )
