"""What all tests share."""

import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent))

from beluga_voice.testing.emulators.witness import witnessed
from emulators.vendors import Inspector

settings.register_profile("exact", derandomize=True, deadline=None)
settings.load_profile("exact")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep proxies of the machine out of tests on loopback."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture(autouse=True)
def _frames_are_the_vendors() -> Generator[None]:
    """Check each message between an emulated speech-to-speech service and whoever talks to it."""
    inspector = Inspector()
    with witnessed(inspector.look):
        yield
    assert not inspector.wrong
