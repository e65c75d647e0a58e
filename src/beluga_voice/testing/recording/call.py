"""A recorded call, played again through a session.

The service is the recorded one; see `replayed`. The person is the recorded one too, as far as a
recording tells of a person: when a voice was heard (the recording's ears), what was typed, and when
it was over. What the application said by itself is said again, and tools give what they gave, when
they gave it. The agent's sound is made up from hashes, so that each piece can be told from another.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.engine.engine import EngineSettings
from beluga_voice.errors import Misuse
from beluga_voice.events import (
    FunctionCalled,
    Occasion,
    SessionEvent,
    SessionState,
    ToolCallId,
    ToolSpec,
)
from beluga_voice.interfaces import (
    S2sOptions,
    Tool,
    TurnOwner,
    input_format_of,
    output_format_of,
)
from beluga_voice.session.metrics import SessionMetrics
from beluga_voice.session.session import Session
from beluga_voice.testing.caller import ScriptedCaller
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.recording.reading import Line, Recording, read
from beluga_voice.testing.replayed import Replayed
from beluga_voice.testing.trace import Trace

GRACE_SECONDS = 30.0
"""How much longer than the recorded call an unfinished one goes on."""
QUIET = frozenset(
    {SessionState.IDLE, SessionState.CONNECTED, SessionState.DISCONNECTED, SessionState.ERROR}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedCall:
    """What came of it."""

    recording: Recording
    trace: Trace
    mismatches: tuple[str, ...]
    """What the session told the service otherwise than recorded."""
    given: tuple[Any, ...]
    """The events that the service gave."""
    sounds_ms: tuple[tuple[float, float], ...]
    """When there was sound on the person's line, since the session began."""
    lasted_ms: float
    rate: int
    """Of the agent's sound."""
    metrics: SessionMetrics


def play(
    recording: Recording | Path | str, *, settings: EngineSettings | None = None
) -> ReplayedCall:
    """Play a recorded call through a session, in simulated time.

    Raises `Misuse` for a recording that cannot be played: one of a recogniser or a voice by itself,
    or one whose turns are ours and that has no ears.
    """
    found = recording if isinstance(recording, Recording) else read(recording)
    return simulate(lambda: replay(found, settings=settings))


async def replay(recording: Recording, *, settings: EngineSettings | None = None) -> ReplayedCall:
    """As `play` does, in the time of the running loop."""
    options = _options(recording)
    line = ScriptedCaller(
        input_rate=_input_rate(recording, options),
        output_rate=output_format_of(recording.capabilities, options.output_format).rate,
    )
    provider = Replayed(recording, keeps_audio=False)
    trace = Trace()
    ears = _ReplayedEars(recording)
    tools = _ReplayedTools(recording)
    session = Session(
        provider,
        line=line,
        options=replace(options, output_format=None, input_format=None),
        detector=ears if recording.ears is not None else None,
        tools=tools.offered,
        observers=[trace, tools],
        settings=settings,
        session_id="replay",
    )
    tools.session = session
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with session:
        async with _person(session, recording, ears, began):
            await _until(session, began + recording.seconds)
        tools.stop()
        await session.close("hung_up")
    ended = loop.time()
    shift = began * 1000
    sounds = tuple((start - shift, end - shift) for start, end in line.sounds_ms)
    return ReplayedCall(
        recording=recording,
        trace=trace,
        mismatches=tuple(provider.mismatches),
        given=tuple(provider.given),
        sounds_ms=sounds,
        lasted_ms=(ended - began) * 1000,
        rate=line.options.output_rate,
        metrics=session.metrics(),
    )


# ── the session's settings ──────────────────────────────────────────────────────────────────


def _options(recording: Recording) -> S2sOptions:
    """What the first connection was asked for, as far as a session has to know it."""
    if recording.options_type != S2sOptions.__name__:
        message = (
            f"this is a recording of {recording.provider} by itself: give Replayed(path) to what "
            "is tested, in place of that provider"
        )
        raise Misuse(message, op="replay")
    form = _asked(recording.links[0]) if recording.links else {}
    owner = form.get("turn_owner")
    able = recording.capabilities
    if (owner or able.turn_owners[0]) == TurnOwner.FRAMEWORK and recording.ears is None:
        message = (
            "this recording has no ears, so the person's turns are not in it: record with "
            "beluga-voice record, or give the session vad=recorded.ears(detector)"
        )
        raise Misuse(message, op="replay")
    return S2sOptions(
        turn_owner=None if owner is None else TurnOwner(owner),
        respond_automatically=form.get("respond_automatically", True),
        input_format=_shape(form.get("input_format")),
        output_format=_shape(form.get("output_format")),
    )


def _asked(link: tuple[Line, ...]) -> dict[str, Any]:
    for line in link:
        if line.what == "connect":
            asked: dict[str, Any] = line.fields["options"]
            return asked
    return {}


def _shape(form: Any) -> AudioFormat | None:
    return None if form is None else msgspec.convert(form, AudioFormat)


def _input_rate(recording: Recording, options: S2sOptions) -> int:
    """That of the detector, so that each frame of it is one piece of the line's sound."""
    if recording.ears is not None:
        return recording.ears.rate
    return input_format_of(recording.capabilities, options.input_format).rate


