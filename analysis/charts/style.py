"""Define how charts look: a palette that colour-blind readers can distinguish, on paper and screen.

Colours are those of Okabe & Ito ("Color Universal Design", 2008). The page replaces them by
CSS variables, so that the same SVG is light or dark with the reader's screen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from matplotlib import font_manager

INK = "#1f2933"
MUTED = "#5f6c7b"
GRID = "#dde2e8"
PAPER = "#fefefe"
SHADE = "#f3f1ec"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5195")
COMPUTE, SYNC = PALETTE[0], PALETTE[5]
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
Dash = Literal["-"] | tuple[float, Sequence[float]]
DASHES: tuple[Dash, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)))

FONTS = Path(__file__).with_name("fonts")
"""Fonts of the project, with the licence of each. `docs/languages.md` says how they are made."""
HANGUL = "Herd Hangul"
"""Family of the fonts there."""
FAMILIES = ("DejaVu Sans", HANGUL)
"""Each is asked for the letters that those before it lack: names may be Korean in any language."""
for _path in sorted(FONTS.glob("*.ttf")):
    font_manager.fontManager.addfont(_path)

CSS_VARIABLES = MappingProxyType(
    {
        INK: "--ink",
        MUTED: "--muted",
        GRID: "--grid",
        PAPER: "--card",
        SHADE: "--shade",
        **{color: f"--series-{index}" for index, color in enumerate(PALETTE, start=1)},
    }
)

RC: MappingProxyType[Any, Any] = MappingProxyType(
    {
        "font.family": list(FAMILIES),
        "font.size": 9.0,
        "text.parse_math": False,  # a name may hold dollar signs
        "text.color": INK,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.labelsize": 8.5,
        "axes.facecolor": "none",
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.titlesize": 9.5,
        "axes.titlelocation": "left",
        "axes.titleweight": "bold",
        "grid.color": GRID,
        "grid.linewidth": 0.8,
        "xtick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.color": MUTED,
        "ytick.labelcolor": MUTED,
        "ytick.labelsize": 8.5,
        "xtick.major.size": 3.5,
        "ytick.major.size": 0,
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "svg.fonttype": "none",
        "svg.hashsalt": "llama-herd",
        "lines.solid_capstyle": "round",
    }
)

WIDTH_IN = 5.4
PANEL_IN = 3.0
PNG_DPI = 160
TITLE_CHARACTERS = 56
"""That fit into the width of a chart."""


def cut_to_fit(text: str, most: int = TITLE_CHARACTERS) -> str:
    """Return a text as it is, or without its middle if it is too long.

    What distinguishes titles, such as the engine, is often at their end.
    """
    if len(text) <= most:
        return text
    tail = (most - 1) * 2 // 3
    return f"{text[: most - 1 - tail]}…{text[-tail:]}"


@dataclass(frozen=True, slots=True)
class Look:
    """Colour, marker and line of a series, the same in every chart of a report."""

    color: str
    marker: str
    dash: Dash


def looks(labels: Iterable[str]) -> dict[str, Look]:
    """A look for every distinct label, in order."""
    return {
        label: Look(
            color=PALETTE[index % len(PALETTE)],
            marker=MARKERS[index % len(MARKERS)],
            dash=DASHES[index // len(PALETTE) % len(DASHES)],
        )
        for index, label in enumerate(dict.fromkeys(labels))
    }
