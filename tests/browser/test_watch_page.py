"""`fab watch` in a real browser: a run that is killed and continued, on the screen of a phone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collect.live import LiveNote
from tests.browser.chromium import CHROMIUM, Page, browsing
from tests.browser.started import Started, starting
from tests.doubles.run_folder import make_run
from tests.doubles.watched_run import running
from tests.unit.test_watching import DEAD, HOSTILE, failed, make_live

pytestmark = pytest.mark.browser

SERVE = """
import sys; from pathlib import Path
from analysis.live.watch import watch
folder = Path(sys.argv[1])
watch(folder / "results", folder / "reports", lambda line: print(line, flush=True))
"""
TITLE = "document.title"
TEXT = "document.body.innerText"


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    if not shutil.which(CHROMIUM):
        pytest.skip("Chromium is not installed")
    with browsing(tmp_path / "profile") as page:
        page.resize(390, 844, is_phone=True)
        yield page


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Callable[[], Started]]:
    with starting(SERVE, tmp_path) as start:
        yield start


def test_a_run_that_is_killed_and_continued_is_watched_to_its_end_on_a_phone(
    tmp_path: Path, page: Page, watch: Callable[[], Started]
) -> None:
    watched = watch()
    page.open(watched.url)
    page.wait(f"{TITLE}.startsWith('Waiting for a run')")
    with running(tmp_path, 0.8, 3) as runner:
        page.wait(f"{TITLE}.startsWith('Measuring: ')")
        page.wait("document.querySelectorAll('.chart svg').length >= 2")
        assert page.value("document.documentElement.scrollWidth") <= 390
        runner.kill()
        runner.wait()
    page.wait(f"{TITLE}.startsWith('Stopped: ')")
    assert "fab run-matrix --matrix 'my study.yml'" in page.value(TEXT)

    page.value("document.querySelector('summary').click()")
    page.value("window.isTheSame = true")
    with running(tmp_path, 3.0, 3) as runner:  # long enough to be seen on a busy machine
        page.wait(f"{TITLE}.startsWith('Measuring: ')")
        runner.wait(60)
    page.wait(f"{TITLE}.startsWith('Finished: ')")
    assert page.value("window.isTheSame"), "the page was never loaded again"
    assert "done 6 + failed 0 + unavailable 3 + pending 0" in page.value(TEXT)
    assert page.value("document.documentElement.scrollWidth") <= 390
    assert page.said == []
    assert watched.process.wait(30) == 0, "it ends when the page has seen the end"
    assert "has ended" in watched.said.read()


def test_what_others_wrote_does_nothing_and_ctrl_c_ends_it(
    tmp_path: Path, page: Page, watch: Callable[[], Started]
) -> None:
    results = tmp_path / "results"
    run = make_run(results, pending=[("llama.cpp", 1, 1)])
    attempt = next(one for one in sorted((run / "attempts").iterdir()) if failed(one))
    record = json.loads((attempt / "attempt.json").read_text())
    (attempt / "attempt.json").write_text(json.dumps({**record, "cause": HOSTILE}))
    make_live(results, run.name, notes=(LiveNote(at=1.0, text=HOSTILE),))
    watched = watch()
    page.open(watched.url)
    page.wait("document.querySelectorAll('.chart svg').length >= 2")
    assert page.value("document.querySelectorAll('img').length") == 0
    assert page.value("document.getElementById('notes').innerText").count("<img src=x") == 1
    assert page.said == [], "no script was even tried"
    assert "12.5" in page.value("document.getElementById('now').innerText")

    watched.process.send_signal(signal.SIGINT)
    assert watched.process.wait(20) == 0
    assert watched.said.read().strip().endswith("Stopped watching.")
    page.wait("!document.getElementById('lost').hidden")
    assert "fab watch has ended" in page.value("document.getElementById('lost').textContent")


def test_what_a_reader_opened_and_chose_stays_while_figures_change(
    tmp_path: Path, page: Page, watch: Callable[[], Started]
) -> None:
    results = tmp_path / "results"
    run = make_run(results, pending=[("llama.cpp", 1, 1)])
    make_live(results, run.name)
    page.open(watch().url)
    page.wait("document.querySelectorAll('.chart svg').length >= 2")
    page.press("Tab", "Enter")  # the theme, by the keyboard
    theme = page.value("document.documentElement.dataset.theme")
    assert theme in ("dark", "light")
    page.press("Tab", "Enter")
    assert page.value("document.activeElement.nodeName") == "SUMMARY"
    assert page.value("document.activeElement.parentElement.open")
    page.value("document.querySelector('#cells thead button').click()")
    page.value("scrollTo(0, 900)")
    elapsed = page.value("document.querySelector('.figures strong').textContent")
    gone = min((run / "attempts").iterdir())
    gone.rename(tmp_path / "gone")
    page.wait(f"document.querySelector('.figures strong').textContent !== {json.dumps(elapsed)}")
    page.wait("document.body.innerText.includes('done 18')")
    assert page.value("document.documentElement.dataset.theme") == theme
    assert page.value("document.activeElement.nodeName") == "SUMMARY"
    assert page.value("document.activeElement.parentElement.open")
    assert page.value("scrollY") > 500
    before = page.value("document.querySelector('#cells tbody th').textContent")
    page.value("document.querySelector('#cells thead button').click()")
    page.value("document.querySelector('#cells thead button').click()")
    assert page.value("document.querySelector('#cells tbody th').textContent") != before
    assert page.said == []


def test_an_open_page_costs_little(
    tmp_path: Path, page: Page, watch: Callable[[], Started]
) -> None:
    results = tmp_path / "results"
    run = make_run(results, pending=[("llama.cpp", 1, 1)])
    make_live(results, run.name)
    watched = watch()
    page.open(watched.url)
    page.wait("document.querySelectorAll('.chart svg').length >= 2")
    time.sleep(3)
    before = cpu_s(watched.process.pid)
    time.sleep(20)
    assert (cpu_s(watched.process.pid) - before) / 20 < 0.02
    make_live(results, run.name, runner=DEAD)
    page.wait(f"{TITLE}.startsWith('Stopped: ')")


def cpu_s(pid: int) -> float:
    """Processor time of a process so far, its threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
