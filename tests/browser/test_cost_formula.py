"""A page evaluates the cost model as Python does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.model import cost
from analysis.model.fit import fit_of
from analysis.model.predict import HARDLY, predict
from analysis.what_if.basis import Basis
from analysis.what_if.payload import payload_of
from tests.browser.chromium import browsing
from tests.doubles.known_machines import cells, machine

pytestmark = pytest.mark.browser
SCRIPT = Path(cost.__file__).with_name("formula.js")


@pytest.mark.parametrize("wire", ["mesh2", "star10", "chain_client"])
def test_the_page_gives_the_numbers_of_python(tmp_path: Path, wire: str) -> None:
    generator = np.random.default_rng(2)
    measured = cells(machine(generator), (1, 2, 4), ("Llama-3-8B",), generator, wire=wire)  # type: ignore[arg-type]
    fit = fit_of(measured)
    basis = Basis("engine", "engine", fit, (), measured=fit.observations)
    payload = payload_of([basis])
    [told], tails = payload["fits"], payload["tails"]
    page_file = tmp_path / "page.html"
    page_file.write_text(
        f"<script>{SCRIPT.read_text()}</script>"
        f"<script>const fit = {json.dumps({**told, 'tails': tails, 'hardly': HARDLY})};</script>"
    )
    changes = {"link_mbit": 2500.0, "memory_gain": 1.5, "latency_gain": 2.0}
    [own] = told["models"]
    possible = [choice for choice in own["choices"] if choice[3] < 0]
    assert {choice[0] for choice in possible} >= {"q4_0", "f32"}
    with browsing(tmp_path / "profile") as page:
        page.open(page_file.as_uri())
        for kind, count, values, *_, doublings, [computed] in possible:
            features = told["same"] | dict(zip(told["features"], values, strict=True))
            choice = json.dumps(
                {"features": features, "doublings": doublings, "computed": computed}
            )
            asked = f"herdPredict(fit, {choice}, {json.dumps(changes)})"
            found = json.loads(page.value(f"JSON.stringify({asked})"))
            setting = replace(
                fit.observations[0].setting,
                weights=kind,
                nodes=count,
                **changes,  # type: ignore[arg-type]
            )
            expected = predict(fit, setting)
            assert found["total"] == pytest.approx(expected.total_ms, rel=1e-5)
            assert found["low"] == pytest.approx(expected.low_ms, rel=1e-5)
            assert found["high"] == pytest.approx(expected.high_ms, rel=1e-5)
            assert found["terms"] == pytest.approx(expected.terms, rel=1e-5)
