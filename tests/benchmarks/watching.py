"""What `fab watch` with an open page takes of the controller, and of trials that compute there."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collect.account import Account, Scrutiny
from experiments.disk.ledger import runs
from tests.benchmarks.bars import PROJECT, Measured, Row
from tests.doubles.run_folder import make_run
from tests.doubles.watched_run import running
from tests.unit.test_watching import make_live

WATCHED_S = 60
POLL_S = 2.0
"""As often as the page asks."""
ROUNDS = 7
REPEATS = 3
HASHES = 1_000_000
"""Some tenths of a second of one core."""
SERVE = """
import sys; from pathlib import Path
from analysis.live.watch import watch
folder = Path(sys.argv[1])
watch(folder / "results", folder / "reports", lambda line: print(line, flush=True))
"""


@contextmanager
def watched(folder: Path) -> Iterator[int]:
    """`fab watch` of a folder with a page that asks as a browser does; its process id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, folder], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    process.stdout.readline()
    url = process.stdout.readline().strip().removeprefix("Open ")
    stop = threading.Event()
    page = threading.Thread(target=_look, args=(url, stop))
    page.start()
    try:
        yield process.pid
    finally:
        stop.set()
        page.join()
        process.kill()
        process.communicate()


def _look(url: str, stop: threading.Event) -> None:
    version = ""
    while not stop.wait(POLL_S):
        with urllib.request.urlopen(f"{url}now?client=a&version={version}") as reply:  # noqa: S310
            told = reply.read().decode()
        version = told.partition('data-version="')[2].partition('"')[0]


def _share(folder: Path) -> Measured:
    """Of one core, while a trial works; charts were drawn before."""
    run = make_run(folder / "results", repeats=10, pending=[("llama.cpp", 1, 1)])
    make_live(folder / "results", run.name)
    with watched(folder) as pid:
        time.sleep(15)
        before = _cpu_s(pid)
        time.sleep(WATCHED_S)
        return Measured.plain((_cpu_s(pid) - before) / WATCHED_S, "of a core")


def _share_of_run(folder: Path) -> Measured:
    """The same over a run whose trials end every two seconds, its first charts included."""
    with watched(folder) as pid:
        time.sleep(15)
        before = _cpu_s(pid)
        begun = time.monotonic()
        with running(folder, 2.0, 30) as runner:
            runner.wait()
        took_s = time.monotonic() - begun
        return Measured.plain((_cpu_s(pid) - before) / took_s, "of a core")


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _trials(folder: Path) -> Measured:
    """Trials that compute on this machine, with a page open and without, in turn."""
    ratios, with_page, without = [], [], []
    for number in range(ROUNDS):
        alone = _trial_s(folder / f"{number}-alone")
        beside = folder / f"{number}-watched"
        beside.mkdir()
        with watched(beside):
            time.sleep(5)
            seen = _trial_s(beside)
        ratios.append(seen / alone)
        with_page.append(seen)
        without.append(alone)
    return Measured(
        statistics.median(with_page), statistics.median(without), statistics.median(ratios), "s"
    )


def _trial_s(folder: Path) -> float:
    """Median time of the trials of a run."""
    with running(folder, 0.0, REPEATS, HASHES) as runner:
        runner.wait()
    account = Account.read(runs(folder / "results")[-1], Scrutiny.RECORDS)
    return statistics.median(
        trial.chosen.record.trial_wall_s
        for trial in account.trials
        if trial.chosen is not None and trial.chosen.record is not None
    )


ROWS = (
    Row("watch-page", "CPU of fab watch, a page open, a trial at work", "", 0.01, _share),
    Row("watch-run", "the same, a trial ends every two seconds", "", 0.02, _share_of_run),
    Row("watch-trial", "a trial that computes here, a page open", "no page open", 1.02, _trials),
)
