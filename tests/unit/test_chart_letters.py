"""Names on charts: Korean ones in every language, a box for letters that no font of charts has."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from matplotlib.figure import Figure

from analysis.charts import style
from analysis.charts.chart import Chart
from analysis.charts.letters import BOX, in_letters
from analysis.charts.pictures import write
from analysis.pages import write_pages
from analysis.paper.figures import printed
from analysis.sections import sections_of
from analysis.study import study_of
from analysis.text.sentence import verbatim
from analysis.within import charts_in
from core.language.choice import speaking
from tests.doubles.run_frames import Outcomes, make_frames

KOREAN, RARE, HAN = "한국어 모델", "뷁", "漢字"
MODELS = (KOREAN, unicodedata.normalize("NFD", "조합형"), RARE, HAN)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("10 µs … é", "10 µs … é"),
        (KOREAN, KOREAN),
        (unicodedata.normalize("NFD", KOREAN), KOREAN),
        ("ㄱㅏ\n둘째", "ㄱㅏ\n둘째"),
        (f"{RARE} 2", f"{BOX} 2"),
        (f"모델 {HAN}", f"모델 {BOX}{BOX}"),
        ("нода", "нода"),
    ],
)
def test_a_letter_is_shown_or_a_box(name: str, shown: str) -> None:
    assert in_letters(name) == shown


def pictures(name: str, code: str, folder: Path) -> tuple[bytes, str]:
    """The PNG and the SVG of a chart with a name as its title, in its legend and at its axes."""
    with mpl.rc_context(dict(style.RC)):
        figure = Figure(figsize=(3, 2), layout="constrained")
        axes = figure.add_subplot(title=name, xlabel=name)
        axes.plot([0, 1], [1, 2], label=name)
        axes.set_xticks([0, 1], [name, "pi1"])
        axes.legend()
    with speaking(code):
        write(Chart("c", "", "", pd.DataFrame({"a": [1]}), lambda: figure), folder)
    assert axes.get_title(loc="left") == name
    png = folder / ("c.png" if code == "en" else "c.ko.png")
    return png.read_bytes(), png.with_suffix(".svg").read_text(encoding="utf-8")


@pytest.mark.parametrize("code", ["en", "ko"])
def test_other_korean_names_give_other_pictures(code: str, tmp_path: Path) -> None:
    one, other = (pictures(name, code, tmp_path) for name in ("가나다", "라마바"))
    assert one[0] != other[0]
    assert (">가나다</text>" in one[1]) == (code == "en")


@pytest.mark.parametrize("code", ["en", "ko"])
def test_letters_of_no_font_are_boxes_in_pictures(code: str, tmp_path: Path) -> None:
    """A browser, which has other fonts, gets the letters themselves where texts stay texts."""
    one, other = (pictures(name, code, tmp_path) for name in (HAN, BOX * 2))
    assert one[0] == other[0]
    assert (f">{HAN}</text>" in one[1]) == (code == "en")


def test_a_report_on_models_with_names_of_any_letters_is_drawn(tmp_path: Path) -> None:
    outcomes: Outcomes = {
        ("llama.cpp", model, nodes): [nodes * (10.0 + place) + step / 10 for step in range(6)]
        for place, model in enumerate(MODELS)
        for nodes in (1, 2, 4)
    }
    study = study_of(*make_frames(outcomes, axes=("engine", "model", "nodes")))
    title, sections = verbatim(HAN), list(sections_of(study))
    write_pages(tmp_path, title, "a-run", sections, str, languages=("en", "ko"))
    charts = list(charts_in(sections))
    assert charts
    assert all(printed(chart).pdf for chart in charts)
