"""Fine-tuning by `fab` tells a research log: not that of whoever runs the tests."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LLAMA_HERD_STUDY", str(tmp_path_factory.mktemp("study")))
        yield
