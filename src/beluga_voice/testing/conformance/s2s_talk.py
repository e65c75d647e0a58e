"""What a speech-to-speech provider must do while people talk, by its capabilities."""

import asyncio
import json
from collections.abc import Sequence
from functools import partial

from beluga_voice.audio.formats import (
    FRAME_MILLISECONDS,
    AudioFormat,
    Encoding,
    to_milliseconds,
    to_samples,
)
from beluga_voice.events import (
    AnswerTool,
    CreateResponse,
    HistoryItem,
    InputTranscript,
    Message,
    NoResponse,
    ResponseOrigin,
    ResponseStatus,
    ResumptionChanged,
    Role,
    Say,
    SeedHistory,
    SendText,
    SpeechStarted,
    TextStage,
    ToolCalled,
    ToolSpec,
    Update,
)
from beluga_voice.interfaces import Faithfulness, S2sOptions, TurnOwner
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.record import S2sRecord
from beluga_voice.testing.conformance.report import Peer
from beluga_voice.testing.emulators.speech import Asked, Calls, Pace, ScriptedBrain, Speaks
from beluga_voice.testing.speech import WORD_MS, is_loud

TOOL = ToolSpec(
    name="look",
    description="Looks somewhere.",
    parameters='{"type":"object","properties":{"at":{"type":"string"}},"required":["at"]}',
)
ARGUMENTS = {"at": "the moon"}
SLOW = Pace(word_ms=WORD_MS)
"""As slow as it sounds: there is time to interrupt while it speaks."""
LONG = "one two three four five six seven eight nine ten"


# ── turns ───────────────────────────────────────────────────────────────────────────────────


async def turns(stage: Stage) -> None:
    """Two turns, each answered once."""
    brain = ScriptedBrain([Speaks("good morning"), Speaks("and good night")])
    async with stage.conversation(Peer(brain=brain)) as talk:
        await talk.say("hello there")
        first = await talk.hears("good morning")
        talk.expect(first.origin is ResponseOrigin.TURN, f"the origin {first.origin}")
        await talk.say("see you")
        second = await talk.hears("and good night")
        await talk.quiet()
        if stage.owner is TurnOwner.DUPLEX:
            return
        spoken = [one for one in talk.record.responses.values() if one.pcm]
        talk.expect(spoken == [first, second], f"{len(spoken)} responses to two turns")
        completed = ResponseStatus.COMPLETED
        for heard in spoken:
            talk.expect(heard.status is completed, f"a response that ended {heard.status}")
        asked = [one.text for one in brain.asked]
        talk.expect(asked == ["hello there", "see you"], f"a service that understood {asked}")


async def nothing_said(stage: Stage) -> None:
    """A turn without a word in it is answered too, or gets NoResponse."""
    async with stage.conversation() as talk:
        record = talk.record
        await talk.say("", respond=True)
        await talk.until(
            lambda: bool(record.of(NoResponse)) or bool(record.responses),
            "NoResponse or a response to a turn in which nothing was said",
        )


async def transcripts(stage: Stage, *, has_interim: bool) -> None:
    """Each utterance has its words, in the end and, where that is offered, before."""
    async with stage.conversation() as talk:
        for words in ("hello there", "see you soon"):
            await talk.say(words)
            await talk.hears(words)
            is_known = partial(_is_final, talk.record, words)
            await talk.until(is_known, f"the final transcript {words!r}")
        finals = list(talk.record.finals.values())
        talk.expect(finals == ["hello there", "see you soon"], f"the final transcripts {finals}")
        if has_interim:
            interim = [one for one in talk.record.of(InputTranscript) if not one.is_final]
            talk.expect(bool(interim), "no interim transcript, though it offers them")


def _is_final(record: S2sRecord, words: str) -> bool:
    return words in record.finals.values()


async def speech_events(stage: Stage) -> None:
    """The service hears the person begin."""
    async with stage.conversation() as talk:
        await talk.say("hello there")
        await talk.hears("hello there")
        talk.expect(bool(talk.record.of(SpeechStarted)), "no SpeechStarted before the answer")


