"""The live page: what is known of a run now, as the sections of a page like a report's."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence

from analysis.blocks import (
    Block,
    Bullets,
    Code,
    Figure,
    Figures,
    Folded,
    Prose,
    Section,
    Tally,
    note,
)
from analysis.live.left import DRAWS, Left
from analysis.live.state import LiveState, RunPhase
from analysis.live.tables import (
    attempt_outcome,
    attempts,
    cells,
    clock,
    failures,
    lasting,
    short_labels,
)
from analysis.text.sentence import Sentence, say
from analysis.text.wording import NOTHING, number, plural
from collect.account import Account
from collect.live import Live, LiveTrial
from core.foreign import one_line

TOP = "now"
LONGEST_COMMAND = 2000
UNREADABLE = "Measuring; the run's folder cannot be read"
MEASURING = frozenset({"run-matrix", "compare", "check-agreement", "tune"})
"""Verbs that continue a run."""
TITLES = {
    RunPhase.READING: "Reading what was measured so far",
    RunPhase.WAITING: "Waiting for a run to begin",
    RunPhase.MEASURING: "Measuring: {settled} of {due} trials have ended",
    RunPhase.ENDING: "Measuring has ended; the runner is writing the report",
    RunPhase.STOPPED: "Stopped: {pending} of {due} trials are left",
    RunPhase.FINISHED: "Finished: all {due} trials have ended",
    RunPhase.DAMAGED: "The run's folder cannot be read",
}
AT_WORK = "Trial {order}, attempt {attempt}: {cell}."
WARM_UP = "Warm-up, which does not count: {cell}."
BETWEEN = "No trial is at work at this moment."
ELSEWHERE = "Its runner is on {host}: whether it still lives cannot be seen from here."
GONE = "The runner has ended without a word, as after a kill."
LEFT_OVER = "The runner has ended."
SAFE = "What was measured is safe."
CONTINUE = "This command continues the run, and this page continues with it:"
REPORT = "The report is in this file on the machine that measures:"
NO_REPORT = "There is no report yet. This command writes one:"
WAIT = "fab run-matrix begins one. This page shows it as soon as its nodes are ready."
HOW_LEFT = (
    "The time that is left is drawn {draws} times from the trials so far ({trials}): a pending "
    "trial takes what trials of its cell took, or, of a cell without any, what those of other "
    "cells took. The interval holds 90 % of the draws. Warm-ups and repeated attempts are included."
)
ABOUT = "about {left}"
LATE = "over {left}"
WHY_LATE = "the trial at work takes longer than those before it"
UNSEEN = "Cells without a trial so far: {cells}."
GROWS = "More blocks may be added (--until), which is not included."
INTERIM = (
    "These figures are interim: they do not decide when to stop a run. Comparisons and the verdict "
    "are in the report."
)
DRAWN = "Charts were drawn at {at}, when {trials} had ended."
DRAWN_AGAIN = "They are drawn again after a trial has ended, not before {next}."
NOT_DRAWN = "Charts appear when the first trial has ended."
DRAWING = "The charts are being drawn."


def live_title(state: LiveState) -> Sentence:
    """What the window is called."""
    if state.phase is RunPhase.MEASURING and state.account is None:
        return say(UNREADABLE)
    counts = Counter(state.account.counts() if state.account else {})
    settled = counts["done"] + counts["failed"]
    due = counts["planned"] - counts["unavailable"]
    return say(TITLES[state.phase], settled=settled, due=due, pending=counts["pending"])


def top(state: LiveState, now: float) -> Section:
    """Make the head of the page, which changes with every look.

    Args:
        state: what is known.
        now: Unix time in seconds.
    """
    blocks = [*_doing(state), *_figures(state, now), *_ledger(state.account), *_problem(state)]
    return Section(TOP, live_title(state), tuple(blocks))


def rest(state: LiveState) -> tuple[Section, ...]:
    """Make the other sections, which change when a trial has ended or charts were drawn."""
    account = state.account
    if account is None:
        return ()
    found = []
    if broken := tuple(failures(account)):
        found += [Section("failures", say("What did not work"), broken, say("What did not work"))]
    found += [Section("charts", say("So far"), tuple(_about_charts(state)), say("Charts"))]
    found += state.drawn.sections if state.drawn else ()
    found += [Section("cells", say("Cells"), (cells(account),), say("Cells"))]
    if state.live and state.live.notes:
        found += [Section("notes", say("What the runner said"), (_notes(state.live),))]
    return tuple(found)


def _doing(state: LiveState) -> Iterator[Block]:
    """Say what happens now, or what to do."""
    if state.phase is RunPhase.WAITING:
        yield Prose((say(WAIT),))
    elif state.phase is RunPhase.MEASURING:
        yield from _at_work(state)
    elif state.phase in (RunPhase.STOPPED, RunPhase.DAMAGED):
        yield from _stopped(state)
    if state.phase in (RunPhase.FINISHED, RunPhase.STOPPED):
        yield from _report(state)


def _at_work(state: LiveState) -> Iterator[Prose]:
    live = state.live
    if live is None:
        return
    trial = live.trial
    if trial is None:
        yield Prose((say(BETWEEN),))
    elif trial.attempt:
        cell = _cell_of(state, trial)
        yield Prose((say(AT_WORK, order=trial.order, attempt=trial.attempt, cell=cell),))
    else:
        yield Prose((say(WARM_UP, cell=_cell_of(state, trial)),))
    if live.runner.lives() is None:
        yield note(say(ELSEWHERE, host=live.runner.host))


def _cell_of(state: LiveState, trial: LiveTrial) -> str:
    """The cell of the trial at work, by what distinguishes it from the others."""
    account = state.account
    if account is None or trial.order > len(account.trials):
        return trial.cell
    return short_labels(account.manifest)[account.trials[trial.order - 1].cell.cell_id]


def _stopped(state: LiveState) -> Iterator[Block]:
    was_killed = state.live is not None and state.live.ended is None
    is_read = state.phase is RunPhase.STOPPED  # of a folder that cannot be read, nobody knows
    yield Prose((say(GONE if was_killed else LEFT_OVER), *((say(SAFE),) if is_read else ())))
    command = command_of(state.account.manifest.command) if state.account else None
    if command is not None:
        yield Prose((say(CONTINUE),))
        yield Code(command)


def command_of(command: Sequence[str]) -> str | None:
    """The command that continues a run: the one that began it, without `--new`.

    A record may have been written by anyone, so anything but a verb of `fab` that measures is None.
    """
    program, verb = (*command, "", "")[:2]
    if program != "fab" or verb not in MEASURING:
        return None
    return one_line(shlex.join(word for word in command if word != "--new"), LONGEST_COMMAND)


def _report(state: LiveState) -> Iterator[Block]:
    if state.report is None or state.folder is None:
        return
    if state.report.is_file():
        yield Prose((say(REPORT),))
        yield Code(str(state.report))
    elif state.phase is RunPhase.FINISHED:
        yield Prose((say(NO_REPORT),))
        yield Code(shlex.join(["fab", "report", "--run", state.folder.name]))


def _figures(state: LiveState, now: float) -> Iterator[Block]:
    """Figures of the trial at work, and the time left."""
    if state.phase is not RunPhase.MEASURING or state.live is None:
        return
    figures, trial = [], state.live.trial
    elapsed_s = max(0.0, now - trial.since) if trial else 0.0
    if trial is not None:
        rate = trial.tokens_per_s
        since = say("since {clock}", clock=clock(trial.since))
        figures += [
            Figure(say("At work for"), lasting(elapsed_s), "", since),
            Figure(
                say("Decoding now"),
                NOTHING if rate is None else number(rate),
                "" if rate is None else "tokens/s",
                say("over the last lines of the log")
                if rate is not None
                else say("the log has no line about it so far"),
            ),
        ]
    left = _left(state, elapsed_s)
    if left is None:
        figures.append(Figure(say("Time left"), NOTHING, "", say("known after the first trial")))
    else:
        ends = say("90 %: {low} to {high}", low=lasting(left.low), high=lasting(left.high))
        about = say(LATE if left.is_late else ABOUT, left=lasting(left.likely))
        figures += [
            Figure(say("Time left"), about, "", say(WHY_LATE) if left.is_late else ends),
            Figure(
                say("Ends at about"), clock(now + left.likely), "",
                say("{low} to {high}", low=clock(now + left.low), high=clock(now + left.high)),
            ),
        ]  # fmt: skip
    yield Figures(tuple(figures))
    yield from _how_left(state)


def _left(state: LiveState, elapsed_s: float) -> Left | None:
    """The time that is left now."""
    trial = state.live.trial if state.live else None
    if state.left is None or trial is None or state.account is None:
        return state.left
    trials = state.account.trials
    cell_id = trials[trial.order - 1].cell.cell_id if trial.order <= len(trials) else ""
    return state.left.after(elapsed_s, cell_id)


def _how_left(state: LiveState) -> Iterator[Block]:
    left, account = state.left, state.account
    if left is None or account is None:
        return
    told = [say(HOW_LEFT, draws=DRAWS, trials=left.trials)]
    told += [say(UNSEEN, cells=left.unseen)] if left.unseen else []
    is_open = any(word.partition("=")[0] == "--until" for word in account.manifest.command)
    told += [say(GROWS)] if is_open else []
    yield Folded(say("How the time left is computed"), (Prose(tuple(told)),))


def _ledger(account: Account | None) -> Iterator[Block]:
    if account is None:
        return
    counts = {state: count for state, count in account.counts().items() if state != "planned"}
    invalid = sum(attempt_outcome(one) == "invalid" for _, one in attempts(account))
    rest = say("invalid attempts so far: {invalid}", invalid=invalid) if invalid else ""
    yield Tally("ledger", say("Ledger"), say("planned"), counts, rest)


def _problem(state: LiveState) -> Iterator[Block]:
    warnings = state.account.warnings if state.account else ()
    told = [*([state.problem] if state.problem else []), *warnings]
    if told:
        yield Bullets(tuple(told), is_warning=True)


def _about_charts(state: LiveState) -> Iterator[Block]:
    drawn = state.drawn
    if drawn is None:
        yield Prose((say(DRAWING if state.lacks_charts else NOT_DRAWN),))
        return
    told = [say(DRAWN, at=clock(drawn.at), trials=plural(drawn.trials, "trial"))]
    if state.phase is RunPhase.MEASURING:
        told += [say(DRAWN_AGAIN, next=clock(drawn.next_at)), say(INTERIM)]
    yield Prose(tuple(told))


def _notes(live: Live) -> Bullets:
    told = [say("{at} {text}", at=clock(one.at), text=one.text) for one in reversed(live.notes)]
    return Bullets(tuple(told))
