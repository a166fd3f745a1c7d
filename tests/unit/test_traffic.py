"""Units of traffic."""

from __future__ import annotations

import pytest

from analysis.cells.traffic import mbit_per_s


def test_a_kib_in_a_millisecond_is_eight_mbit_a_second() -> None:
    assert mbit_per_s(1, 1) == pytest.approx(8.192)