async def response_text(stage: Stage) -> None:
    """The deltas give the words; those that only say where words sound may leave out spaces."""
    async with stage.conversation(Peer(brain=ScriptedBrain([Speaks("one, two. Three")]))) as talk:
        await talk.say("hello")
        heard = await talk.hears("one, two. Three")
        planned, spoken = heard.text(TextStage.PLANNED), heard.text(TextStage.SPOKEN)
        text = planned or spoken or ""
        seen = f"deltas that make {text!r}, of a response that says {heard.words!r}"
        talk.expect(text.split() == heard.words.split(), seen)
        if planned and spoken:
            seen = f"{spoken!r} as spoken, of {planned!r}"
            talk.expect("".join(spoken.split()) == "".join(planned.split()), seen)


async def word_times(stage: Stage) -> None:
    """Words say where they sound: one after the other, and within the sound."""
    async with stage.conversation(Peer(brain=ScriptedBrain([Speaks(LONG)]))) as talk:
        await talk.say("hello")
        heard = await talk.hears(LONG)
        samples = len(heard.pcm) // talk.record.output.block_bytes
        timed = [one for one in heard.texts if one.start is not None and one.end is not None]
        talk.expect(bool(timed), "no ResponseText with `start` and `end`")
        last = 0
        for one in timed:
            start, end = one.start or 0, one.end or 0
            talk.expect(
                last <= start <= end <= samples,
                f"{one.delta!r} at {start} to {end}, after {last}, of {samples} samples",
            )
            last = start


async def suppression(stage: Stage) -> None:
    """Where no response is wanted, none comes, until one is asked for."""
    options = S2sOptions(turn_owner=stage.owner, respond_automatically=False)
    async with stage.conversation(options=options) as talk:
        await talk.say("hello there", respond=stage.owner is not TurnOwner.FRAMEWORK)
        await talk.quiet()
        talk.expect(not talk.record.responses, "a response that nobody wanted")


async def requests(stage: Stage) -> None:
    """A response comes without a turn, and for the reason that it was asked for."""
    async with stage.conversation(Peer(brain=ScriptedBrain([Speaks("are you there")]))) as talk:
        talk.send(CreateResponse(instructions="Ask whether anybody is there."))
        heard = await talk.hears("are you there")
        talk.expect(heard.origin is ResponseOrigin.REQUESTED, f"the origin {heard.origin}")


# ── sound ───────────────────────────────────────────────────────────────────────────────────


async def input_format(stage: Stage, source: AudioFormat) -> None:
    """Speech in that format is understood."""
    brain = ScriptedBrain([Speaks("good morning")])
    async with stage.conversation(
        Peer(brain=brain), S2sOptions(turn_owner=stage.owner, input_format=source)
    ) as talk:
        await talk.say("hello there")
        await talk.hears("good morning")
        if source.encoding is Encoding.PCM16:  # other encodings lose the words in the sound
            heard = brain.asked[0].text
            talk.expect(heard == "hello there", f"{source} understood as {heard!r}")


async def output_format(stage: Stage, target: AudioFormat) -> None:
    """Speech comes in that format: so many samples as it must have at that rate."""
    brain = ScriptedBrain([Speaks(LONG)])
    async with stage.conversation(
        Peer(brain=brain), S2sOptions(turn_owner=stage.owner, output_format=target)
    ) as talk:
        await talk.say("hello")
        heard = await talk.answer()
        sounding_ms = sounding(bytes(heard.pcm), target)
        expected_ms = len(LONG.split()) * WORD_MS
        talk.expect(
            abs(sounding_ms - expected_ms) < expected_ms / 20,
            f"{sounding_ms:g} ms of sound, read as {target}, for words of {expected_ms} ms",
        )


