"""A page evaluates the cost model as Python does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.model import exported
from analysis.model.fit import fit_of
from analysis.model.predict import predict
from analysis.model.shapes import shape_named
from tests.browser.chromium import browsing
from tests.doubles.known_machines import cells, machine

pytestmark = pytest.mark.browser
SCRIPT = Path(exported.__file__).with_name("formula.js")


@pytest.mark.parametrize("wire", ["mesh2", "star10", "chain_client"])
def test_the_page_gives_the_numbers_of_python(tmp_path: Path, wire: str) -> None:
    generator = np.random.default_rng(2)
    fit = fit_of(cells(machine(generator), (1, 2, 4), ("Llama-3-8B",), generator, wire=wire))  # type: ignore[arg-type]
    shape = shape_named("Llama-3-8B")
    assert shape is not None
    told = exported.to_json(fit, {"Llama-3-8B": shape}, ("q4_0", "f32"), (1, 2, 4, 8))
    page_file = tmp_path / "page.html"
    page_file.write_text(
        f"<script>{SCRIPT.read_text()}</script><script>const fit = {json.dumps(told)};</script>"
    )
    changes = {"link_mbit": 2500.0, "memory_gain": 1.5, "latency_gain": 2.0}
    with browsing(tmp_path / "profile") as page:
        page.open(page_file.as_uri())
        for place, choice in enumerate(told["choices"]):
            asked = f"herdPredict(fit, fit.choices[{place}], {json.dumps(changes)})"
            found = json.loads(page.value(f"JSON.stringify({asked})"))
            setting = replace(
                fit.observations[0].setting,
                shape=shape,
                weights=choice["weights"],
                nodes=choice["nodes"],
                position=64,
                **changes,
            )
            expected = predict(fit, setting)
            assert found["total"] == pytest.approx(expected.total_ms, rel=1e-5)
            assert found["low"] == pytest.approx(expected.low_ms, rel=1e-5)
            assert found["high"] == pytest.approx(expected.high_ms, rel=1e-5)
            assert found["terms"] == pytest.approx(expected.terms, rel=1e-5)
