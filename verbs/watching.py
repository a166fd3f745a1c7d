"""The verb that shows a run while it is measured."""

from __future__ import annotations

from invoke.context import Context

from core.errors import HerdError
from verbs.run_names import RUN_HELP
from verbs.verb import PROJECT, say, verb

HIGHEST_PORT = 65_535


@verb(
    help={
        "run": RUN_HELP.format(otherwise="the one that is measured, or else the next"),
        "port": "port of this machine (default: any that is free)",
        "ipv6": "listen on ::1 instead of 127.0.0.1",
        "lang": "en or ko (default: what LLAMA_HERD_LANG says, else en)",
    }
)
def watch(
    _context: Context,
    run: str | None = None,
    port: str | None = None,
    ipv6: bool = False,
    lang: str | None = None,
) -> None:
    """Show a run while it is measured, on a local page that also fits a phone."""
    from analysis.live.watch import watch as watch_run
    from core.language.choice import languages_of
    from core.paths import RESULTS_FOLDER

    # A page that changes all the time is in one language; of both, it is the one shown first.
    language = languages_of(lang)[0]

    watch_run(
        PROJECT / RESULTS_FOLDER,
        PROJECT / "analysis" / "reports",
        say,
        run=run,
        port=_port(port),
        use_ipv6=ipv6,
        language=language,
    )


def _port(text: str | None) -> int:
    if text is None:
        return 0
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:6]) <= HIGHEST_PORT:
        raise HerdError(f"--port {text}: give a number from 1 to {HIGHEST_PORT}, such as 8765.")
    return int(text)
