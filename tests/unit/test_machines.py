"""The catalogue of machines: every figure has its source, and a guess has its error."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.model.guesses import (
    FEWEST,
    SAME_PROCESSOR,
    guess,
    guess_errors,
    guess_errors_of,
    machines_with_rates,
)
from analysis.model.machines import CATALOGUE, CLASS_W, KnownMachine, Published, load_machines
from analysis.network.literature import load_publications
from core.errors import HerdError

BCM2712 = ("Raspberry Pi 5", "Raspberry Pi CM5", "Raspberry Pi 500", "Raspberry Pi 500+")


def figure(value: float) -> Published:
    return Published(value=value, source="mine", place="row 1")


def machine(name: str, copy: float, hpl: float, tokens: float | None = None) -> KnownMachine:
    return KnownMachine(
        name=name,
        kind="board",
        instructions="arm",
        copy_gbs=figure(copy),
        hpl_gflops=figure(hpl),
        hpl_w=figure(10),
        tokens_per_s=None if tokens is None else figure(tokens),
    )


def written(tmp_path: Path, change: Callable[[Any], object]) -> Path:
    content = yaml.safe_load(CATALOGUE.read_text(encoding="utf-8"))
    change(content)
    path = tmp_path / "machines.yml"
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return path


def test_the_file_has_the_machines_that_people_ask_about() -> None:
    names = {one.name for one in load_machines().machines}
    assert {"Raspberry Pi 3B+", "Raspberry Pi 4B", "Raspberry Pi 5", "Jetson Orin Nano"} <= names
    assert any("N100" in name for name in names)
    pi5 = load_machines().of("raspberry pi 5")
    assert pi5.memory_gib is not None
    assert pi5.memory_gib.values == (1, 2, 4, 8, 16)
    assert {one.kind for one in load_machines().machines} == {
        "board",
        "mini-pc",
        "laptop",
        "desktop",
    }


def test_it_is_no_table_of_an_engine() -> None:
    assert all("Geerling" not in table.source for table in load_publications())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda c: c["machines"][1]["copy_gbs"].update(source="hearsay"), "not one of the sources"),
        (lambda c: c["machines"][1]["copy_gbs"].update(value=-1), "greater than 0"),
        (lambda c: c["machines"][1]["copy_gbs"].update(value=float("nan")), "finite|greater"),
        (lambda c: c["machines"][1].update(speed=1), "unknown key `speed`"),
        (lambda c: c["machines"][1].update(kind="toaster"), "kind"),
        (lambda c: c["machines"][1]["copy_gbs"].pop("place"), "is missing"),
        (lambda c: c["machines"].append(c["machines"][0]), "appears twice"),
        (lambda c: c["sources"]["top500"].pop("published"), "give `published`, or `read`"),
        (lambda c: c["sources"].update(more={"title": "x", "read": "2026-01-01"}), "remove it"),
    ],
)
def test_a_wrong_file_is_refused_with_its_place(
    tmp_path: Path, change: Callable[[Any], object], why: str
) -> None:
    path = written(tmp_path, change)
    with pytest.raises(HerdError, match=why) as error:
        load_machines(path)
    assert str(path) in str(error.value)


def test_figures_are_within_what_such_machines_can_have() -> None:
    for one in load_machines().machines:
        told = {name: f.value for name, f in one.figures().items() if isinstance(f, Published)}
        assert 0.3 < told.get("copy_gbs", 1) < 100, one.name
        assert told.get("link_mbit", 1000) >= 90, one.name
        if {"idle_w", "hpl_w"} <= told.keys():
            assert told["idle_w"] < told["hpl_w"], one.name


def test_the_formula_is_recovered_from_machines_that_follow_it() -> None:
    made = [
        machine(f"m{i}", copy, hpl, 1 / (0.9 / copy + 1.2 / hpl))
        for i, (copy, hpl) in enumerate([(2, 11), (5, 36), (10, 60), (16, 50), (30, 60), (4, 100)])
    ]
    told = guess_errors_of(made)
    assert told.largest < 1e-9
    made[2] = machine("m2", 10, 60, 3 / (0.9 / 10 + 1.2 / 60))
    assert guess_errors_of(made).errors["m2"] == pytest.approx(-2 / 3, abs=1e-9)


def test_a_machine_that_is_left_out_does_not_help_to_guess_itself() -> None:
    chosen = machines_with_rates(load_machines())
    told = guess_errors_of(chosen)
    for one in chosen:
        assert one.tokens_per_s is not None
        other = one.model_copy(
            update={"tokens_per_s": one.tokens_per_s.model_copy(update={"value": 1000.0})}
        )
        changed = guess_errors_of([other if one is each else each for each in chosen])
        before = (1 + told.errors[one.name]) * one.tokens_per_s.value
        assert (1 + changed.errors[one.name]) * 1000 == pytest.approx(before)


def test_guesses_inside_the_class_are_good_and_outside_of_it_they_are_not() -> None:
    inside = guess_errors()
    assert len(inside.errors) == 13
    assert inside.median < 0.15
    assert inside.largest < 0.5
    every = [
        one
        for one in load_machines().machines
        if one.tokens_per_s and one.copy_gbs and one.hpl_gflops
    ]
    outside = guess_errors_of(every)
    assert outside.median > 0.35
    assert outside.largest > 1
    arm_and_x86 = guess_errors_of([one for one in every if one.instructions != "riscv"])
    assert arm_and_x86.median > 0.35
    assert arm_and_x86.largest > 1


def test_nine_of_ten_guesses_are_within_the_interval_that_they_are_given() -> None:
    """Each from the others alone: its guess, and the spread of their own errors."""
    chosen = machines_with_rates(load_machines())
    told = guess_errors_of(chosen)
    within = 0
    for one in chosen:
        spread = guess_errors_of([other for other in chosen if other is not one]).spread
        within += abs(math.log1p(told.errors[one.name])) < 1.645 * spread
    assert within / len(chosen) >= 0.85


def test_a_measured_rate_comes_first_and_has_the_spread_of_machines_of_one_processor() -> None:
    found = guess("Raspberry Pi 5")
    assert found.is_measured
    assert found.weights_gbs == pytest.approx(4.88 * 2.01)
    assert "ai-benchmarks" in found.source
    rates = [load_machines().of(name).tokens_per_s for name in BCM2712]
    logs = [math.log(rate.value) for rate in rates if rate is not None]
    assert len(logs) == 4
    assert statistics.stdev(logs) == pytest.approx(SAME_PROCESSOR, abs=0.015)


def test_a_guess_says_how_wrong_guesses_are() -> None:
    found = guess("raspberry pi 4b")
    assert not found.is_measured
    assert 2 < found.weights_gbs < 7
    assert found.spread == pytest.approx(guess_errors().spread)
    assert "13 other machines" in found.source
    assert "median error 12%, largest 47%" in found.source


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Dell Pro Max with GB10", f"155 W, and guesses hold for machines of up to {CLASS_W:g} W"),
        ("HiFive Premier P550", "RISC-V"),
        ("Raspberry Pi 3B+", "no result of HPL was published"),
        ("Jetson Orin Nano", "no result of HPL was published"),
        ("Lenovo M710q (i5-7400T)", "no copy rate of its memory was published"),
        ("Cray-1", "has no Cray-1. It has Raspberry Pi 3B"),
    ],
)
def test_what_cannot_be_guessed_is_refused_with_the_reason(name: str, why: str) -> None:
    with pytest.raises(HerdError, match=why.replace("(", r"\(")):
        guess(name)


def test_too_few_machines_give_no_guess() -> None:
    whole = load_machines()
    few = [one for one in whole.machines if one.name in BCM2712 or one.name == "Raspberry Pi 4B"]
    with pytest.raises(HerdError, match=f"has 4 machines .* a guess needs {FEWEST}"):
        guess("Raspberry Pi 4B", whole.model_copy(update={"machines": tuple(few)}))
