"""Energy of a window from readings: the counter where it is fine enough, else the power."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from collect.plugs import POWER_COLUMNS, PowerReading, power_file, read_power
from experiments.fleet.cluster import Plug, PlugKind
from experiments.plugs import watch
from experiments.plugs.energy import Sample, used_between
from experiments.plugs.http import PlugError
from experiments.plugs.kinds import PlugReading
from experiments.plugs.watch import PlugWatch
from tests.doubles.plugs import Constant, Load, PlugDouble, Square


def samples(
    load: Load,
    *,
    until_s: float,
    step_j: float = 0.001,
    updates_s: float = 0.0,
    watts_step: float = 0.1,
    phase_s: float = 0.3,
    every_s: float = 1.0,
    within_s: float = 0.0,
) -> list[Sample]:
    """Readings of a plug each second, the first a moment before 0.

    Each was read up to `within_s` before or after its moment.
    """
    chance = random.Random(5)  # noqa: S311 - a test's choice
    made = []
    at_s = phase_s - every_s
    while at_s < until_s + every_s:
        read_s = at_s + chance.uniform(-within_s, within_s)
        counted_s = read_s - read_s % updates_s if updates_s else read_s
        counter_j = (1e6 + load.joules(counted_s)) // step_j * step_j
        watts = round(load.watts(read_s) / watts_step) * watts_step
        made.append(Sample(at_s, PlugReading(watts, counter_j, watts_step, step_j), "", within_s))
        at_s += every_s
    return made


@pytest.mark.parametrize("step_j", [3.6, 60.0, 3600.0])
@pytest.mark.parametrize("load", [Constant(12.0), Constant(0.0), Square(3.0, 9.0, 7.0)])
@pytest.mark.parametrize("window_s", [4.2, 30.0, 600.0, 40_000.0])
def test_the_known_energy_is_within_the_stated_error(
    load: Load, step_j: float, window_s: float
) -> None:
    used = used_between(samples(load, until_s=window_s, step_j=step_j), 0.0, window_s)
    known_j = load.joules(window_s) - load.joules(0)

    assert abs(used.joules - known_j) <= used.error_j + 1e-6
    is_fine = known_j > 0 and step_j <= 0.01 * known_j
    assert used.by == ("counter" if is_fine else "power") or abs(step_j / known_j - 0.01) < 0.005
    if isinstance(load, Constant):
        assert used.error_j <= max(0.01 * known_j, window_s * 0.05) + 1e-6


def test_random_loads_windows_and_phases_are_within_the_stated_error() -> None:
    chance = random.Random(3)  # noqa: S311 - a test's choice
    for _ in range(2000):
        period_s = chance.uniform(4, 60)  # at least one reading sees each half
        load = Square(chance.uniform(0, 5), chance.uniform(5, 200), period_s)
        begin_s, window_s = chance.uniform(0, 60), chance.uniform(4, 200)
        made = samples(
            load,
            until_s=begin_s + window_s,
            step_j=chance.choice([0.1, 3.6, 60, 3600]),
            updates_s=chance.choice([0, 0, 60]),
            phase_s=chance.uniform(0.01, 1),
            within_s=chance.choice([0.0, 0.05, 0.4]),
        )
        used = used_between(made, begin_s, begin_s + window_s)
        known_j = load.joules(begin_s + window_s) - load.joules(begin_s)
        assert abs(used.joules - known_j) <= used.error_j


def test_a_counter_that_is_updated_each_minute_counts_for_long_windows_only() -> None:
    load = Constant(5.0)
    for window_s, by in ((300.0, "power"), (20_000.0, "counter")):
        made = samples(load, until_s=window_s, step_j=3.6, updates_s=60.0)
        used = used_between(made, 0.0, window_s)
        assert used.by == by
        assert abs(used.joules - 5.0 * window_s) <= used.error_j


def broken(change: Callable[[list[Sample]], None], window_s: float = 60.0) -> str:
    made = samples(Constant(12.0), until_s=window_s)
    change(made)
    with pytest.raises(PlugError) as caught:
        used_between(made, 0.0, window_s)
    return str(caught.value)


def test_why_energy_is_not_known_is_a_reason() -> None:
    def restarted(made: list[Sample]) -> None:
        made[30:] = [Sample(s.at_s, PlugReading(12.0, 36.0, 0.1, 3.6)) for s in made[30:]]

    def silent(made: list[Sample]) -> None:
        made[10:18] = [Sample(s.at_s, None, "it did not answer") for s in made[10:18]]

    def gone(made: list[Sample]) -> None:
        made[1:] = [Sample(s.at_s, None, "it refuses connections") for s in made[1:]]

    def late(made: list[Sample]) -> None:
        del made[-12:]

    assert "its counter went back from" in broken(restarted)
    assert broken(silent) == "it gave no reading for 9 s: it did not answer"
    assert broken(gone) == "it refuses connections"
    assert broken(late) == "it gave no reading for 12 s"
    assert "too few, at least 3 are needed" in broken(lambda _: None, window_s=1.0)


def test_two_readings_that_are_missing_are_bridged_and_cost_certainty() -> None:
    load = Square(3.0, 9.0, 20.0)
    made = samples(load, until_s=60.0, step_j=3600.0)
    used = used_between(made, 0.0, 60.0)
    kept = [one for number, one in enumerate(made) if number not in (11, 12)]
    less = used_between(kept, 0.0, 60.0)
    assert less.error_j > used.error_j
    assert abs(less.joules - load.joules(60.0)) <= less.error_j


def test_a_file_of_readings_says_what_was_read() -> None:
    told = [PowerReading("p", -0.25, 12.0, 5000.125), PowerReading("q", 0.75, 3.5, None)]
    content = power_file(told)
    assert content.startswith(",".join(POWER_COLUMNS).encode())
    assert list(read_power(content)) == told
    hostile = content + b"p,1,NaN,1\np,1,-3,1\np,1,1e999,\n\xff\x00,\x1b[31m,1,1\np;1\n"
    assert list(read_power(hostile)) == told


# -- threads


@pytest.fixture
def double() -> Iterator[PlugDouble]:
    with PlugDouble("shelly_gen2") as double:
        yield double


def test_a_plug_is_asked_at_most_once_a_second(double: PlugDouble) -> None:
    plugs = PlugWatch([double.plug("p", "pi1")])
    for _ in range(4):
        begun_s = time.monotonic()
        time.sleep(0.8)
        plugs.between(begun_s, time.monotonic(), ["pi1"])
    plugs.close()
    apart_s = [b - a for a, b in zip(double.asked_s, double.asked_s[1:], strict=False)]
    assert len(double.asked_s) >= 3
    assert min(apart_s) > 0.9


def test_a_window_waits_for_no_plug(double: PlugDouble) -> None:
    double.fault = "silent"
    plugs = PlugWatch([double.plug("p", "pi1")])
    time.sleep(0.1)
    begun_s = time.perf_counter()
    for _ in range(100):
        found, _ = plugs.between(time.monotonic(), time.monotonic(), ["pi1"])
    assert time.perf_counter() - begun_s < 0.1
    assert found["p"].joules is None
    plugs.close()


def test_a_plug_that_refuses_is_asked_seldom(
    double: PlugDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.02)
    double.fault = "unauthorised"
    plugs = PlugWatch([double.plug("p", "pi1")])
    time.sleep(0.4)
    plugs.close()
    assert len(double.heard) == 1


def test_what_a_reader_raises_ends_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.02)
    calls = []

    def read() -> PlugReading:
        calls.append(1)
        if len(calls) < 4:
            raise MemoryError
        return PlugReading(5.0, None, 0.1, 0.0)

    plugs = PlugWatch([Plug("p", "tasmota", "127.0.0.1", nodes=("pi1",))], lambda _: read)
    begun_s = time.monotonic()
    time.sleep(0.4)
    found, _ = plugs.between(begun_s, time.monotonic(), ["pi1"])
    plugs.close()
    assert found["p"].joules is not None


def test_windows_of_several_trials_may_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.02)
    reading = PlugReading(5.0, None, 0.1, 0.0)
    plug = Plug("p", "tasmota", "127.0.0.1", nodes=("pi1",))
    plugs = PlugWatch([plug], lambda _: lambda: reading)
    first_s = time.monotonic()
    time.sleep(0.2)
    second_s = time.monotonic()
    time.sleep(0.2)
    first, _ = plugs.between(first_s, time.monotonic(), ["pi1"])
    time.sleep(0.2)
    second, readings = plugs.between(second_s, time.monotonic(), ["pi1"])
    plugs.close()
    for found in (first, second):
        assert found["p"].joules == pytest.approx(5.0 * found["p"].window_s, rel=0.01)
        assert 0.4 <= found["p"].window_s < 0.5
    assert sum(one.at_s < 0 for one in readings) == 1


def test_what_adding_up_raises_loses_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(watch, "used_between", broken)
    plug = Plug("p", "tasmota", "127.0.0.1", nodes=("pi1",))
    plugs = PlugWatch([plug], lambda _: lambda: PlugReading(5.0, None, 0.1, 0.0))
    found, _ = plugs.between(time.monotonic(), time.monotonic(), ["pi1"])
    plugs.close()
    assert found["p"].reason == "its readings could not be added up (ZeroDivisionError)"


def test_plugs_of_other_nodes_and_a_lone_switch_are_in_no_trial() -> None:
    def reader(_plug: Plug) -> Callable[[], PlugReading]:
        return lambda: PlugReading(5.0, None, 0.1, 0.0)

    plugs = PlugWatch(
        [
            Plug("one", "tasmota", "h", nodes=("pi1",)),
            Plug("two", "tasmota", "h", nodes=("pi2",)),
            Plug("rack", "tasmota", "h", feeds_switch=True),
        ],
        reader,
    )
    for nodes, expected in ((["pi1"], {"one", "rack"}), (["pi3"], set()), (["controller"], set())):
        found, _ = plugs.between(time.monotonic(), time.monotonic(), nodes)
        assert set(found) == expected
    plugs.close()
    assert not [one for one in threading.enumerate() if one.name.startswith("plug ")]


@pytest.mark.parametrize("kind", ["shelly_gen1", "shelly_gen2", "tasmota"])
def test_answers_that_are_late_make_the_error_larger(
    kind: PlugKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.1)
    load = Square(5.0, 25.0, 2.0)
    with PlugDouble(kind, load) as soon, PlugDouble(kind, load, late_s=0.45) as late:
        plugs = PlugWatch([soon.plug("soon", "pi1"), late.plug("late", "pi2")])
        time.sleep(0.6)
        begun_s = time.monotonic()
        time.sleep(5.0)
        ended_s = time.monotonic()
        found, _ = plugs.between(begun_s, ended_s, ["pi1", "pi2"])
        plugs.close()
        known_j = late.joules(begun_s, ended_s)
    for one in found.values():
        assert one.joules is not None
        assert one.error_j is not None
        assert abs(one.joules - known_j) <= one.error_j
    assert (found["late"].error_j or 0) > 2 * (found["soon"].error_j or 1e9)


def test_a_counter_that_wraps_or_is_reset_within_a_window_leaves_no_energy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.1)
    with PlugDouble("shelly_gen2", Constant(500.0), wraps_j=400.0, begun_j=0.0) as wraps:
        plugs = PlugWatch([wraps.plug("p", "pi1")])
        begun_s = time.monotonic()
        time.sleep(1.5)
        found, _ = plugs.between(begun_s, time.monotonic(), ["pi1"])
        wraps.wraps_j = 0.0
        time.sleep(0.3)
        begun_s = time.monotonic()
        time.sleep(0.8)
        after, _ = plugs.between(begun_s, time.monotonic(), ["pi1"])
        plugs.close()
    assert found["p"].joules is None
    assert "it was restarted, or its counter began again" in str(found["p"].reason)
    assert after["p"].joules == pytest.approx(500 * after["p"].window_s, rel=0.01)


def test_a_counter_that_leaps_is_not_believed() -> None:
    made = samples(Constant(12.0), until_s=600.0, step_j=3.6)
    made[300:] = [
        Sample(s.at_s, PlugReading(12.0, s.reading.counter_j + 4e6, 0.1, 3.6))
        for s in made[300:]
        if s.reading is not None and s.reading.counter_j is not None
    ]
    used = used_between(made, 0.0, 600.0)
    assert used.by == "power"
    assert used.joules == pytest.approx(7200.0)


def test_what_a_plug_of_an_absent_node_measures_is_no_idle_power(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watch, "EVERY_S", 0.02)
    told = {"on": 3.0, "off": 0.4, "strip": 9.0}

    def reader(plug: Plug) -> Callable[[], PlugReading]:
        return lambda: PlugReading(told[plug.name], None, 0.1, 0.0)

    fed = {"on": ("pi1",), "off": ("pi2",), "strip": ("pi2x", "pi3")}
    plugs = PlugWatch([Plug(name, "tasmota", "h", nodes=nodes) for name, nodes in fed.items()],
                      reader)  # fmt: skip
    said = list(plugs.read_idle(absent=["pi2", "pi3"]))
    found, _ = plugs.between(time.monotonic(), time.monotonic(), ["pi1", "pi2", "pi3"])
    plugs.close()
    assert {name: one.idle_w for name, one in found.items()} == {
        "on": 3.0, "off": None, "strip": None,
    }  # fmt: skip
    assert "off: not idle power, because pi2 is away" in said
