"""Plugs of each kind over HTTP: what is read, how they are logged in to, and every way to fail."""

from __future__ import annotations

import socket
import time
from typing import get_args

import pytest

from experiments.fleet.cluster import Plug, PlugKind, Secret
from experiments.plugs.http import DEADLINE_S, PlugError
from experiments.plugs.kinds import PlugReader
from tests.doubles import plugs
from tests.doubles.plugs import FAULTS, START_S, Constant, PlugDouble

KINDS: tuple[PlugKind, ...] = get_args(PlugKind)
PASSWORD = "pass & wörd=1"  # noqa: S105 - of doubles
OTHER = "s3cret-word"
STEPS = {"shelly_gen1": 60.0, "shelly_gen2": 3.6, "shelly_pm": 3.6, "tasmota": 3600.0}


@pytest.mark.parametrize("kind", KINDS)
def test_power_and_counter_are_read_in_watts_and_joules(kind: PlugKind) -> None:
    with PlugDouble(kind, Constant(12.0)) as double:
        began_s = time.monotonic()
        reading = PlugReader(double.plug("p", "pi1")).read()

    assert reading.watts == 12.0
    assert reading.counter_step_j == pytest.approx(STEPS[kind])
    expected_j = double.begun_j + double.load.joules(began_s) - double.load.joules(START_S)
    assert reading.counter_j is not None
    assert abs(reading.counter_j - expected_j) < STEPS[kind] + 12.0 * DEADLINE_S, "in joules"


@pytest.mark.parametrize("reuses_nonce", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_password_is_given_as_each_kind_takes_it(kind: PlugKind, *, reuses_nonce: bool) -> None:
    with PlugDouble(kind, password=PASSWORD, reuses_nonce=reuses_nonce) as double:
        reader = PlugReader(double.plug("p", "pi1"))
        assert [reader.read().watts for _ in range(3)] == [12.0] * 3
        requests = len(double.heard)

    digest = kind in ("shelly_gen2", "shelly_pm")
    assert requests == (4 if digest and reuses_nonce else 6 if digest else 3)
    if digest:
        assert PASSWORD not in "".join(double.heard)


@pytest.mark.parametrize("given", ["", "another"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_or_missing_password_is_refused_by_name(kind: PlugKind, given: str) -> None:
    with PlugDouble(kind, password=PASSWORD) as double:
        plug = double.plug("p", "pi1", password=given or "x")
        if not given:
            plug = Plug("p", kind, "127.0.0.1", double.port, nodes=("pi1",))
        with pytest.raises(PlugError, match="check plug_user and plug_password") as caught:
            PlugReader(plug).read()
    assert caught.value.is_lasting
    assert PASSWORD not in str(caught.value)
    assert given not in str(caught.value) or not given


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_failure_is_a_reason_in_bounded_time(kind: PlugKind, fault: str) -> None:
    if fault in ("silent", "drip") and kind != "tasmota":
        pytest.skip("takes as long as the deadline, and the same way")
    with PlugDouble(kind, password=OTHER, fault=fault) as double:
        begun_s = time.monotonic()
        with pytest.raises(PlugError) as caught:
            PlugReader(double.plug("p", "pi1")).read()
        took_s = time.monotonic() - begun_s

    assert took_s < DEADLINE_S + 0.5
    reason = str(caught.value)
    assert len(reason) < 200
    assert "\n" not in reason
    assert "s3cret" not in reason
    assert "127.0.0.1" not in reason


def test_a_plug_that_repeats_the_password_does_not_bring_it_into_a_reason() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plugs.CHANGED, "echo", plugs.power_as(f'"{OTHER}"'))
        for kind in KINDS:
            with PlugDouble(kind, password=OTHER, fault="echo") as double:
                with pytest.raises(PlugError) as caught:
                    PlugReader(double.plug("p", "pi1")).read()
                assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("kind", KINDS)
def test_no_redirect_is_followed(kind: PlugKind, status: int) -> None:
    told = b'{"power":9, "apower":9, "StatusSNS":{"ENERGY":{"Power":9}}}'
    with PlugDouble(kind) as target, PlugDouble(kind, password=OTHER) as double:
        elsewhere = {"Location": f"http://127.0.0.1:{target.port}/meter/0"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(plugs.CONTENTS, "redirect", (status, elsewhere, told))
            double.fault = "redirect"
            with pytest.raises(PlugError, match="redirects elsewhere"):
                PlugReader(double.plug("p", "pi1")).read()
    assert target.heard == []


CHALLENGES = (
    "", "Digest", "Digest realm=, nonce=", "Digest =", "Digest ,,,", 'Digest "', "Basic realm=x",
    "Digest algorithm=SHA-256", 'Digest realm="a\\"b", nonce="\xff", algorithm=SHA-256, opaque=""',
)  # fmt: skip


@pytest.mark.parametrize("challenge", CHALLENGES)
def test_no_challenge_breaks_a_reader(challenge: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plugs.CONTENTS, "asks", (401, {"WWW-Authenticate": challenge}, b""))
        plug = PlugDouble("shelly_gen2", password=OTHER, fault="asks")
        patch.setattr(plug, "_refusal", lambda _: None)
        with plug, pytest.raises(PlugError) as caught:
            PlugReader(plug.plug("p", "pi1")).read()
    assert "s3cret" not in str(caught.value)


def test_a_counter_that_is_null_is_none() -> None:
    with pytest.MonkeyPatch.context() as patch:
        told = b'{"id":0, "apower":9.5, "aenergy":null}'
        patch.setitem(plugs.CONTENTS, "no_counter", (200, {}, told))
        with PlugDouble("shelly_gen2", fault="no_counter") as double:
            reading = PlugReader(double.plug("p", "pi1")).read()
    assert (reading.watts, reading.counter_j) == (9.5, None)


def test_a_plug_of_another_kind_is_told_by_its_kind() -> None:
    with PlugDouble("tasmota") as double:
        plug = Plug("p", "shelly_gen2", "127.0.0.1", double.port, nodes=("pi1",))
        with pytest.raises(PlugError, match="are plug_kind and plug_channel right") as caught:
            PlugReader(plug).read()
    assert caught.value.is_lasting


def test_a_plug_that_is_not_there_is_a_reason() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(PlugError, match="refuses connections"):
        PlugReader(Plug("p", "tasmota", "127.0.0.1", port)).read()
    with pytest.raises(PlugError, match="not known"):
        PlugReader(Plug("p", "tasmota", "no-such-plug.invalid")).read()


def test_a_plug_shows_no_password() -> None:
    assert "s3cret" not in repr(Plug("p", "tasmota", "h", password=Secret("s3cret")))


@pytest.mark.parametrize(
    ("kind", "told", "joules"),
    [
        ("shelly_gen1", b'{"power":12.0, "is_valid":true, "total":1000}', 60_000.0),
        ("shelly_gen2", b'{"id":0, "apower":12.0, "aenergy":{"total":1000.0}}', 3_600_000.0),
        ("shelly_pm", b'{"id":0, "apower":12.0, "aenergy":{"total":1000.0}}', 3_600_000.0),
        ("tasmota", b'{"StatusSNS":{"ENERGY":{"Power":12, "Total":1000}}}', 3_600_000_000.0),
    ],
)
def test_the_same_number_is_another_energy_with_each_kind(
    kind: PlugKind, told: bytes, joules: float
) -> None:
    """Watt-minutes, watt-hours, kilowatt-hours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(plugs.CONTENTS, "thousand", (200, {}, told))
        with PlugDouble(kind, fault="thousand") as double:
            assert PlugReader(double.plug("p", "pi1")).read().counter_j == joules
