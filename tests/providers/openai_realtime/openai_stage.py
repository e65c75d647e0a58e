"""A stage for tests of OpenAI Realtime: a caller, a session, the emulated service and a trace."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

from openai.types.realtime import RealtimeClientEvent, RealtimeServerEvent

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import LinkClosed, Message, Role
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.openai_realtime import OpenAIRealtime
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.openai_realtime import KEY, OpenAIRealtimeEmulator
from beluga_voice.testing.emulators.realtime_session import EmulatedSession
from beluga_voice.testing.emulators.speech import Brain, Deed, Faults, Pace, ScriptedBrain, Speaks
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace, trace

HOST, PORT = "voice.example.com", 80
LONG = "one two three four five six seven eight nine ten"


def _models(union: Any) -> dict[str, Any]:
    """The official model of each kind of message."""
    models = get_args(get_args(union)[0])
    return {get_args(one.model_fields["type"].annotation)[0]: one for one in models}


SERVER_MODELS = _models(RealtimeServerEvent)
CLIENT_MODELS = _models(RealtimeClientEvent)


def check_server(event: dict[str, Any]) -> None:
    """A message of the service is one by the models of the official SDK."""
    SERVER_MODELS[event["type"]].model_validate(event, strict=True)


def check_client(event: dict[str, Any]) -> None:
    """A message of the client is one by the models of the official SDK, without a key too many."""
    assert not CLIENT_MODELS[event["type"]].model_validate(event, strict=True).model_extra


def scripted(*deeds: Deed | Sequence[Deed]) -> ScriptedBrain:
    """A brain that does these, then echoes."""
    return ScriptedBrain(list(deeds))


def long_brain(_: object) -> Deed:
    """Answer with ten words, two seconds of speech."""
    return Speaks(LONG)


def provider(**settings: Any) -> OpenAIRealtime:
    """A provider that talks to the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", f"ws://{HOST}{':' + str(PORT)}/v1/realtime")
    return OpenAIRealtime(**settings)


def check_frames(session: EmulatedSession) -> None:
    """Every message of both sides is one by the models of the official SDK."""
    for event in session.sent:
        check_server(event)
    for event in session.received:
        check_client(event)


def orders(session: EmulatedSession) -> list[str]:
    """What the client sent, without sound."""
    kinds = [event["type"] for event in session.received]
    return [kind for kind in kinds if kind != "input_audio_buffer.append"]


@dataclass
class Stage:
    """Everything a test looks at."""

    session: Session
    caller: ScriptedCaller
    trace: Trace
    service: OpenAIRealtimeEmulator

    @property
    def remote(self) -> EmulatedSession:
        """The service's side of the last connection."""
        return self.service.sessions[-1]

    def words(self, role: Role) -> list[str]:
        """What one side said, by the history."""
        items = self.session.history
        return [one.text for one in items if isinstance(one, Message) and one.role is role]


@asynccontextmanager
async def stage(
    brain: Brain = long_brain,
    *,
    pace: Pace | None = None,
    faults: Sequence[Faults] = (),
    options: S2sOptions | None = None,
    settings: dict[str, Any] | None = None,
    tools: Sequence[Any] = (),
    engine: EngineSettings | None = None,
    greeting: str = "",
) -> AsyncIterator[Stage]:
    """A conversation over OpenAI Realtime, whose messages the official models check."""
    service = OpenAIRealtimeEmulator(brain, pace=pace, faults=faults)
    caller = ScriptedCaller(input_rate=24000)
    async with service.serving(HOST, PORT):
        made = Session(
            provider(**(settings or {})),
            line=caller,
            options=options or S2sOptions(instructions="Be brief."),
            detector=ScriptedVad(rate=24000),
            tools=tools,
            settings=engine,
            greeting=greeting,
            session_id="stage",
        )
        seen = trace(made)
        async with made, caller.on(made):
            yield Stage(made, caller, seen, service)
    for remote in service.sessions:
        check_frames(remote)


async def until_closed(link: Any) -> list[Any]:
    """Every event of a link, to its end."""
    events: list[Any] = []
    async for event in link:
        events.append(event)
        if isinstance(event, LinkClosed):
            break
    return events


async def settled() -> None:
    """Let everything that is ready happen."""
    await asyncio.sleep(0.001)
