"""Smart plugs on loopback that answer as the real ones do, and fail as they may.

Written after the pages of their makers: Shelly's first generation (`/meter/0`, Basic), its second
and later ones (RPC over GET, Digest with SHA-256), and Tasmota (`/cm`, in chunks, the password in
the query).
"""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import math
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from experiments.fleet.cluster import Plug, PlugKind, Secret

REALM = "shellyplus1pm-a8032ab12345"


@dataclass(frozen=True)
class Constant:
    """A load that never changes."""

    level_w: float

    def watts(self, _at_s: float) -> float:
        """Return its power at a moment."""
        return self.level_w

    def joules(self, at_s: float) -> float:
        """Return what it used until a moment."""
        return self.level_w * at_s


@dataclass(frozen=True)
class Square:
    """A load that changes between two powers, each for half a period."""

    low_w: float
    high_w: float
    period_s: float

    def watts(self, at_s: float) -> float:
        """Return its power at a moment."""
        return self.high_w if at_s % self.period_s < self.period_s / 2 else self.low_w

    def joules(self, at_s: float) -> float:
        """Return what it used until a moment."""
        periods, rest_s = divmod(at_s, self.period_s)
        half_s = self.period_s / 2
        whole = periods * half_s * (self.high_w + self.low_w)
        return whole + self.high_w * min(rest_s, half_s) + self.low_w * max(0.0, rest_s - half_s)


Load = Constant | Square
Content = tuple[int, dict[str, str], bytes]


