"""A server that answers for as long as a test looks at it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from socketserver import BaseServer

LOOK_S = 0.02
"""How often it looks whether it is to end."""


@contextmanager
def serving(server: BaseServer) -> Iterator[None]:
    """Let a server answer in a thread, until the block ends."""
    thread = threading.Thread(target=server.serve_forever, args=(LOOK_S,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
