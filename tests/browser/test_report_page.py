"""The report in a real browser: it shows something, complains of nothing, asks nobody."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import matplotlib.image as mpl_image
import numpy as np
import numpy.typing as npt
import pytest

from analysis.report import write_report
from tests.browser.chromium import browsing
from tests.doubles.run_folder import make_run

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or "chromium"
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
HEIGHT = 2400
DARK = "--blink-settings=preferredColorScheme=0"

LOADED = """<script>addEventListener("load", () => {
  const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
  document.title = "loaded: " + loaded.filter((name) => !name.startsWith("data:")).join(" ");
});</script>"""
WIDTHS = """<script>
  document.title = document.documentElement.scrollWidth + " of " + innerWidth;
</script>"""
HEARD = """<script>
  const all = (query) => [...document.querySelectorAll(query)];
  const said = all("svg[role=img]").map((svg) =>
    document.getElementById(svg.getAttribute("aria-describedby")).textContent);
  document.title = [
    said.every((text) => /[0-9]/.test(text)),
    all("table").every((table) =>
      table.caption.textContent && table.querySelector("th[scope=row]")),
    all(".scroll, .drawing").every((box) =>
      box.tabIndex === 0 && box.getAttribute("role") === "region" && box.ariaLabel),
    said.length,
  ].join(" ");
</script>"""
CLICKS = """<script>
  document.getElementById("theme").click();
  const table = document.querySelector("table.sortable");
  const heading = table.tHead.rows[0].cells[1].querySelector("button");
  heading.click(); heading.click();
  const nodes = [...table.tBodies[0].rows].map((row) => row.cells[1].textContent);
  document.title = document.documentElement.dataset.theme + " " + nodes.join(",");
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which(CHROMIUM):
        pytest.skip("Chromium is not installed")
    folder = tmp_path_factory.mktemp("page")
    return write_report(make_run(folder / "results"), folder / "reports").index


def browse(page: Path, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Open the page in a Chromium of its own, which can reach nothing."""
    return subprocess.run(
        [
            CHROMIUM, *QUIET, f"--user-data-dir={folder / 'profile'}",
            f"--log-net-log={folder / 'net.json'}", "--enable-logging=stderr", *flags,
            page.as_uri(),
        ],
        check=True, capture_output=True, text=True, timeout=120,
    )  # fmt: skip


def screenshot(page: Path, folder: Path, width: int, *flags: str) -> npt.NDArray[np.float64]:
    """The top of the page as pixels, red, green and blue from 0 to 1."""
    picture = folder / "page.png"
    browse(page, folder, f"--window-size={width},{HEIGHT}", f"--screenshot={picture}", *flags)
    return np.asarray(mpl_image.imread(picture), dtype=np.float64)[:, :, :3]


def test_the_page_is_not_blank_and_shows_charts(page: Path, tmp_path: Path) -> None:
    pixels = screenshot(page, tmp_path, 1200)
    assert pixels.shape[:2] == (HEIGHT, 1200)
    assert pixels.mean() > 0.8
    assert pixels.std() > 0.05
    assert _amount_of(pixels, (0x00, 0x72, 0xB2)) > 200
    assert _amount_of(pixels, (0xD5, 0x5E, 0x00)) > 200


def test_a_dark_screen_gets_a_dark_page_with_readable_charts(page: Path, tmp_path: Path) -> None:
    pixels = screenshot(page, tmp_path, 1200, DARK)
    assert pixels.mean() < 0.25
    assert _amount_of(pixels, (0x4A, 0xA8, 0xE0)) > 200


def test_a_phone_shows_the_page_without_scrolling_sideways(page: Path, tmp_path: Path) -> None:
    dom = browse(_with(page, WIDTHS), tmp_path, "--window-size=500,900", "--dump-dom").stdout
    found = re.search(r"<title>(\d+) of (\d+)</title>", dom)
    assert found
    assert int(found[1]) <= int(found[2])


def test_the_console_stays_silent_and_nothing_is_loaded(page: Path, tmp_path: Path) -> None:
    said = browse(_with(page, LOADED), tmp_path, "--dump-dom")
    assert "CONSOLE" not in said.stderr
    assert "<title>loaded: </title>" in said.stdout


def test_a_page_that_asked_the_network_would_be_noticed(page: Path, tmp_path: Path) -> None:
    picture = '<img src="https://picture.invalid/x.png">'
    said = browse(_with(page, picture), tmp_path, "--dump-dom").stderr
    assert "CONSOLE" in said
    assert "picture.invalid" in said


def test_the_button_changes_light_to_dark_and_tables_sort(page: Path, tmp_path: Path) -> None:
    dom = browse(_with(page, CLICKS), tmp_path, "--dump-dom").stdout
    assert "<title>dark 8,8,4,4,2,2,1,1</title>" in dom


def test_who_cannot_see_it_hears_numbers_captions_and_row_headings(
    page: Path, tmp_path: Path
) -> None:
    dom = browse(_with(page, HEARD), tmp_path, "--dump-dom").stdout
    assert "<title>true true true 8</title>" in dom


def test_a_table_is_sorted_by_keyboard(page: Path, tmp_path: Path) -> None:
    with browsing(tmp_path / "profile") as opened:
        opened.open(page.as_uri())
        table = "document.querySelector('table.sortable')"
        heading = f"{table}.tHead.rows[0].cells[1]"
        assert opened.value(f"{heading}.ariaSort") == "none"
        for key, order in (("Enter", "ascending"), ("Space", "descending")):
            opened.value(f"{heading}.querySelector('button').focus()")
            opened.press(key)
            opened.wait(f"{heading}.ariaSort === '{order}'")
        assert opened.value(f"{table}.tBodies[0].rows[0].cells[1].textContent") == "8"
        assert opened.said == []


def _amount_of(pixels: npt.NDArray[np.float64], color: tuple[int, int, int]) -> int:
    distance = np.abs(pixels - np.asarray(color) / 255).max(axis=2)
    return int((distance < 0.02).sum())


def _with(page: Path, addition: str) -> Path:
    """A copy of the page with something at its end."""
    copy = page.with_name("copy.html")
    html = page.read_text(encoding="utf-8")
    copy.write_text(html.replace("</body>", f"{addition}</body>"), encoding="utf-8")
    return copy
