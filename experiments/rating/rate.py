"""What `fab rate` does: serve the page until the rater ends it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from experiments.rating.server import Rating, RatingServer
from experiments.rating.sheet import open_sheet
from experiments.rating.store import judgements_of, rater_name


def serve_page(run_folder: Path, rater: str | None, say: Callable[[str], None]) -> None:
    """Let a rater judge the answers of a run on a local page, until Ctrl-C.

    Args:
        run_folder: of a run that asked questions.
        rater: name; None for the user's own.
        say: prints a line.

    Raises:
        HerdError: nothing was answered yet, this rater is at it already, or the disk refuses.
    """
    name = rater_name(rater)
    sheet = open_sheet(run_folder, name, name)
    with judgements_of(run_folder, name) as store:
        rating = Rating(sheet, store)
        with RatingServer(rating, say) as server, suppress(KeyboardInterrupt):
            say(f"{name} has judged {rating.judged()} of {sheet.size} answers.")
            say(f"Open {server.url}")
            say("Every score is stored immediately. Press Ctrl-C to stop.")
            server.serve_forever()
        say(f"{name} has judged {rating.judged()} of {sheet.size} answers.")
