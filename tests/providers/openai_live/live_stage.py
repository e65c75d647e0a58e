"""A stage for tests of OpenAI Live: a caller, a session, the emulated service and a trace."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, get_args

from openai.types.live import ConnectClientEvent, ConnectServerEvent
from openai.types.live.client_event import ClientEvent

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.events import LinkClosed, Message, Role
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.openai_live import OpenAILive
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.emulators.openai_live import KEY, OpenAILiveEmulator
from beluga_voice.testing.emulators.openai_live_session import EmulatedLiveSession, Manners
from beluga_voice.testing.emulators.speech import Brain, Deed, Faults, Pace, ScriptedBrain, Speaks
from beluga_voice.testing.scripted import ScriptedVad
from beluga_voice.testing.trace import Trace, trace

HOST, PORT = "live.example.com", 80
LONG = "one two three four five six seven eight nine ten"


def _models(*unions: Any) -> dict[str, Any]:
    """The official model of each kind of message."""
    found: dict[str, Any] = {}
    for union in unions:
        for model in get_args(get_args(union)[0]):
            (kind,) = get_args(model.model_fields["type"].annotation)
            found[kind] = model
    return found


SERVER_MODELS = _models(ConnectServerEvent)
CLIENT_MODELS = _models(ClientEvent, ConnectClientEvent)


def check_server(event: dict[str, Any]) -> None:
    """A message of the service is one by the models of the official SDK."""
    SERVER_MODELS[event["type"]].model_validate(event, strict=True)


def check_client(event: dict[str, Any]) -> None:
    """A message of the client is one by the models of the official SDK, without a key too many."""
    model = CLIENT_MODELS[event["type"]].model_validate(event, strict=True)
    assert not model.model_extra
    if event["type"].endswith(("instructions.append", "thinking.append", "commentary.append")):
        # Its models do not ask for it, and the service does.
        assert "delegation_id" in event


def check_frames(session: EmulatedLiveSession) -> None:
    """Every message of both sides is one by the models of the official SDK."""
    for event in session.sent:
        check_server(event)
    for event in session.received:
        check_client(event)


def scripted(*deeds: Deed | Sequence[Deed]) -> ScriptedBrain:
    """A brain that does these, then echoes."""
    return ScriptedBrain(list(deeds))


def long_brain(_: object) -> Deed:
    """Answer with ten words, two seconds of speech."""
    return Speaks(LONG)


def provider(**settings: Any) -> OpenAILive:
    """A provider that talks to the emulated service."""
    settings.setdefault("api_key", KEY)
    settings.setdefault("endpoint", f"ws://{HOST}:{PORT}/v1/live/sessions")
    return OpenAILive(**settings)


def orders(session: EmulatedLiveSession) -> list[str]:
    """What the client sent, without sound."""
    kinds = [event["type"] for event in session.received]
    return [kind for kind in kinds if kind != "session.input_audio.append"]


def appended(session: EmulatedLiveSession) -> list[tuple[str, str, str | None]]:
    """What the client told the model: the channel, the words, and what for."""
    return [
        (one["type"].split(".")[1], one["content"], one["delegation_id"])
        for one in session.received
        if one["type"].endswith(".append") and "content" in one
    ]


@dataclass
class Stage:
    """Everything a test looks at."""

    session: Session
    caller: ScriptedCaller
    trace: Trace
    service: OpenAILiveEmulator

    @property
    def remote(self) -> EmulatedLiveSession:
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
    manners: Manners | None = None,
    options: S2sOptions | None = None,
    settings: dict[str, Any] | None = None,
    tools: Sequence[Any] = (),
    engine: EngineSettings | None = None,
    greeting: str = "",
) -> AsyncIterator[Stage]:
    """A conversation over OpenAI Live, whose messages the official models check."""
    service = OpenAILiveEmulator(brain, pace=pace, faults=faults, manners=manners)
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
