"""Watching a run: the page, the thread that follows the run, and their end."""

from __future__ import annotations

import getpass
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from analysis.live.follower import Follower
from analysis.live.site import LINGER_S, LiveSite
from analysis.live.state import RunPhase
from collect.named import folder_named
from core.errors import HerdError
from core.language.choice import ENGLISH
from core.local_site.server import LOOPBACK, LOOPBACK_6, LocalServer
from core.progress import spoken_time

TICK_S = 0.5
_ADDRESS = re.compile(r"[0-9A-Za-z.:%_-]{1,100}")


def watch(
    results: Path,
    reports: Path,
    say: Callable[[str], None],
    *,
    run: str | None = None,
    port: int = 0,
    use_ipv6: bool = False,
    language: str = ENGLISH,
) -> None:
    """Serve the page of a run until it has ended and was seen, or until Ctrl-C.

    Args:
        results: folder of all runs.
        reports: folder of all reports.
        say: prints a line.
        run: name of the run; None for the one that is measured, or else the next.
        port: of this machine; 0 for any that is free.
        use_ipv6: listen on ::1 instead of 127.0.0.1.
        language: of the page.

    Raises:
        HerdError: there is no such run, or the port is taken.
    """
    run = None if run is None else folder_named(results, run).name
    follower = Follower(results, reports, run, language)
    site = LiveSite(follower, language)
    with _served(site, say, LOOPBACK_6 if use_ipv6 else LOOPBACK, port) as server:
        stop = threading.Event()
        following = threading.Thread(target=follower.follow, args=(stop,), daemon=True)
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        with suppress(KeyboardInterrupt):
            following.start()
            serving.start()
            for line in _beginning(server, run):
                say(line)
            while not site.is_done() and following.is_alive():
                time.sleep(TICK_S)
        stop.set()
        server.shutdown()
    say(_ending(follower))


def _served(site: LiveSite, say: Callable[[str], None], address: str, port: int) -> LocalServer:
    try:
        return LocalServer(site, say, address=address, port=port, is_tunnelled=True)
    except OSError as error:
        told = error.strerror or str(error)
        raise HerdError(
            f"Listening on {address}, port {port}: {told}. Give another --port, or none."
        ) from None


def _beginning(server: LocalServer, run: str | None) -> list[str]:
    what = f"the run {run}" if run else "the run that is measured, or else the next one"
    port, host = server.server_port, server.address.rpartition(":")[0]
    ends = (
        "The page only reads files of this machine. When the run has ended and the page has shown "
        f"it, this command ends, at the latest after {spoken_time(LINGER_S)}. Press Ctrl-C to stop "
        "watching; that does not stop the run."
    )
    return [
        f"Watching {what}.",
        f"Open {server.url}",
        "From a phone or another machine, open a tunnel first, then the same address there:",
        f"  ssh -N -L {port}:{host}:{port} {_here()}",
        ends,
    ]


def _here() -> str:
    """How the user reaches this machine: as this session did, else by its name."""
    client, _, told = os.environ.get("SSH_CONNECTION", "").partition(" ")
    words = told.split()
    if client and len(words) == 3 and _ADDRESS.fullmatch(words[1]):  # noqa: PLR2004
        port = "" if words[2] == "22" else f"-p {words[2]} "
        return f"{port}{getpass.getuser()}@{words[1]}"
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _ending(follower: Follower) -> str:
    state = follower.state
    if state.phase is not RunPhase.FINISHED or state.folder is None:
        return "Stopped watching."
    told = f"The run {state.folder.name} has ended."
    if state.report is not None and state.report.is_file():
        told += f" Report: {state.report}"
    return told
