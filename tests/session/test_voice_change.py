"""A voice that lasts as long as a connection changes with the next one."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from beluga_voice.errors import ErrorCode, Unsupported
from beluga_voice.events import ErrorOccurred, LinkReady, Reconnecting, ServiceRenewed, SessionState
from beluga_voice.interfaces import Capabilities, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.trace import trace


async def ready(link):
    """Be there."""
    link.emit(LinkReady())


def test_a_voice_changes_with_another_connection():
    """It is made in a quiet moment, beside the present one, with the voice and what was said."""
    able = Capabilities(turn_owners=(TurnOwner.PROVIDER,), can_seed_history=True)
    provider = ScriptedProvider(ready, ready, capabilities=able)

    async def scene():
        async with Session(provider) as session:
            seen = trace(session)
            await asyncio.sleep(1)
            session.update(voice="other")
            await asyncio.sleep(1)
            return seen, session.state

    seen, state = simulate(scene)
    assert [one.reason for one in seen.of(ServiceRenewed)] == ["settings"]
    assert seen.of(Reconnecting) == []
    assert state is SessionState.IDLE
    assert [one.voice for one in provider.options] == [None, "other"]
    provider.finish()


def test_a_voice_that_is_refused_changes_nothing():
    """The call goes on with the voice it has, the refusal is told, and nothing is tried again."""

    class Picky(ScriptedProvider):
        """Has one voice."""

        @asynccontextmanager
        async def connect(self, options, /):
            """Refuse any other."""
            if options.voice is not None:
                raise Unsupported("there is no such voice", op="connect")
            async with super().connect(options) as link:
                yield link

    able = Capabilities(turn_owners=(TurnOwner.PROVIDER,), can_seed_history=True)
    provider = Picky(ready, ready, capabilities=able)

    async def scene():
        async with Session(provider) as session:
            seen = trace(session)
            session.update(voice="other")
            await asyncio.sleep(60)
            session.reconnect()
            await asyncio.sleep(1)
            return seen, session.state

    seen, state = simulate(scene)
    (told,) = seen.of(ErrorOccurred)
    assert (told.code, told.message) == (
        ErrorCode.INVALID_REQUEST,
        "connect: there is no such voice",
    )
    assert state is SessionState.IDLE
    provider.finish()


def test_a_voice_is_kept_where_the_conversation_would_be_lost():
    """What a new connection cannot be told is worth more; the refusal says what can be changed."""
    changes = frozenset({"tools", "instructions"})
    able = Capabilities(turn_owners=(TurnOwner.PROVIDER,), mutable=changes)
    provider = ScriptedProvider(ready, capabilities=able)

    async def scene():
        async with Session(provider) as session:
            with pytest.raises(Unsupported, match=r"voice.*can change instructions, tools"):
                session.update(voice="other")

    simulate(scene)
    provider.finish()


def test_half_a_character_disturbs_nobody():
    """Text with a lone surrogate, as models leave it, is said with a question mark."""
    able = Capabilities(turn_owners=(TurnOwner.PROVIDER,), has_text_input=True)
    provider = ScriptedProvider(ready, capabilities=able)

    async def scene():
        async with Session(provider) as session:
            session.send_text("half \ud83d of it")
            await asyncio.sleep(0.1)
            return session.history

    (message,) = simulate(scene)
    assert message.text == "half ? of it"
