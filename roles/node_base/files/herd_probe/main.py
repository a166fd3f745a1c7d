"""The program: its arguments."""

from __future__ import annotations

import re
import signal
import sys

from herd_probe import arithmetic, links, memory
from herd_probe.ground import report

USAGE = "usage: herd-probe node MIB THREADS | listen ADDRESS PORT | links PORT ADDRESS …\n"
NUMBER = "[0-9]{1,7}"
ADDRESS = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
GIVEN = {
    "node": re.compile(f"node {NUMBER} [1-9][0-9]{{0,4}}"),
    "listen": re.compile(f"listen {ADDRESS} {NUMBER}"),
    "links": re.compile(f"links {NUMBER}(?: {ADDRESS})+"),
}


def main() -> int:
    """Measure what is asked for."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    given = sys.argv[1:]
    form = GIVEN.get(given[0] if given else "")
    if form is None or not form.fullmatch(" ".join(given)):
        sys.stderr.write(USAGE)
        return 2
    verb, *words = given
    if verb == "listen":
        links.listen(words[0], int(words[1]))
    elif verb == "links":
        for address in words[1:]:
            links.measure(address, int(words[0]))
    else:
        memory.measure(int(words[0]), int(words[1]))
        arithmetic.measure(int(words[1]))
    report("end")
    return 0
