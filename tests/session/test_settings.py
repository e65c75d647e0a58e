"""Settings change in mid-call where the provider can, and are refused where it cannot."""

import asyncio

import pytest

from beluga_voice.errors import Unsupported
from beluga_voice.events import (
    CallerText,
    ErrorOccurred,
    FunctionAnswered,
    KeyPressed,
    SendText,
    ToolCalled,
    ToolCallId,
    Update,
)
from beluga_voice.interfaces import Capabilities, S2sOptions, TurnOwner
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scripted import ScriptedProvider
from beluga_voice.testing.trace import trace

FIXED = Capabilities(turn_owners=(TurnOwner.PROVIDER,), has_speech_events=True)
ABLE = Capabilities(
    turn_owners=(TurnOwner.PROVIDER,),
    has_speech_events=True,
    has_tools=True,
    has_text_input=True,
    mutable=frozenset({"instructions", "tools"}),
)


def clock() -> str:
    """Tell the time."""
    return "noon"


def weather() -> str:
    """Tell the weather."""
    return "cold"


def test_tools_change_in_mid_call():
    """The service is told of the new tools, and a call of one of them is answered."""

    async def script(link):
        told = await link.expect(Update)
        assert [one.name for one in told.tools] == ["weather"]
        link.emit(ToolCalled(call_id=ToolCallId("1"), name="weather", arguments="{}"))
        link.emit(ToolCalled(call_id=ToolCallId("2"), name="clock", arguments="{}"))
        await asyncio.sleep(0.1)
        link.commands.clear()

    async def scene():
        provider = ScriptedProvider(script, capabilities=ABLE)
        session = Session(provider, tools=[clock])
        seen = trace(session)
        async with session:
            session.update(tools=[weather])
            await asyncio.sleep(1)
        provider.finish()
        return [(one.name, one.output, one.is_error) for one in seen.of(FunctionAnswered)]

    assert sorted(simulate(scene)) == [
        ("clock", "there is no tool named 'clock'", True),
        ("weather", "cold", False),
    ]


@pytest.mark.parametrize("wanted", [{"instructions": "x"}, {"voice": "ada"}, {"tools": [clock]}])
def test_what_is_fixed_cannot_be_updated(wanted):
    """An update of what a provider keeps fixed is refused and sends nothing."""

    async def script(link):
        pass

    async def scene():
        provider = ScriptedProvider(script, capabilities=FIXED)
        async with Session(provider) as session:
            with pytest.raises(Unsupported, match=next(iter(wanted))):
                session.update(**wanted)
        provider.finish()

    simulate(scene)


def test_text_is_refused_where_it_is_not_taken():
    """Words typed to a provider without text input raise here, and are an error on the line."""

    async def script(link):
        pass

    async def scene():
        provider = ScriptedProvider(script, capabilities=FIXED)
        session = Session(provider, line=ScriptedCaller())
        seen = trace(session)
        async with session:
            with pytest.raises(Unsupported, match="takes no text"):
                session.send_text("hello")
            session.receive(CallerText(text="hello"))
            session.receive(KeyPressed(key="5"))
            await asyncio.sleep(5)
        provider.finish()
        return [(one.code.value, one.is_fatal) for one in seen.of(ErrorOccurred)]

    assert simulate(scene) == [("unsupported_setting", False)] * 2


def test_text_is_sent_where_it_is_taken():
    """Words typed to a provider with text input reach it."""

    async def script(link):
        await link.expect(SendText, text="hello", respond=True)

    async def scene():
        provider = ScriptedProvider(script, capabilities=ABLE)
        async with Session(provider) as session:
            session.send_text("hello")
            await asyncio.sleep(1)
        provider.finish()

    simulate(scene)


@pytest.mark.parametrize(
    ("options", "capability"),
    [
        (S2sOptions(temperature=0.5), "has_temperature"),
        (S2sOptions(max_output_tokens=5), "has_output_token_limit"),
        (S2sOptions(respond_automatically=False), "can_suppress_response"),
        (S2sOptions(turn_owner=TurnOwner.DUPLEX), "turn_owners"),
        (S2sOptions(resume="handle"), "resumption"),
    ],
)
def test_options_are_refused_before_connecting(options, capability):
    """A session is not even made with options that its provider cannot honour."""
    with pytest.raises(Unsupported, match=capability):
        Session(ScriptedProvider(capabilities=FIXED), options=options)


def test_tools_are_refused_before_connecting():
    """A provider without tools is not given any."""
    with pytest.raises(Unsupported, match="has_tools"):
        Session(ScriptedProvider(capabilities=FIXED), tools=[clock])
