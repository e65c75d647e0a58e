"""What all tests share."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

settings.register_profile("exact", derandomize=True, deadline=None)
settings.load_profile("exact")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep proxies of the machine out of tests on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
