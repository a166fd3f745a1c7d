"""PID 1, asked through its own library."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable

from herd_node.ground import RefusalError


class BusError(ctypes.Structure):
    """`sd_bus_error`."""

    _fields_ = (("name", ctypes.c_char_p), ("message", ctypes.c_char_p), ("own", ctypes.c_int))


class Systemd:
    """PID 1, through sd-bus(3) on its private socket."""

    MANAGER = "org.freedesktop.systemd1.Manager"
    UNIT = "org.freedesktop.systemd1.Unit"
    SERVICE = "org.freedesktop.systemd1.Service"
    TOP = "/org/freedesktop/systemd1"

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libsystemd.so.0")
        self._bus = ctypes.c_void_p()
        self._connect()

    def call(self, member: str, types: str, *values: object) -> None:
        """Call a method of the manager. Raises RefusalError with systemd's own words."""
        error = BusError()

        def ask() -> int:
            self._library.sd_bus_error_free(ctypes.byref(error))
            code: int = self._library.sd_bus_call_method(
                self._bus,
                b"org.freedesktop.systemd1",
                self.TOP.encode(),
                self.MANAGER.encode(),
                member.encode(),
                ctypes.byref(error),
                None,
                types.encode(),
                *map(variadic, values),
            )
            return code

        code = self._connected(ask)
        if code < 0:
            message = (error.message or os.strerror(-code).encode()).decode()
            self._library.sd_bus_error_free(ctypes.byref(error))
            raise RefusalError(message)

    def number(self, unit: str, interface: str, member: str, kind: str = "t") -> int | None:
        """A property of a unit; None where this systemd or kernel does not keep it."""
        value = ctypes.c_uint64(0)
        code = self._connected(
            lambda: self._library.sd_bus_get_property_trivial(
                self._bus,
                b"org.freedesktop.systemd1",
                path_of(unit),
                interface.encode(),
                member.encode(),
                None,
                ctypes.c_char(kind.encode()),
                ctypes.byref(value),
            )
        )
        return None if code < 0 or value.value == 2**64 - 1 else value.value

    def word(self, unit: str, interface: str, member: str) -> str:
        """Read a property that is a text; empty where there is none."""
        value = ctypes.c_char_p()
        code = self._connected(
            lambda: self._library.sd_bus_get_property_string(
                self._bus,
                b"org.freedesktop.systemd1",
                path_of(unit),
                interface.encode(),
                member.encode(),
                None,
                ctypes.byref(value),
            )
        )
        return "" if code < 0 or value.value is None else value.value.decode()

    def _connect(self) -> None:
        self._check(self._library.sd_bus_new(ctypes.byref(self._bus)), "make a bus")
        address = b"unix:path=/run/systemd/private"
        self._check(self._library.sd_bus_set_address(self._bus, address), "set its address")
        self._check(self._library.sd_bus_start(self._bus), "connect to systemd")

    def _connected(self, ask: Callable[[], int]) -> int:
        """What sd-bus answers, on another connection where systemd has closed this one.

        It closes one that has said nothing for 90 s, and all when it is replaced by an upgrade.
        """
        code = ask()
        if -code in (errno.ENOTCONN, errno.ECONNRESET, errno.EPIPE):
            self._library.sd_bus_unref(self._bus)
            self._connect()
            code = ask()
        return code

    def _check(self, code: int, doing: str) -> None:
        if code < 0:
            raise SystemExit(f"herd-node could not {doing}: {os.strerror(-code)}")


def variadic(value: object) -> object:
    """A value as C's variable arguments take it."""
    if isinstance(value, str):
        return ctypes.c_char_p(value.encode())
    if isinstance(value, bool):
        return ctypes.c_int(value)
    return value


def path_of(unit: str) -> bytes:
    """Object path of a unit, escaped as sd_bus_path_encode(3) does."""
    name = f"{unit}.service"
    escaped = "".join(c if c.isalnum() and c.isascii() else f"_{ord(c):02x}" for c in name)
    return f"{Systemd.TOP}/unit/{escaped}".encode()
