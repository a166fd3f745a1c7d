"""What all tests without nodes share."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_settings_of_make(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget the settings file that `make` names for Ansible: a test names its own."""
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
