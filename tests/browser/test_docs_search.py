"""The site of docs/ in a real browser: its search finds a page, and nothing else is asked."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser.chromium import browsing
from tests.doubles.serving import serving

pytestmark = pytest.mark.browser

PROJECT = Path(__file__).resolve().parents[2]


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files and prints nothing."""

    def log_message(self, *args: object) -> None:
        """Print nothing."""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    site = tmp_path / "site"
    argv = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    subprocess.run(argv, cwd=PROJECT, check=True, capture_output=True)
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


def test_a_word_of_a_page_is_found(address: str, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile") as page:
        page.open(f"{address}/search.html?q=RAPL")
        page.wait(
            "document.querySelector('#mkdocs-search-results a[href*=\"energy.html\"]') !== null"
        )
        loaded = page.value("performance.getEntriesByType('resource').map((e) => e.name).join(' ')")
        assert [name for name in loaded.split() if not name.startswith(address)] == []
        assert [said for said in page.said if '"level": "info"' not in said] == []
