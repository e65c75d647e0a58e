"""What a speech-to-speech link promises from connecting to its end."""

import asyncio
from typing import get_args

from beluga_voice.audio.formats import AudioFormat, Encoding
from beluga_voice.errors import ConfigurationError
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CondenseHistory,
    CreateResponse,
    DelegationId,
    Disregard,
    EndUserTurn,
    Interrupt,
    LinkClosed,
    Message,
    PrepareResponse,
    ResponseDone,
    ResponseId,
    ResponseStatus,
    Role,
    S2sCommand,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    Update,
    UtteranceId,
)
from beluga_voice.interfaces import (
    Capabilities,
    Resumption,
    S2sOptions,
    SpeechToSpeech,
    TurnOwner,
)
from beluga_voice.testing.conformance.conversation import Stage
from beluga_voice.testing.conformance.links import (
    PATIENCE_SECONDS,
    cancel_while_connecting,
    errors_come_through,
    refuses,
)
from beluga_voice.testing.conformance.record import Names, S2sRecord, folded
from beluga_voice.testing.conformance.report import ConformanceFailure, Peer, Rule
from beluga_voice.testing.conformance.s2s_talk import LONG, SLOW, TOOL
from beluga_voice.testing.emulators.speech import Calls, Faults, Pace, ScriptedBrain, Speaks
from beluga_voice.testing.speech import WORD_MS, pcm_of, silence, speech

COMMANDS: tuple[S2sCommand, ...] = (
    SendAudio(pcm=silence(20)),
    StartUserTurn(),
    EndUserTurn(),
    ClearInput(),
    SendText(text="hello"),
    CreateResponse(),
    Say(text="hello"),
    Interrupt(response_id=ResponseId("unknown"), heard_samples=0, heard_text=""),
    AnswerTool(call_id=ToolCallId("unknown"), output="nothing"),
    AnswerDelegation(delegation_id=DelegationId("unknown"), text="nothing"),
    Update(instructions="Be brief."),
    SeedHistory(items=(Message(role=Role.USER, text="hello"),)),
    PrepareResponse(),
    CondenseHistory(summary="hello", keep=0),
    Disregard(utterance_id=UtteranceId("unknown")),
)
assert {type(one) for one in COMMANDS} == set(get_args(S2sCommand.__value__))

ODD_FORMAT = AudioFormat(Encoding.FLOAT32, 44100, 2)
"""A format that no speech service takes; left out where one does."""


# ── options ─────────────────────────────────────────────────────────────────────────────────


def excluded(capabilities: Capabilities) -> dict[str, S2sOptions]:
    """Options that these capabilities exclude, by what they ask for."""
    first = capabilities.turn_owners[0]
    found: dict[str, S2sOptions] = {
        f"turn_owner={owner}": S2sOptions(turn_owner=owner)
        for owner in TurnOwner
        if owner not in capabilities.turn_owners
    }
    if not capabilities.has_temperature:
        found["temperature"] = S2sOptions(turn_owner=first, temperature=0.5)
    if not capabilities.has_output_token_limit:
        found["max_output_tokens"] = S2sOptions(turn_owner=first, max_output_tokens=100)
    if not capabilities.has_tools:
        found["tools"] = S2sOptions(turn_owner=first, tools=(TOOL,))
    if not capabilities.can_suppress_response:
        found["respond_automatically"] = S2sOptions(turn_owner=first, respond_automatically=False)
    if not capabilities.can_seed_history:
        said = (Message(role=Role.USER, text="hello"),)
        found["history"] = S2sOptions(turn_owner=first, history=said)
    if capabilities.resumption is Resumption.NONE:
        found["resume"] = S2sOptions(turn_owner=first, resume="a handle")
    if ODD_FORMAT not in capabilities.input_formats:
        found["input_format"] = S2sOptions(turn_owner=first, input_format=ODD_FORMAT)
    if ODD_FORMAT not in capabilities.output_formats:
        found["output_format"] = S2sOptions(turn_owner=first, output_format=ODD_FORMAT)
    if capabilities.languages and "tlh" not in capabilities.languages:
        found["language"] = S2sOptions(turn_owner=first, language="tlh")
    return found


async def refuses_options(stage: Stage, name: str, options: S2sOptions) -> None:
    """The service refuses everybody: who asks it before looking at the options is found out."""
    async with stage.make(Peer(faults=Faults(refuse_status=503))) as provider:
        await refuses(provider, name, options, ConfigurationError)


# ── sending ─────────────────────────────────────────────────────────────────────────────────


async def takes_all_commands(stage: Stage) -> None:
    """Any command may be sent at any time; one that makes no sense does no harm."""
    async with stage.conversation() as talk:
        for command in COMMANDS:
            talk.send(command)
        for _ in range(100):
            talk.send(SendAudio(pcm=silence(1000)))
        await talk.quiet()
        talk.expect(talk.record.closed is None, f"{talk.record.closed} after commands of all kinds")