# ── the person ──────────────────────────────────────────────────────────────────────────────


class _ReplayedEars:
    """A voice detector that finds what was found."""

    def __init__(self, recording: Recording) -> None:
        self.rate = 16000 if recording.ears is None else recording.ears.rate
        self.frame_samples = recording.frame_samples
        self.next = 0.0

    def process(self, frame: bytes, /) -> float:
        """The probability that was recorded for this frame."""
        return self.next

    def reset(self) -> None:
        """There is no state."""


@asynccontextmanager
async def _person(
    session: Session, recording: Recording, ears: _ReplayedEars, began: float
) -> AsyncGenerator[None]:
    """What came from outside comes again, each at its time."""
    loop = asyncio.get_running_loop()
    deeds = deque(sorted(_deeds(session, recording, ears), key=lambda one: one[0]))
    timer: asyncio.TimerHandle | None = None
    failure: Exception | None = None

    def go_on(due: float) -> None:
        nonlocal timer, failure
        now = max(due, loop.time())
        try:
            while deeds and began + deeds[0][0] <= now:
                deeds.popleft()[1]()
        except Exception as error:
            failure = error
            return
        if deeds:
            due = began + deeds[0][0]
            timer = loop.call_at(due, go_on, due)

    go_on(loop.time())
    try:
        yield
    finally:
        if timer is not None:
            timer.cancel()
    if failure is not None:
        raise failure


def _deeds(
    session: Session, recording: Recording, ears: _ReplayedEars
) -> Iterator[tuple[float, Callable[[], None]]]:
    """What is done, and when, in seconds since the recording began."""
    frame = bytes(recording.frame_samples * 2)

    def voice(line: Line) -> None:
        ears.next = line.fields["p"]
        session.send_audio(frame)

    for line in recording.voices:
        yield line.at, partial(voice, line)
    for link in recording.links:
        for line in link:
            if line.what != "sent":
                continue
            text = line.fields.get("text", "")
            match line.kind:
                case "send_audio" if recording.ears is None:
                    size = line.fields["pcm"]["bytes"]
                    yield line.at, partial(session.send_audio, bytes(size - size % 2))
                case "send_text" if line.fields["role"] == "user":
                    yield line.at, partial(session.send_text, text)
                case "say":
                    occasion = Occasion(line.fields["occasion"])
                    yield line.at, partial(_say, session, text, occasion)
                case _:
                    pass


def _say(session: Session, text: str, occasion: Occasion) -> None:
    session.say(text, occasion=occasion)


async def _until(session: Session, end: float) -> None:
    """Wait until the recorded call was over, and what it began has come to an end."""
    loop = asyncio.get_running_loop()
    closed = asyncio.create_task(session.wait_closed(), name="the replayed session")
    try:
        await asyncio.wait([closed], timeout=max(end - loop.time(), 0.0))
        while not closed.done() and session.state not in QUIET:
            if loop.time() >= end + GRACE_SECONDS:
                return
            await asyncio.wait([closed], timeout=0.1)
    finally:
        closed.cancel()
        await asyncio.gather(closed, return_exceptions=True)


# ── tools ───────────────────────────────────────────────────────────────────────────────────


class _ReplayedTools:
    """The tools that were offered; each gives, call by call, what it gave, as long after."""

    def __init__(self, recording: Recording) -> None:
        self._answers: dict[str, deque[_Answer]] = {}
        offered = [form for link in recording.links for form in _asked(link).get("tools", ())]
        specs = {form["name"]: msgspec.convert(form, ToolSpec) for form in offered}
        self.offered = [Tool(spec=spec) for spec in specs.values()]
        self._timers: list[asyncio.TimerHandle] = []
        self.session: Session | None = None
        for name in specs:
            self._answers[name] = _answers(recording, name)

    def observe(self, event: SessionEvent, /, *, at: float) -> None:
        """A tool is called."""
        if isinstance(event, FunctionCalled) and (answers := self._answers.get(event.name)):
            answer = answers.popleft()
            loop = asyncio.get_running_loop()
            give = partial(self._give, event.call_id, answer)
            self._timers.append(loop.call_later(answer.seconds, give))

    def stop(self) -> None:
        """Nobody waits for an answer any more."""
        for timer in self._timers:
            timer.cancel()

    def _give(self, call_id: ToolCallId, answer: "_Answer") -> None:
        # It may have been withdrawn, or the session may be over: then there is nobody to tell.
        with suppress(Misuse):
            if self.session is not None:
                self.session.answer_tool(call_id, answer.output, is_error=answer.is_error)


class _Answer(NamedTuple):
    """Of a tool, and how long after it was called."""

    seconds: float
    output: str
    is_error: bool


def _answers(recording: Recording, name: str) -> deque[_Answer]:
    """What a tool gave to each of its calls."""
    called: dict[str, float] = {}
    answers: deque[_Answer] = deque()
    for link in recording.links:
        for line in link:
            call_id = line.fields.get("call_id", "")
            if line.kind == "tool_called" and line.fields["name"] == name:
                called[call_id] = line.at
            elif line.kind == "answer_tool" and call_id in called:
                seconds = line.at - called[call_id]
                answers.append(_Answer(seconds, line.fields["output"], line.fields["is_error"]))
    return answers
