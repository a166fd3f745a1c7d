"""What any C or C++ program writes when it aborts: a failed assertion, an uncaught exception."""

from __future__ import annotations

import re

# Every run in a pattern is bounded: a log may hold a word of a megabyte.
_ASSERTION = re.compile(r"Assertion `(.{1,200}?)' failed")
_PLACE = re.compile(r"(?:^|\s)([^\s:]{1,200}:\d{1,9}): ", re.MULTILINE)
_EXCEPTION = re.compile(r"terminate called after throwing an instance of '([^'\n]{1,200})'")
_WHAT = re.compile(r"^ {1,8}what\(\): {1,8}(.{1,300})", re.MULTILINE)


def last_words(err: str) -> str | None:
    """The assertion or the exception that ended a program, a clause; None if neither did."""
    found = assertion(err) or exception(err)
    return found[0] if found else None


def assertion(err: str) -> tuple[str, str] | None:
    """The assertion that failed: a clause that says where in the source, and its own words."""
    failed = _ASSERTION.search(err)
    if failed is None:
        return None
    line_begin = err.rfind("\n", 0, failed.start()) + 1
    place = _PLACE.search(err, line_begin, failed.start())
    where = f" ({place[1]})" if place else ""
    return f"it stopped at the assertion `{failed[1]}`{where}", failed[1]


def exception(err: str) -> tuple[str, str] | None:
    """The uncaught exception: a clause, and its own words."""
    thrown = _EXCEPTION.search(err)
    if thrown is None:
        return None
    what = _WHAT.search(err, thrown.end())
    told = f": {what[1].strip()}" if what and what[1].strip() != "std::exception" else ""
    return f"it ended by the exception {thrown[1]}{told}", thrown[1] + told
