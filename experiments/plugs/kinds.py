"""The kinds of plugs: what each is asked, and where its answer has power and energy."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote

from experiments.fleet.cluster import Plug, PlugKind
from experiments.plugs.digest import Digest
from experiments.plugs.http import DEADLINE_S, PlugAnswer, PlugError, get

MOST_WATTS = 25_000.0
"""More than any plug carries."""
MOST_J = 1e15
EXPONENTS = range(-400, 4)
"""Of the last digit that a number is written with: those of numbers that a processor has, and up to
a kilowatt-hour in watt-hours."""
OK, UNAUTHORISED, FORBIDDEN, NOT_FOUND = 200, 401, 403, 404
REDIRECTS = range(300, 400)
Figures = tuple[object, object]
"""Power in watts and the counter in the plug's own unit, as the answer has them."""


@dataclass(frozen=True, slots=True)
class Interface:
    """How one kind of plug is asked.

    Attributes:
        label: what a reader knows it as.
        path: from a channel to what is asked.
        figures: from an answer and a channel to what it says. Raises LookupError and TypeError
            where an answer is another.
        unit_j: joules of one unit of the counter.
        login: how it takes a password.
    """

    label: str
    path: Callable[[int], str]
    figures: Callable[[Mapping[str, Any], int], Figures]
    unit_j: float
    login: Literal["basic", "digest", "query"]


@dataclass(frozen=True, slots=True)
class PlugReading:
    """What a plug said.

    Attributes:
        watts: power now.
        counter_j: joules since its counter began; None where it has none for this channel.
        watts_step: the last digit of its power, in watts.
        counter_step_j: the last digit of its counter, in joules.
    """

    watts: float
    counter_j: float | None
    watts_step: float
    counter_step_j: float


def _gen1(told: Mapping[str, Any], _channel: int) -> Figures:
    if told.get("is_valid") is False:
        raise PlugError("it says that its own reading is not valid (`is_valid`)")
    return told["power"], told.get("total")


def _gen2(told: Mapping[str, Any], _channel: int) -> Figures:
    if told.get("errors"):
        raise PlugError("it reports errors of its meter")
    return told["apower"], (told.get("aenergy") or {}).get("total")


def _tasmota(told: Mapping[str, Any], channel: int) -> Figures:
    if "WARNING" in told or told.get("Command") == "Error":
        raise _unauthorised("it asks for a user and a password")
    energy = told["StatusSNS"]["ENERGY"]
    power, total = energy["Power"], energy.get("Total")
    if not isinstance(power, list):
        return power, total
    # The counter of one with several channels is of all of them, unless it is a list, too.
    return power[channel], total[channel] if isinstance(total, list) else None


INTERFACES: Mapping[PlugKind, Interface] = {
    "shelly_gen1": Interface(
        "Shelly, first generation", lambda channel: f"/meter/{channel}", _gen1, 60.0, "basic"
    ),
    "shelly_gen2": Interface(
        "Shelly, second generation or later",
        lambda channel: f"/rpc/Switch.GetStatus?id={channel}",
        _gen2,
        3600.0,
        "digest",
    ),
    "shelly_pm": Interface(
        "Shelly PM",
        lambda channel: f"/rpc/PM1.GetStatus?id={channel}",
        _gen2,
        3600.0,
        "digest",
    ),
    "tasmota": Interface(
        "Tasmota", lambda _channel: "/cm?cmnd=Status%208", _tasmota, 3.6e6, "query"
    ),
}
"""Units of their counters: watt-minutes, watt-hours, kilowatt-hours."""


class PlugReader:
    """Reads one plug.

    Args:
        plug: as the inventory declares it.
    """

    def __init__(self, plug: Plug) -> None:
        self._plug = plug
        self._interface = INTERFACES[plug.kind]
        password = plug.password
        self._digest = None if password is None else Digest(plug.user, password)

    def read(self) -> PlugReading:
        """Ask it once.

        Raises:
            PlugError: it gave no reading.
        """
        until_s = time.monotonic() + DEADLINE_S
        answer = self._ask(until_s)
        is_digest = self._interface.login == "digest"
        if answer.status == UNAUTHORISED and is_digest and self._digest is not None:
            self._digest.challenged(answer.challenge)
            answer = self._ask(until_s)
        _require_ok(answer, self._plug)
        return self._reading(_json(answer.body))

    def _ask(self, until_s: float) -> PlugAnswer:
        plug, path = self._plug, self._interface.path(self._plug.channel)
        headers: dict[str, str] = {}
        if plug.password is not None:
            login, secret = self._interface.login, plug.password.reveal()
            if login == "digest" and self._digest is not None:
                headers = self._digest.header(path)
            elif login == "basic":
                token = base64.b64encode(f"{plug.user}:{secret}".encode()).decode()
                headers = {"Authorization": f"Basic {token}"}
            elif login == "query":
                path += f"&user={quote(plug.user, safe='')}&password={quote(secret, safe='')}"
        return get(plug.host, plug.port, path, headers, until_s)

    def _reading(self, told: Any) -> PlugReading:  # noqa: ANN401 - any JSON
        try:
            power, total = self._interface.figures(told, self._plug.channel)
        except (LookupError, TypeError, AttributeError):
            raise PlugError(
                f"its answer has no power where that of a plug of kind {self._plug.kind} has it: "
                "is its plug_kind right, and does it measure?",
                is_lasting=True,
            ) from None
        watts, watts_step = _figure("power", power, MOST_WATTS)
        if total is None:
            return PlugReading(watts, None, watts_step, 0.0)
        unit_j = self._interface.unit_j
        counter, step = _figure("energy", total, MOST_J / unit_j)
        return PlugReading(watts, unit_j * counter, watts_step, unit_j * step)


def _require_ok(answer: PlugAnswer, plug: Plug) -> None:
    """See that an answer is one. Raises PlugError."""
    if answer.status in (UNAUTHORISED, FORBIDDEN):
        wrong = "asks for a password" if plug.password is None else "refuses its password"
        raise _unauthorised(f"it {wrong} ({answer.status})")
    if answer.status in REDIRECTS:
        raise PlugError(
            f"it redirects elsewhere ({answer.status}), which is not followed", is_lasting=True
        )
    if answer.status == NOT_FOUND:
        raise PlugError(
            f"it does not have what a plug of kind {plug.kind} has on channel {plug.channel} "
            "(404): are plug_kind and plug_channel right?",
            is_lasting=True,
        )
    if answer.status != OK:
        raise PlugError(f"it answers with status {answer.status}")


def _unauthorised(what: str) -> PlugError:
    return PlugError(f"{what}: check plug_user and plug_password", is_lasting=True)


def _json(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return an answer; numbers as they are written. Raises PlugError."""
    try:
        return json.loads(body, parse_float=Decimal, parse_int=Decimal, parse_constant=_no_number)
    except (ValueError, ArithmeticError, RecursionError):
        raise PlugError("its answer is not JSON") from None


def _no_number(name: str) -> None:
    raise PlugError(f"its answer has {name} for a number")


def _figure(what: str, value: object, most: float) -> tuple[float, float]:
    """Return a number and its last digit. Raises PlugError where it cannot be one."""
    if not isinstance(value, Decimal):
        # What it says instead is not repeated: a plug knows the password.
        raise PlugError(f"its {what} is no number")
    number, exponent = float(value), value.as_tuple().exponent
    if not 0 <= number <= most or exponent not in EXPONENTS:
        raise PlugError(f"its {what} is impossible: {value:.6g}")
    return number, float(Decimal(1).scaleb(int(exponent)))
