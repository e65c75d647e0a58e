"""Plays a scenario in simulated time."""

import asyncio
from dataclasses import dataclass

from beluga_voice.events import (
    CallerInterrupt,
    EndOfTurnLikely,
    KeyPressed,
    Message,
    Role,
    SessionState,
    SpeechStarted,
    SpeechStopped,
    SttEvent,
    TalkKey,
    Transcript,
    TurnContinued,
)
from beluga_voice.providers.s2s.cascade import Cascade
from beluga_voice.session.happening import Happening
from beluga_voice.session.saying import Saying
from beluga_voice.session.session import Session
from beluga_voice.testing.loop import simulate
from beluga_voice.testing.scenarios import services
from beluga_voice.testing.scenarios.model import (
    Hint,
    Scenario,
    Stage,
    Step,
    engine_settings,
    voice_settings,
)
from beluga_voice.testing.scenarios.notes import Notes, quoted
from beluga_voice.testing.scenarios.people import ScenarioCaller, Stretch, Utterance, told
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts, ScriptedVad

_OVER = (SessionState.DISCONNECTED, SessionState.ERROR)
_HALF_FRAME_MS = 10


@dataclass(slots=True, kw_only=True)
class Played:
    """What came of a scenario on one stage; times in milliseconds."""

    stage: Stage
    lines: list[str]
    """The trace, and then what was heard and what is remembered."""
    utterances: list[Utterance]
    """What people uttered, as far as they came."""
    deeds: list[tuple[float, str]]
    """What else people and the application did."""
    stretches: list[Stretch]
    """When the agent sounded."""
    tones: list[float]
    happenings: list[Happening]
    heard: str
    """The agent's words that sounded whole."""
    remembered: str
    """The agent's words in the session's history."""


class Play:
    """One scenario on one stage: its people, its services and its session."""

    def __init__(self, scenario: Scenario, stage: Stage) -> None:
        self._scenario = scenario
        self._stage: Stage = stage
        self._notes = Notes()
        self._stt = services.recogniser(scenario.stt)
        self._tts = services.voice(scenario.tts)
        self._caller = ScenarioCaller(self._notes, lead_ms=scenario.lead_ms)
        self._utterances: list[Utterance] = []
        self._deeds: list[tuple[float, str]] = []
        self._saying: Saying | None = None
        """What the application wanted said last."""
        self._leaving: asyncio.Task[None] | None = None

    async def run(self) -> Played:
        """Play it to its end."""
        scenario, notes = self._scenario, self._notes
        agent = services.ScenarioAgent(scenario.agent, notes)
        cascade = Cascade(self._stt, agent, self._tts)
        is_ours = self._stage == "cascade"
        session = Session(
            cascade if is_ours else services.FindsTurns(cascade, scenario.service),
            line=self._caller,
            detector=ScriptedVad() if is_ours else None,
            settings=engine_settings(scenario.settings),
            voice=voice_settings(scenario.voice),
            turns=services.turn_detectors(scenario.turn_detector),
            tools=services.tools(scenario.tools, notes),
            greeting=scenario.greeting,
            observers=[notes],
            session_id="scenario",
        )
        async with session, self._caller.on(session):
            for step in scenario.script:
                await self._until(step.at, session)
                if session.state in _OVER:
                    break
                self._do(step, session)
            await self._until(scenario.until, session)
            if self._leaving is not None:
                await self._leaving
        return self._played(session)

    async def _until(self, at_ms: float, session: Session) -> None:
        """Wait for a moment, or for the end of the session if that comes first."""
        loop = asyncio.get_running_loop()
        if session.state not in _OVER and (left := at_ms / 1000 - loop.time()) > 0:
            await asyncio.wait(
                [ending := asyncio.create_task(session.wait_closed(), name="end")], timeout=left
            )
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)

    def _do(self, step: Step, session: Session) -> None:
        self._notes.add(told(step))
        if step.is_sound:
            # Between two frames: the next one is the first of it.
            when = (step.at + _HALF_FRAME_MS) / 1000
            asyncio.get_running_loop().call_at(when, self._utter, step)
            return
        self._deeds.append((float(step.at), step.deed))
        match step.deed:
            case "types":
                self._caller.type(step.types or "")
            case "keys":
                for key in step.keys or "":
                    session.receive(KeyPressed(key=key))
            case "talk_key":
                session.receive(TalkKey(is_down=step.talk_key == "down"))
            case "presses_stop":
                session.receive(CallerInterrupt())
            case "hangs_up":
                self._caller.hang_up()
            case "microphone_dies":
                self._caller.unplug()
            case "app_says":
                self._saying = session.say(step.app_says or "", occasion=step.occasion)
            case "app_unsays":
                assert self._saying is not None, "the application has said nothing"
                self._saying.cancel()
            case "app_leaves":
                leaving = session.leave(step.app_leaves or "")
                self._leaving = asyncio.create_task(leaving, name="leaving")
            case "app_interrupts":
                session.interrupt()
            case "loses":
                _lose(self._stt if step.loses == "stt" else self._tts)
            case _:
                assert step.stt_tells is not None
                self._stt.links[-1].emit(_hinted(step.stt_tells))

    def _utter(self, step: Step) -> None:
        self._utterances.append(self._caller.utter(step))

    def _played(self, session: Session) -> Played:
        remembered = [
            one for one in session.history if isinstance(one, Message) and one.role is Role.AGENT
        ]
        lines = [*self._notes.lines, f"{'':>7}  heard: {quoted(self._caller.heard)}"]
        for one in session.history:
            if isinstance(one, Message):
                cut = " (cut)" if one.is_cut else ""
                lines.append(f"{'':>7}  remembered: {one.role} {quoted(one.text)}{cut}")
        return Played(
            stage=self._stage,
            lines=lines,
            utterances=self._utterances,
            deeds=self._deeds,
            stretches=self._caller.stretches,
            tones=self._caller.tones,
            happenings=self._notes.happenings,
            heard=self._caller.heard,
            remembered=" ".join(one.text for one in remembered if one.text),
        )


def _lose(service: ScriptedStt | ScriptedTts) -> None:
    service.links[-1].lose()


def _hinted(hint: Hint) -> SttEvent:
    if hint.interim is not None:
        return Transcript(text=hint.interim, is_final=False)
    if hint.final is not None:
        return Transcript(text=hint.final, is_final=True)
    if hint.end_likely is not None:
        return EndOfTurnLikely(probability=hint.end_likely, is_eager=hint.is_eager)
    if hint.continued:
        return TurnContinued()
    return SpeechStarted() if hint.speech_started else SpeechStopped()


def play(scenario: Scenario, stage: Stage) -> Played:
    """What comes of a scenario on a stage. Raises what the session raises: that is a defect."""
    return simulate(Play(scenario, stage).run())
