"""A probe as `fab probe --json` prints it."""

from __future__ import annotations

from typing import Literal

from collect.probe import ProbeRecord


class ProbeAnswer(ProbeRecord):
    """What nodes and links can do: the stored record, and the version of what is printed.

    Attributes:
        version: of this shape; `schema_version` is that of the stored record.
    """

    version: Literal[1] = 1


def probe_answer(record: ProbeRecord) -> ProbeAnswer:
    """Answer for a probe."""
    return ProbeAnswer(**dict(record))
