"""What all sessions of a process know of their services, for people who look after them."""

import asyncio
from contextlib import suppress

from beluga_voice.errors import Unreachable
from beluga_voice.interfaces import SttOptions
from beluga_voice.resilience.boards import shared_board
from beluga_voice.resilience.breaker import BreakerSettings, BreakerState
from beluga_voice.resilience.guarded import Guarded
from beluga_voice.resilience.health import ServiceHealth
from beluga_voice.testing.loop import simulate
from resilience.parts import Recogniser

SETTINGS = BreakerSettings(minimum_calls=2, open_seconds=5, probes=1)


def now():
    """The time of the loop."""
    return asyncio.get_running_loop().time()


def health():
    """How every service is."""
    return shared_board().health(now())


def test_the_board_tells_how_every_service_is():
    """Links that are open, failures, and for how long nobody asks; each service by itself."""

    async def scene():
        ears = Guarded(Recogniser("ears"), breaker=SETTINGS)
        troubled = [Unreachable("nobody there", op="connect")] * 2
        others = Guarded(Recogniser("others", *troubled), breaker=SETTINGS)
        assert health() == []
        async with ears.connect(SttOptions()), ears.connect(SttOptions()):
            for _ in troubled:
                with suppress(Unreachable):
                    async with others.connect(SttOptions()):
                        pass
            failed_at = now()
            well = ServiceHealth(
                name="ears",
                state=BreakerState.CLOSED,
                retry_after=None,
                links=2,
                failures=0,
                last_failure="",
                last_failure_at=None,
            )
            assert health()[0] == well
            await asyncio.sleep(2)
            (ill,) = (one for one in health() if one.name == "others")
            assert (ill.state, ill.links, ill.failures) == (BreakerState.OPEN, 0, 2)
            assert ill.retry_after is not None
            assert round(ill.retry_after, 6) == 3
            assert ill.last_failure == "network_error"
            assert ill.last_failure_at == failed_at
            await asyncio.sleep(3)
            (back,) = (one for one in health() if one.name == "others")
            assert (back.state, back.retry_after) == (BreakerState.HALF_OPEN, None)
        assert health()[0].links == 0

    simulate(scene)
