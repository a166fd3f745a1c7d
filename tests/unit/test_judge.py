"""An attempt counts unless a reason that was written down beforehand forbids it."""

from __future__ import annotations

import pytest

from collect.attempt import NodeReading, NodeRecord, ProcessRecord
from experiments.nodes.ssh.readings import node_reading, unit_state
from experiments.trials.execution import Execution
from experiments.trials.validity import failure, invalidity

CALM = NodeReading(clock_s=1000.0, uptime_s=10.0, throttled=0x50000, swap_pages=7, link_mbit=1000)


def execution(after: NodeReading, **told: object) -> Execution:
    made = Execution(started_at=0.0, readings={"pi1": NodeRecord(before=CALM, after=after)})
    for name, value in told.items():
        setattr(made, name, value)
    return made


def later(**changed: object) -> NodeReading:
    return CALM.model_copy(update={"clock_s": 1060.0, "uptime_s": 70.0, **changed})


def test_a_calm_node_is_no_reason() -> None:
    assert invalidity(execution(later()), {"pi1": 1000}, {}) is None


def test_swap_is_counted_in_bytes_since_a_raspberry_pi_5_has_larger_pages() -> None:
    swapped = execution(later(swap_pages=7 + 100))
    assert invalidity(swapped, {}, {"pi1": 4096}) is None
    assert invalidity(swapped, {}, {"pi1": 16384}) == "pi1: it swapped 1600 KiB"


def test_bits_that_were_set_before_are_no_reason() -> None:
    assert invalidity(execution(later(throttled=0x50000)), {}, {}) is None


def test_a_node_that_is_throttled_all_along_is_one_though_no_bit_is_new() -> None:
    hot = CALM.model_copy(update={"throttled": 0x50008})
    record = NodeRecord(before=hot, after=later(throttled=0x50008))
    made = Execution(started_at=0.0, readings={"pi1": record})
    assert invalidity(made, {}, {}) == "pi1: it reached its soft temperature limit"


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"throttled": 0x50001}, "supply voltage"),
        ({"throttled": 0x50004}, "throttled"),
        ({"throttled": 0xD0000}, "soft temperature limit"),
        ({"throttled_meanwhile": 0x2}, "frequency was capped"),
        ({"swap_pages": 7 + 257}, "swapped 1028 KiB"),
        ({"link_mbit": 100}, "its link was at 100 instead of 1000"),
        ({"clock_s": 1061.0}, "its clock was set by +1.0 s"),
        ({"clock_s": 1059.0}, "its clock was set by -1.0 s"),
    ],
)
def test_each_reason_names_the_node(changed: dict[str, object], told: str) -> None:
    reason = str(invalidity(execution(later(**changed)), {"pi1": 1000}, {}))

    assert reason.startswith("pi1: ")
    assert told in reason


@pytest.mark.parametrize("changed", [{"swap_pages": 7 + 256}, {"clock_s": 1060.4}])
def test_what_stays_below_the_limit_is_no_reason(changed: dict[str, object]) -> None:
    assert invalidity(execution(later(**changed)), {}, {}) is None


def test_a_link_that_was_slow_since_the_run_began_is_its_own_measure() -> None:
    before = CALM.model_copy(update={"link_mbit": 100})
    made = Execution(
        started_at=0.0,
        readings={"pi1": NodeRecord(before=before, after=later(link_mbit=100))},
    )

    assert invalidity(made, {"pi1": 100}, {}) is None
    assert "100 instead of 1000" in str(invalidity(made, {"pi1": 1000}, {}))


def test_a_node_that_tells_nothing_is_no_reason() -> None:
    assert invalidity(execution(NodeReading()), {}, {}) is None


def test_a_root_that_ended_with_another_status_failed() -> None:
    root = ProcessRecord(node="pi1", role="root", unit="u", argv=("x",), exit_code=134)
    assert failure(execution(later(), processes=[root])) is not None
    well = root.model_copy(update={"exit_code": 0})
    assert failure(execution(later(), processes=[well])) is None


def test_what_the_runner_saw_comes_first() -> None:
    assert failure(execution(later(), cause="pi2 was unplugged")) == "pi2 was unplugged"


def test_a_unit_that_ended_is_read_with_its_times_and_status() -> None:
    state = unit_state(
        {
            "ActiveState": "active",
            "Result": "success",
            "ExecMainCode": "1",
            "ExecMainStatus": "0",
            "ExecMainStartTimestamp": "1795408106123456",
            "ExecMainStartTimestampMonotonic": "1000000",
            "ExecMainExitTimestampMonotonic": "3500000",
            "CPUUsageNSec": "2000000000",
        }
    )

    assert (state.exit_code, state.signal, state.running) == (0, None, False)
    assert state.started_at == 1795408106.123456
    assert state.runtime_s == 2.5
    assert state.cpu_s == 2.0
    assert state.memory_peak_mib is None


def test_a_unit_that_was_killed_is_read_with_its_signal() -> None:
    state = unit_state(
        {
            "ActiveState": "failed",
            "Result": "oom-kill",
            "ExecMainCode": "2",
            "ExecMainStatus": "9",
            "ExecMainStartTimestampMonotonic": "1",
            "ExecMainExitTimestampMonotonic": "2",
        }
    )

    assert (state.exit_code, state.signal, state.result) == (None, 9, "oom-kill")


def test_a_unit_that_still_runs_has_no_status() -> None:
    state = unit_state(
        {
            "ActiveState": "active",
            "Result": "success",
            "ExecMainCode": "0",
            "ExecMainStatus": "0",
            "ExecMainStartTimestampMonotonic": "1",
            "ExecMainExitTimestampMonotonic": "0",
        }
    )

    assert (state.running, state.exit_code, state.result, state.runtime_s) == (
        True,
        None,
        None,
        None,
    )


def test_a_reading_has_units_and_none_where_the_node_has_no_such_thing() -> None:
    told = {
        "clock_s": "1.5",
        "temperature_mc": "48123",
        "frequency_khz": "2400000",
        "throttled": "0x50005",
        "link_mbit": "-1",
        "swap_pages": "",
    }

    assert node_reading(told) == NodeReading(
        clock_s=1.5, temperature_c=48.123, frequency_mhz=2400.0, throttled=0x50005
    )
