"""The helper as a program."""

from __future__ import annotations

import os
import signal
import sys

from herd_node.conversation import Conversation


def main() -> None:
    """Serve, or answer one request."""
    os.umask(0o022)
    # A broken connection is seen as the end of the input; a write to it must not kill first.
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    if sys.argv[1:] == ["serve"]:
        Conversation().serve()
    elif sys.argv[1:2] in (["facts"], ["clean"], ["space"], ["firewall"], ["gpu"]):
        sys.exit(not Conversation().answer(sys.argv[1:]))
    else:
        raise SystemExit("usage: herd-node serve | facts | clean | space | firewall | gpu")
