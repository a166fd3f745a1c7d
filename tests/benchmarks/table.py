"""A table in Markdown on standard output, whose rows are seen as they are found."""

from __future__ import annotations

import sys


def print_head(*titles: str) -> None:
    """Print the titles of the columns, and the line below them."""
    print_row(*titles)
    print_row(*["---"] * len(titles))


def print_row(*cells: object) -> None:
    """Print a row."""
    sys.stdout.write(f"| {' | '.join(map(str, cells))} |\n")
    sys.stdout.flush()