def sounding(pcm: bytes, source: AudioFormat) -> float:
    """How long there is speech in it, in milliseconds; silence counts in other encodings only."""
    if source.encoding is Encoding.PCM16:
        size = to_samples(FRAME_MILLISECONDS, source.rate) * source.block_bytes
        frames = (pcm[at : at + size] for at in range(0, len(pcm), size))
        pcm = b"".join(frame for frame in frames if is_loud(frame))
    return to_milliseconds(len(pcm) // source.block_bytes, source.rate)


# ── other ways to speak ─────────────────────────────────────────────────────────────────────


async def text_input(stage: Stage, *, may_be_silent: bool) -> None:
    """What is written is answered, unless no answer is wanted."""
    brain = ScriptedBrain([Speaks("so I read")])
    async with stage.conversation(Peer(brain=brain)) as talk:
        talk.send(SendText(text="hello there"))
        await talk.hears("so I read")
        asked = brain.asked[0].text
        talk.expect("hello there" in asked, f"a service that read {asked!r}")
        if may_be_silent:
            talk.send(SendText(text="a note", respond=False))
            await talk.quiet()
            talk.expect(len(talk.record.responses) == 1, "a response that was not wanted")


async def say(stage: Stage, faithfulness: Faithfulness) -> None:
    """Given words are spoken: exactly, or the service is asked to."""
    asked: list[Asked] = []

    def obedient(wanted: Asked) -> Speaks:
        asked.append(wanted)
        return Speaks("hello from us")

    async with stage.conversation(Peer(brain=obedient)) as talk:
        talk.send(Say(text="hello from us"))
        heard = await talk.hears("hello from us")
        talk.expect(heard.origin is ResponseOrigin.SAID, f"the origin {heard.origin}")
        if faithfulness is Faithfulness.EXACT:
            talk.expect(not asked, "a model that was asked, though the words are given")
        else:
            told = asked[0].text + asked[0].instructions
            talk.expect("hello from us" in told, f"a model that was told {told!r}")


async def tools(stage: Stage) -> None:
    """A tool is called with its arguments, and what it gives is answered with."""
    brain = ScriptedBrain([Calls("look", json.dumps(ARGUMENTS))])
    options = S2sOptions(turn_owner=stage.owner, tools=(TOOL,))
    async with stage.conversation(Peer(brain=brain), options) as talk:
        record = talk.record
        await talk.say("what is there")
        await talk.until(lambda: bool(record.of(ToolCalled)), "ToolCalled")
        called = record.of(ToolCalled)[0]
        talk.expect(called.name == TOOL.name, f"a call of {called.name!r}")
        talk.expect(_json(called.arguments) == ARGUMENTS, f"the arguments {called.arguments!r}")
        offered = [tool.name for tool in brain.asked[0].tools]
        # Where tools are set up at the service, the peer may not know of those that are offered.
        talk.expect(offered in ([], [TOOL.name]), f"a model that knows the tools {offered}")
        talk.send(AnswerTool(call_id=called.call_id, output="only cheese"))
        await talk.hears("only cheese")
        await talk.say("well then")
        await talk.hears("well then")
        talk.expect(len(record.of(ToolCalled)) == 1, "a second ToolCalled for one call")


async def failing_tool(stage: Stage) -> None:
    """A tool that fails is answered about as well."""
    brain = ScriptedBrain([Calls("look", json.dumps(ARGUMENTS)), Speaks("I cannot see it")])
    options = S2sOptions(turn_owner=stage.owner, tools=(TOOL,))
    async with stage.conversation(Peer(brain=brain), options) as talk:
        await talk.say("what is there")
        await talk.until(lambda: bool(talk.record.of(ToolCalled)), "ToolCalled")
        call_id = talk.record.of(ToolCalled)[0].call_id
        talk.send(AnswerTool(call_id=call_id, output="it is cloudy", is_error=True))
        await talk.hears("I cannot see it")


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


# ── interruptions ───────────────────────────────────────────────────────────────────────────


def _rambling(asked: Asked) -> Speaks:
    """Answer at length, until told to wait."""
    return Speaks("of course" if "wait" in asked.text else LONG)


async def interrupt_while_made(stage: Stage) -> None:
    """A response is stopped in the middle; no more of it comes, and the talk goes on."""
    async with stage.conversation(Peer(brain=_rambling, pace=SLOW)) as talk:
        await talk.say("hello")
        heard = await talk.begun(words=3)
        talk.interrupt(heard.id, "one two")
        await talk.say("wait a moment")
        await talk.hears("of course")
        await talk.until(lambda: heard.status is not None, f"the end of {heard.id!r}")


async def interrupt_before_sound(stage: Stage) -> None:
    """A response is stopped before anything of it was heard."""
    async with stage.conversation(Peer(brain=_rambling, pace=SLOW)) as talk:
        await talk.say("hello")
        heard = await talk.begun()
        talk.interrupt(heard.id, "")
        await talk.say("wait a moment")
        await talk.hears("of course")
        await talk.until(lambda: heard.status is not None, f"the end of {heard.id!r}")


async def interrupt_when_made(stage: Stage) -> None:
    """A response that is whole already can still be interrupted, also twice."""
    async with stage.conversation(Peer(brain=_rambling)) as talk:
        await talk.say("hello")
        heard = await talk.hears(LONG)
        talk.interrupt(heard.id, "one two three")
        talk.interrupt(heard.id, "one two three")
        await talk.say("wait a moment")
        await talk.hears("of course")


async def truncation(stage: Stage, *, is_made: bool) -> None:
    """The model remembers of its response what was heard of it."""
    brain = ScriptedBrain([Speaks(LONG), Speaks("of course")])
    pace = Pace() if is_made else SLOW
    async with stage.conversation(Peer(brain=brain, pace=pace)) as talk:
        await talk.say("hello")
        heard = await (talk.hears(LONG) if is_made else talk.begun(words=4))
        talk.interrupt(heard.id, "one two three")
        await talk.say("wait a moment")
        await talk.hears("of course")
        known = _words(brain.asked[-1].history, Role.AGENT)
        talk.expect(known == ["one two three"], f"a model that believes it said {known}")


# ── what the model knows ────────────────────────────────────────────────────────────────────


async def updates(stage: Stage, mutable: frozenset[str]) -> None:
    """What is changed in mid-call holds for the next answer."""
    brain = ScriptedBrain([])
    other = ToolSpec(name="listen", description="Listens.", parameters=TOOL.parameters)
    options = S2sOptions(turn_owner=stage.owner, instructions="Be brief.", tools=())
    async with stage.conversation(Peer(brain=brain), options) as talk:
        await talk.say("hello")
        await talk.hears("hello")
        talk.send(
            Update(
                instructions="Be long." if "instructions" in mutable else None,
                tools=(other,) if "tools" in mutable else None,
            )
        )
        await asyncio.sleep(0.1)
        await talk.say("again please")
        await talk.hears("again please")
        asked = brain.asked[-1]
        if "instructions" in mutable:
            # Some can only add to what they were told: the newest comes last.
            is_new = asked.instructions.endswith("Be long.")
            talk.expect(is_new, f"the instructions {asked.instructions!r}")
        if "tools" in mutable:
            names = [tool.name for tool in asked.tools]
            talk.expect(names == ["listen"], f"a model that knows the tools {names}")


async def seeded_history(stage: Stage, *, in_mid_call: bool) -> None:
    """What was said before is known to the model, in its order."""
    before = (
        Message(role=Role.USER, text="my name is Ada"),
        Message(role=Role.AGENT, text="hello Ada"),
    )
    brain = ScriptedBrain([Speaks("you are Ada")])
    options = S2sOptions(turn_owner=stage.owner, history=() if in_mid_call else before)
    async with stage.conversation(Peer(brain=brain), options) as talk:
        if in_mid_call:
            talk.send(SeedHistory(items=before))
            await asyncio.sleep(0.1)
        await talk.say("who am I")
        await talk.hears("you are Ada")
        history = brain.asked[0].history
        known = _words(history, Role.USER)[:1] + _words(history, Role.AGENT)
        talk.expect(known == ["my name is Ada", "hello Ada"], f"a model that knows of {known}")
        talk.expect(len(talk.record.responses) == 1, "a response to what was said long ago")


async def resumption(stage: Stage) -> None:
    """With the handle of one connection, the next one goes on with the conversation."""
    brain = ScriptedBrain([])
    async with stage.make(Peer(brain=brain)) as provider:
        async with stage.talking(provider) as talk:
            await talk.say("my name is Ada")
            await talk.hears("my name is Ada")
            await talk.until(
                lambda: (
                    bool(talk.record.of(ResumptionChanged))
                    and talk.record.of(ResumptionChanged)[-1].handle is not None
                ),
                "ResumptionChanged with a handle",
            )
            handle = talk.record.of(ResumptionChanged)[-1].handle
        options = S2sOptions(turn_owner=stage.owner, resume=handle)
        async with stage.talking(provider, options) as talk:
            await talk.say("who am I")
            await talk.hears("who am I")
            known = _words(brain.asked[-1].history, Role.USER)
            talk.expect("my name is Ada" in known, f"a model that knows of {known}")


def _words(history: Sequence[HistoryItem], role: Role) -> list[str]:
    return [one.text for one in history if isinstance(one, Message) and one.role is role]