@dataclass
class PlugDouble:
    """A plug with a load.

    Attributes:
        password: that it asks for; None for none.
        reuses_nonce: as Shelly's firmware does from 2.0 on.
        updates_s: how often its counter changes; 0 for each reading.
        decimals: of Tasmota's `Power`, which has none by default.
        fault: what is wrong with it, one of `FAULTS`; may be set while it runs.
        reset_j: is taken from its counter: it was restarted.
        late_s: how long it takes to answer; it reads its meter then.
        wraps_j: its counter begins again after so many joules; 0 for never.
        asked_s: when it was asked, by the monotonic clock; a challenge counts once.
        heard: the requests as they came, with their headers.
    """

    kind: PlugKind
    load: Load = Constant(12.0)
    password: str | None = None
    reuses_nonce: bool = False
    updates_s: float = 0.0
    decimals: int = 0
    fault: str | Callable[[], str] = ""
    reset_j: float = 0.0
    late_s: float = 0.0
    wraps_j: float = 0.0
    begun_j: float = 1_000_000.0
    asked_s: list[float] = field(default_factory=list)
    heard: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._nonce, self._count = "", 0
        double = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                double._answer(self)

            def log_message(self, *args: object) -> None:
                """Print nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def plug(self, name: str, *nodes: str, switch: bool = False, password: str = "") -> Plug:
        """Return it as the inventory declares it, with its password unless another is given."""
        given = password or self.password
        return Plug(
            name=name,
            kind=self.kind,
            host="127.0.0.1",
            port=self.port,
            nodes=nodes,
            feeds_switch=switch,
            password=Secret(given) if given else None,
        )

    def joules(self, begin_s: float, end_s: float) -> float:
        """Return what its load used between two moments of the monotonic clock."""
        return self.load.joules(end_s) - self.load.joules(begin_s)

    # -- answers

    def _answer(self, request: Any) -> None:  # noqa: ANN401 - a handler
        self.heard.append(f"{request.requestline}\n{request.headers}")
        fault = self.fault if isinstance(self.fault, str) else self.fault()
        status, headers, body = self._content(request, fault)
        if fault in RAW:
            RAW[fault](self, request)
            return
        is_chunked = self.kind == "tasmota"
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name, value)
        request.send_header("Content-Type", "application/json")
        request.send_header("Connection", "close")
        if is_chunked:
            request.send_header("Transfer-Encoding", "chunked")
        else:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(chunks(body) if is_chunked else body)
        request.close_connection = True

    def _content(self, request: Any, fault: str) -> Content:  # noqa: ANN401 - a handler
        refused = self._refusal(request)
        if refused is not None:
            return refused
        self.asked_s.append(time.monotonic())
        self._ended.wait(self.late_s)
        if fault in CONTENTS:
            return CONTENTS[fault]
        path = urlsplit(request.path)
        told = self._told(path.path, parse_qs(path.query))
        if told is None:
            return 404, {}, b'{"code":404, "message":"No handler"}'
        return 200, {}, CHANGED.get(fault, lambda text: text)(told).encode()

    def _told(self, path: str, query: dict[str, list[str]]) -> str | None:
        now_s = time.monotonic()
        watts = self.load.watts(now_s)
        counted_s = now_s - now_s % self.updates_s if self.updates_s else now_s
        counter_j = self.begun_j + self.load.joules(counted_s) - self.load.joules(START_S)
        counter_j -= self.reset_j
        if self.wraps_j:
            counter_j %= self.wraps_j
        if self.kind == "shelly_gen1" and path == "/meter/0":
            return (
                f'{{"power":{watts:.2f},"overpower":0.00,"is_valid":true,"timestamp":{time.time():.0f},'
                f'"counters":[{watts:.3f}, 0.000, 0.000],"total":{math.floor(counter_j / 60)}}}'
            )
        minute = watts * 1000 / 60
        methods = {"shelly_gen2": "/rpc/Switch.GetStatus", "shelly_pm": "/rpc/PM1.GetStatus"}
        if methods.get(self.kind) == path and query.get("id") == ["0"]:
            return (
                f'{{"id":0, "source":"init", "output":true, "apower":{watts:.1f}, "voltage":231.2, '
                f'"current":0.089, "aenergy":{{"total":{counter_j / 3600:.3f},'
                f'"by_minute":[{minute:.3f},{minute:.3f},0.000],"minute_ts":{time.time():.0f}}},'
                '"temperature":{"tC":41.3, "tF":106.4}}'
            )
        if self.kind == "tasmota" and path == "/cm" and query.get("cmnd") in STATUS:
            kwh = math.floor(counter_j / 3600) / 1000
            return (
                '{"StatusSNS":{"Time":"2026-11-29T14:00:00","ENERGY":{"TotalStartTime":'
                f'"2026-01-01T00:00:00","Total":{kwh:.3f},"Yesterday":0.028,"Today":0.026,'
                f'"Power":{watts:.{self.decimals}f},"ApparentPower":14,"ReactivePower":5,'
                '"Factor":0.88,"Voltage":231,"Current":0.060}}}'
            )
        return None

    # -- passwords

    def _refusal(self, request: Any) -> Content | None:  # noqa: ANN401 - a handler
        if self.password is None:
            return None
        given = request.headers.get("Authorization", "")
        if self.kind == "tasmota":
            query = parse_qs(urlsplit(request.path).query)
            if (query.get("user"), query.get("password")) == (["admin"], [self.password]):
                return None
            return 401, {}, b'{"WARNING":"Need user=<username>&password=<password>"}'
        if self.kind == "shelly_gen1":
            token = base64.b64encode(f"admin:{self.password}".encode()).decode()
            if given == f"Basic {token}":
                return None
            return 401, {"WWW-Authenticate": 'Basic realm="shellyplug-s-7AE6E2"'}, b"401"
        return None if self._proves(given, request.path) else self._challenge()

    def _challenge(self) -> Content:
        self._nonce, self._count = secrets.token_hex(4), 0
        told = f'Digest qop="auth", realm="{REALM}", nonce="{self._nonce}", algorithm=SHA-256'
        return 401, {"WWW-Authenticate": told}, b""

    def _proves(self, given: str, path: str) -> bool:
        told = parse_keqv_list(parse_http_list(given.removeprefix("Digest ")))
        count = int(told.get("nc", "0"), 16)
        is_fresh = told.get("nonce") == self._nonce and count > self._count
        if not is_fresh or (count > 1 and not self.reuses_nonce) or told["uri"] != path:
            return False
        self._count = count
        secret = sha256(f"admin:{REALM}:{self.password}")
        middle = f"{told['nonce']}:{told['nc']}:{told['cnonce']}:{told['qop']}"
        return told["response"] == sha256(f"{secret}:{middle}:{sha256(f'GET:{path}')}")


START_S = time.monotonic()
STATUS = (["Status 8"], ["Status 10"])


def sha256(text: str) -> str:
    """Return the hash in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def chunks(body: bytes) -> bytes:
    """Return a body as Tasmota sends it, in pieces."""
    pieces = [body[begin : begin + 100] for begin in range(0, len(body), 100)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


def _silent(double: PlugDouble, _request: Any) -> None:  # noqa: ANN401 - a handler
    double._ended.wait(60)


def _drip(double: PlugDouble, request: Any) -> None:  # noqa: ANN401 - a handler
    """Send a header that has no end, slowly."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\n")
    with suppress(OSError):
        while not double._ended.wait(0.05):
            request.wfile.write(b"X")


def _huge(_double: PlugDouble, request: Any) -> None:  # noqa: ANN401 - a handler
    with suppress(OSError):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b" " * (1 << 24))


def _cut(_double: PlugDouble, request: Any) -> None:  # noqa: ANN401 - a handler
    request.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{")
    request.close_connection = True


def _not_http(_double: PlugDouble, request: Any) -> None:  # noqa: ANN401 - a handler
    request.wfile.write(b"220 mail.example ESMTP\r\n")
    request.close_connection = True


def _bad_chunk(_double: PlugDouble, request: Any) -> None:  # noqa: ANN401 - a handler
    request.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n")
    request.close_connection = True


RAW: dict[str, Callable[[PlugDouble, Any], None]] = {
    "silent": _silent,
    "drip": _drip,
    "huge": _huge,
    "cut": _cut,
    "not_http": _not_http,
    "bad_chunk": _bad_chunk,
}
CONTENTS: dict[str, Content] = {
    "redirect": (302, {"Location": "http://127.0.0.1:9/elsewhere"}, b""),
    "unauthorised": (401, {}, b""),
    "forbidden": (403, {}, b""),
    "busy": (503, {}, b""),
    "missing": (404, {}, b""),
    "not_json": (200, {}, b"<html>A router</html>"),
    "list": (200, {}, b"[1, 2, 3]"),
    "empty": (200, {}, b""),
    "deep": (200, {}, b"[" * 60_000),
    "no_power": (200, {}, b'{"id":0, "output":true}'),
    "latin": (200, {}, b'{"power": "\xff"}'),
}


def power_as(value: str) -> Callable[[str], str]:
    """Return a change of the power in an answer to another text."""

    def changed(text: str) -> str:
        told = json.loads(text)
        where = told.get("StatusSNS", {}).get("ENERGY", told)
        name = next(one for one in ("power", "apower", "Power") if one in where)
        return text.replace(f'"{name}":{_written(text, name)}', f'"{name}":{value}')

    return changed


def _written(text: str, name: str) -> str:
    after = text.split(f'"{name}":')[1]
    return after[: min(after.index(sign) for sign in ",}" if sign in after)]


CHANGED: dict[str, Callable[[str], str]] = {
    "nan": power_as("NaN"),
    "infinite": power_as("1e999"),
    "negative": power_as("-5.5"),
    "text": power_as('"twelve"'),
    "true": power_as("true"),
    "null": power_as("null"),
    "absurd": power_as("9999999"),
    "long": power_as("1" * 5000),
    "tiny": power_as("1e-9999999999"),
    "rounded": power_as("0e300"),
}
FAULTS = (*RAW, *CONTENTS, *CHANGED)