async def does_nothing_after_the_end(stage: Stage) -> None:
    """A link that was left takes every command, and nothing comes of it."""
    async with stage.make(Peer()) as provider:
        async with stage.talking(provider) as talk:
            await talk.say("hello")
            await talk.hears("hello")
        for command in COMMANDS:
            talk.send_after_the_end(command)
        await talk.quiet()
        if talk.record.failure is not None:
            raise talk.record.failure


async def does_nothing_after_a_loss(stage: Stage) -> None:
    """A link that was lost takes every command, also while its context is still open."""
    peer = Peer(brain=ScriptedBrain([Speaks(LONG)]), faults=_lost_after(words=3))
    async with stage.conversation(peer) as talk:
        await talk.say("hello")
        await talk.ended()
        for command in COMMANDS:
            talk.send_after_the_end(command)
        await talk.quiet()


# ── losing, leaving, cancelling ─────────────────────────────────────────────────────────────


def _lost_after(*, words: int) -> Faults:
    return Faults(drop_after_audio_ms=words * WORD_MS)


async def loss(stage: Stage) -> None:
    """The connection breaks in mid-response: that has failed, and the link is over."""
    peer = Peer(brain=ScriptedBrain([Speaks(LONG)]), faults=_lost_after(words=3), pace=SLOW)
    async with stage.conversation(peer) as talk:
        record = talk.record
        await talk.say("hello")
        await talk.ended()
        closed, done = record.of(LinkClosed)[0], record.of(ResponseDone)
        talk.expect(not closed.is_clean, "LinkClosed(is_clean=True)")
        talk.expect(
            {one.status for one in done} == {ResponseStatus.FAILED},
            f"ResponseDone with {[one.status.value for one in done]}, for what broke off",
            Rule.RESPONSE_DONE_ONCE,
        )


async def leaving(stage: Stage, *, in_mid_response: bool) -> None:
    """The link closes at once, whatever goes on."""
    pace = SLOW if in_mid_response else Pace()
    peer = Peer(brain=ScriptedBrain([Speaks(LONG)]), pace=pace)
    async with stage.conversation(peer) as talk:
        if in_mid_response:
            await talk.say("hello")
            await talk.begun(words=2)


async def an_error_of_the_body(stage: Stage) -> None:
    """What is raised inside the context comes out of it."""
    await errors_come_through(stage.make, S2sOptions(turn_owner=stage.owner))


async def cancelling_connect(stage: Stage) -> None:
    """A cancellation at every moment of connecting comes through, and nothing stays."""
    await cancel_while_connecting(stage.make, S2sOptions(turn_owner=stage.owner))


# ── reading ─────────────────────────────────────────────────────────────────────────────────


async def attach_or_iterate(stage: Stage) -> None:
    """The same conversation, read in both ways, gives the same events."""
    told: list[list[str]] = []
    for is_iterated in (False, True):
        brain = ScriptedBrain([Speaks("good morning")])
        async with stage.make(Peer(brain=brain)) as provider:
            async with stage.talking(provider, is_iterated=is_iterated) as talk:
                await talk.say("hello there")
                await talk.hears("good morning")
            told.append(folded(talk.record.events))
    if told[0] != told[1]:
        raise ConformanceFailure(stage.rule, f"by call {told[0]}, by iteration {told[1]}")


async def late_reader(stage: Stage) -> None:
    """Who attaches late is given first what waited."""
    async with stage.make(Peer(brain=ScriptedBrain([Speaks("good morning")]))) as provider:
        options = S2sOptions(turn_owner=stage.owner)
        record = S2sRecord(provider.capabilities.output_formats[0])
        async with provider.connect(options) as link:
            rate = provider.capabilities.input_formats[0].rate
            for command in _a_turn(provider, stage.owner, rate):
                link.send(command)
            await asyncio.sleep(PATIENCE_SECONDS / 4)
            link.attach(record.take)
            told = folded(record.events)
        if record.failure is not None:
            raise record.failure
    if not any("good morning" in line for line in told):
        raise ConformanceFailure(stage.rule, f"of a talk before anybody read, only {told}")


def _a_turn(provider: SpeechToSpeech, owner: TurnOwner, rate: int) -> list[S2sCommand]:
    """A whole turn at once, with silence after it."""
    sound: S2sCommand = SendAudio(pcm=pcm_of(speech("hello there", rate=rate)))
    if owner is TurnOwner.FRAMEWORK:
        return [StartUserTurn(), sound, EndUserTurn()]
    return [sound, *(SendAudio(pcm=silence(100, rate=rate)) for _ in range(20))]


async def unique_ids(stage: Stage, *, has_tools: bool) -> None:
    """Two links of one provider never use the same id."""
    names = Names()
    brain = ScriptedBrain([])
    options = S2sOptions(turn_owner=stage.owner, tools=(TOOL,) if has_tools else ())
    async with stage.make(Peer(brain=brain)) as provider:
        for _ in range(2):
            async with stage.talking(provider, options, names=names) as talk:
                await talk.say("hello there")
                await talk.hears("hello there")
                if has_tools:
                    brain.deeds.append(Calls(TOOL.name, '{"at": "the moon"}'))
                    await talk.say("what is there")
                    called = talk.record.of
                    await talk.until(lambda: bool(called(ToolCalled)), "ToolCalled")  # noqa: B023, it is waited for
