"""What all tests share."""

from __future__ import annotations

import signal


def pytest_configure() -> None:
    """Hear of Ctrl-C, also where a shell began pytest in the background and had it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
