"""Nova Sonic's protocol, as a pure translation.

What a command becomes. The service finds the turns and cannot be told otherwise:

| command | on the wire |
|---|---|
| `SendAudio` | `audioInput` |
| `StartUserTurn`, `EndUserTurn`, `ClearInput` | nothing |
| `SendText` | a block of text of the person, which is answered; see below |
| `CreateResponse` | such a block with the instructions, or a nudge |
| `Say` | such a block: a request to say exactly that, which the model mostly honours |
| `Interrupt` | nothing, but what follows of that response is dropped |
| `AnswerTool` | a block with a `toolResult`, once |
| `AnswerDelegation`, `Update`, `SeedHistory` | nothing: see the capabilities |

All text that is written in a call is answered. So a note that wants no answer waits for the next
text, and goes ahead of it; words of the person do not wait. A model that takes no text gets none.

What comes is blocks: `contentStart`, pieces, `contentEnd`. A turn of the model is a row of them:
the words it means to speak (`SPECULATIVE`), their sound, sentence by sentence, and later the words
that were spoken (`FINAL`). What the service leaves out is made up for:

* Responses and utterances have no ids: they are counted, with the number of the link in front. A
  response starts with the first planned word or sound, and is done when a block of sound ends with
  `END_TURN`; `completionEnd` ends one that is still open. `FINAL` words may follow, and start none.
* Words have no times: they are placed in the sound of their sentence, mostly once it is over, and
  told as spoken then. So the `FINAL` words are not needed, which say what the service believes was
  heard: they are told only of a response of which no words were planned.
* An utterance comes as one or more blocks of words, one right after the other, and is final once
  the model acts. Words that come more than `GAP_SECONDS` of sound later are another's: the model
  had not answered the one before.
* An interruption is a block that ends with `INTERRUPTED`, or words that are a JSON object saying
  so, or both, often after the response was done: it may still be sounding. Blocks that were open
  then say no more.
"""

import base64
from dataclasses import dataclass
from typing import Any, assert_never

import msgspec

from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CondenseHistory,
    CreateResponse,
    Disregard,
    EndUserTurn,
    ErrorCategory,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    LinkClosed,
    LinkReady,
    NoResponse,
    PrepareResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    StartUserTurn,
    TextStage,
    ToolCalled,
    ToolCallId,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import S2sOptions, WireMessage, input_format_of, output_format_of
from beluga_voice.providers.s2s.nova_sonic import _wire as wire
from beluga_voice.providers.s2s.nova_sonic._capabilities import capabilities_of
from beluga_voice.providers.s2s.nova_sonic._errors import category_of
from beluga_voice.providers.s2s.nova_sonic._placing import Placed, Placing
from beluga_voice.providers.s2s.nova_sonic._settings import (
    Settings,
    audio_input,
    check,
    history_of,
    instructions_of,
    pieces,
    prompt_start,
    session_start,
)

SAY = "Say exactly the following, word for word, and nothing else:\n"
NUDGE = "Please go on."
GAP_SECONDS = 1.0
"""The service waits for longer than this until it takes a turn to be over."""
MAX_BLOCKS = 64
"""Blocks that may be open at once; the service has one or two."""
MAX_CALLS = 256
"""Tool calls that may wait for their results, and that are known if they come again."""
MAX_CHARACTERS = 20_000
"""An utterance that is longer is taken for two."""

_ROLES = {Role.USER: "USER", Role.AGENT: "ASSISTANT", Role.SYSTEM: "SYSTEM"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A block of the service that is open; `epoch` counts the interruptions before it."""

    kind: str
    role: str
    is_planned: bool
    epoch: int
    spoken_of: ResponseId | None
    """The response whose spoken words these are."""


class NovaSonicCodec:
    """One connection's worth of the protocol.

    `link` makes the ids of this connection different from those of all others. Raises
    `ConfigurationError` for options that cannot be honoured.
    """

    def __init__(self, options: S2sOptions, settings: Settings, *, link: int) -> None:
        check(settings, options)
        self._options = options
        self._settings = settings
        self._model = settings.profile
        self._link = link
        self._prompt = f"prompt-{link}"
        self._sound = f"sound-{link}"
        self._before_sound = (
            f'{{"event":{{"audioInput":{{"promptName":"{self._prompt}",'
            f'"contentName":"{self._sound}","content":"'
        )
        self._blocks_sent = 0
        self._notes: list[str] = []
        # ── what the person does
        self._utterances = 0
        self._utterance: UtteranceId | None = None
        self._words = ""
        self._sent_seconds = self._understood_at = 0.0
        # ── what the model does
        self._blocks: dict[str, _Block] = {}
        self._epoch = 0
        self._responses = 0
        self._response: ResponseId | None = None
        self._last: ResponseId | None = None
        self._silent: ResponseId | None = None
        capabilities = capabilities_of(self._model)
        self._input_rate = input_format_of(capabilities, options.input_format).rate
        self._placing = Placing(output_format_of(capabilities, options.output_format).rate)
        self._planned: ResponseId | None = None
        self._spoken: ResponseId | None = None
        self._has_acted = False
        self._was_heard = False
        self._origin = ResponseOrigin.TURN
        self._calls: dict[ToolCallId, str] = {}
        self._known_calls: dict[ToolCallId, None] = {}

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration, what was said before, and the beginning of the sound."""
        settings, options = self._settings, self._options
        messages = [
            wire.write("sessionStart", session_start(settings, options)),
            wire.write("promptStart", prompt_start(settings, options, self._prompt)),
        ]
        if instructions := instructions_of(options):
            messages += self._text(Role.SYSTEM, instructions, is_interactive=False)
        for role, text in history_of(options.history):
            messages += self._text(role, text, is_interactive=False)
        sound: dict[str, Any] = {
            "promptName": self._prompt,
            "contentName": self._sound,
            "type": "AUDIO",
            "interactive": True,
            "role": "USER",
            "audioInputConfiguration": audio_input(settings, options),
        }
        return [*messages, wire.write("contentStart", sound)]

    def goodbye(self) -> list[WireMessage]:
        """The polite end: the service frees at once what it holds."""
        prompt = {"promptName": self._prompt}
        return [
            wire.write("contentEnd", {**prompt, "contentName": self._sound}),
            wire.write("promptEnd", prompt),
            wire.write("sessionEnd", {}),
        ]

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        """See the table above."""
        match command:
            case SendAudio():
                seconds = len(command.pcm) / 2 / self._input_rate
                self._sent_seconds += seconds
                self._placing.passed(seconds)
                return [self._before_sound + base64.b64encode(command.pcm).decode() + '"}}}']
            case SendText():
                return self._write(command)
            case CreateResponse():
                return self._ask(command.instructions or NUDGE, ResponseOrigin.REQUESTED)
            case Say():
                return self._ask(SAY + command.text, ResponseOrigin.SAID)
            case Interrupt():
                if command.response_id == self._last:
                    self._silent = self._last
                return []
            case AnswerTool():
                return self._answer(command)
            case (
                StartUserTurn()
                | EndUserTurn()
                | ClearInput()
                | AnswerDelegation()
                | Update()
                | SeedHistory()
                | PrepareResponse()
                | CondenseHistory()
                | Disregard()
            ):
                return []
            case _:
                assert_never(command)

    def _write(self, command: SendText) -> list[WireMessage]:
        if command.respond:
            return self._ask(command.text, ResponseOrigin.REQUESTED)
        if command.role is Role.USER:
            return self._ask(command.text, ResponseOrigin.TURN)
        self._notes.append(command.text)
        return []

    def _ask(self, text: str, origin: ResponseOrigin) -> list[WireMessage]:
        """Words of ours that are answered, after the notes that waited."""
        if not self._model.takes_text or not text.strip():
            return []
        self._origin = origin
        text = "\n\n".join([*self._notes, text])
        self._notes.clear()
        return self._text(Role.USER, text, is_interactive=True)

    def _answer(self, command: AnswerTool) -> list[WireMessage]:
        tool_use_id = self._calls.pop(command.call_id, None)
        if tool_use_id is None:
            return []
        kind = "error" if command.is_error else "result"
        start = {
            "type": "TOOL",
            "interactive": False,
            "role": "TOOL",
            "toolResultInputConfiguration": {
                "toolUseId": tool_use_id,
                "type": "TEXT",
                "textInputConfiguration": {"mediaType": "text/plain"},
            },
        }
        content = msgspec.json.encode({kind: command.output}).decode()
        return self._block(start, "toolResult", [content])

    def _text(self, role: Role, text: str, *, is_interactive: bool) -> list[WireMessage]:
        start = {
            "type": "TEXT",
            "interactive": is_interactive,
            "role": _ROLES[role],
            "textInputConfiguration": {"mediaType": "text/plain"},
        }
        return self._block(start, "textInput", pieces(text))

    def _block(self, start: dict[str, Any], name: str, contents: list[str]) -> list[WireMessage]:
        """A whole block; nothing else may come between its messages."""
        self._blocks_sent += 1
        names = {"promptName": self._prompt, "contentName": f"block-{self._blocks_sent}"}
        return [
            wire.write("contentStart", {**names, **start}),
            *(wire.write(name, {**names, "content": one}) for one in contents),
            wire.write("contentEnd", names),
        ]

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        said = wire.read(message)
        event = said.event
        pcm = event.audio_output.pcm if event and event.audio_output else b""
        events: list[S2sEvent] = []
        if said.accepted is not None:
            events.append(LinkReady(model=self._settings.model))
        if said.exception is not None:
            events.append(_failed(said.exception))
        if event is None:
            return events
        if event.content_start is not None:
            events += self._opened(event.content_start)
        if event.text_output is not None:
            events += self._told(event.text_output)
        if event.audio_output is not None:
            events += self._sounded(event.audio_output.content_id, pcm)
        if event.tool_use is not None:
            events += self._called(event.tool_use)
        if event.content_end is not None:
            events += self._ended(event.content_end)
        if event.usage_event is not None:
            events += _usage(event.usage_event)
        if event.completion_end is not None:
            events += self._completed(event.completion_end)
        return events

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        """A response that was being made has failed.

        What was understood is final only if the end is ours: otherwise the next connection hears
        the whole of it, and writes it down once.
        """
        events = self._finish_words() if is_clean and code is None else []
        events += self._done(ResponseStatus.FAILED, "the connection ended")
        events.append(LinkClosed(is_clean=is_clean, reason=reason, code=code))
        return events

    def _opened(self, start: wire.ContentStart) -> list[S2sEvent]:
        block = _Block(
            kind=start.type,
            role=start.role,
            is_planned=start.is_planned,
            epoch=self._epoch,
            spoken_of=self._last,
        )
        self._blocks.pop(start.content_id, None)
        while len(self._blocks) >= MAX_BLOCKS:
            del self._blocks[next(iter(self._blocks))]
        self._blocks[start.content_id] = block
        # The words of the last answer come late, and do not end what is said now.
        is_late = block.kind == "TEXT" and not block.is_planned
        return [] if block.role == "USER" or is_late else self._finish_words()

    def _told(self, text: wire.TextOutput) -> list[S2sEvent]:
        """Words: of the person, planned, or spoken."""
        block = self._blocks.get(text.content_id)
        if block is None or block.kind != "TEXT":
            return []
        if block.role == "USER":
            return [] if block.is_planned else self._understood(text.content)
        if block.epoch != self._epoch:
            return []
        if text.is_interruption:
            return self._stopped()
        if not text.content:
            return []
        if block.is_planned:
            return self._plan(text.content)
        response = block.spoken_of
        is_told = response in (self._planned, self._silent)
        if response is None or response != self._last or is_told:
            return []
        delta = _apart(text.content) if response == self._spoken else text.content
        self._spoken = response
        return [ResponseText(response_id=response, delta=delta)]

    def _plan(self, text: str) -> list[S2sEvent]:
        """A sentence that is to be spoken."""
        events: list[S2sEvent] = []
        response = self._respond(events)
        if response != self._silent:
            # Blocks are sentences, and say nothing of the space between them.
            delta = _apart(text) if response == self._planned else text
            events.append(ResponseText(response_id=response, delta=delta, stage=TextStage.PLANNED))
        self._planned = response
        self._placing.plan(text)
        return events

    def _place(self, response: ResponseId, words: list[Placed]) -> list[S2sEvent]:
        if response == self._silent:
            return []
        return [
            ResponseText(
                response_id=response, delta=f"{word.text} ", start=word.start, end=word.end
            )
            for word in words
        ]

    def _understood(self, text: str) -> list[S2sEvent]:
        """More of what the person said."""
        if not text.strip():
            return []
        self._was_heard = True
        events: list[S2sEvent] = []
        is_apart = self._sent_seconds - self._understood_at > GAP_SECONDS
        if is_apart or len(self._words) > MAX_CHARACTERS:
            events += self._finish_words()
        self._understood_at = self._sent_seconds
        if self._utterance is None:
            self._utterances += 1
            self._utterance = UtteranceId(f"nova-{self._link}-u{self._utterances}")
        has_space = not self._words or self._words[-1].isspace() or text[0].isspace()
        self._words += text if has_space else f" {text}"
        words = self._words.strip()
        events.append(InputTranscript(utterance_id=self._utterance, text=words, is_final=False))
        return events

    def _finish_words(self) -> list[S2sEvent]:
        """What the person said is all there."""
        utterance, text = self._utterance, self._words.strip()
        self._utterance, self._words = None, ""
        if utterance is None:
            return []
        return [
            InputCommitted(utterance_id=utterance),
            InputTranscript(utterance_id=utterance, text=text, is_final=True),
        ]

    def _sounded(self, content_id: str, pcm: bytes) -> list[S2sEvent]:
        block = self._blocks.get(content_id)
        if block is None or block.kind != "AUDIO" or block.epoch != self._epoch or not pcm:
            return []
        events: list[S2sEvent] = []
        response = self._respond(events)
        if response != self._silent:
            events.append(ResponseAudio(response_id=response, pcm=pcm))
        return events + self._place(response, self._placing.hear(len(pcm) // 2))

    def _respond(self, events: list[S2sEvent]) -> ResponseId:
        """The response that is being made; it starts with the first thing that is made of it."""
        if self._response is None:
            events += self._finish_words()
            self._responses += 1
            self._response = self._last = ResponseId(f"nova-{self._link}-r{self._responses}")
            self._placing.begin()
            self._has_acted = True
            origin, self._origin = self._origin, ResponseOrigin.TURN
            events.append(ResponseStarted(response_id=self._response, origin=origin))
        return self._response

    def _done(self, status: ResponseStatus, reason: str = "") -> list[S2sEvent]:
        """Nothing more of the response that is open."""
        response, self._response = self._response, None
        if response is None:
            return []
        if response == self._silent and status is ResponseStatus.COMPLETED:
            status = ResponseStatus.CANCELLED
        return [ResponseDone(response_id=response, status=status, reason=reason)]

    def _stopped(self) -> list[S2sEvent]:
        """The person interrupted; what is still to come of the open blocks was made before."""
        self._epoch += 1
        if self._last is None:
            return []
        self._silent = self._last
        events: list[S2sEvent] = [Interrupted(response_id=self._last)]
        return events + self._done(ResponseStatus.CANCELLED, "interrupted")

    def _ended(self, end: wire.ContentEnd) -> list[S2sEvent]:
        block = self._blocks.pop(end.content_id, None)
        if block is None or block.role == "USER" or block.epoch != self._epoch:
            return []
        if end.stop_reason == "INTERRUPTED":
            return self._stopped()
        if block.kind != "AUDIO" or self._response is None:
            return []
        events = self._place(self._response, self._placing.end())
        if end.stop_reason == "END_TURN":
            events += self._done(ResponseStatus.COMPLETED)
        return events

    def _called(self, asked: wire.ToolUse) -> list[S2sEvent]:
        call_id = ToolCallId(f"nova-{self._link}-{asked.tool_use_id}")
        if call_id in self._known_calls:
            return []
        self._known_calls[call_id] = None
        self._calls[call_id] = asked.tool_use_id
        for calls in (self._known_calls, self._calls):
            if len(calls) > MAX_CALLS:
                del calls[next(iter(calls))]
        self._has_acted = True
        called = ToolCalled(
            call_id=call_id,
            name=asked.tool_name,
            arguments=asked.arguments,
            response_id=self._response,
        )
        return [*self._finish_words(), called]

    def _completed(self, end: wire.CompletionEnd) -> list[S2sEvent]:
        """A turn or all of them: whatever is open is over."""
        events = self._finish_words()
        is_cut = end.stop_reason == "INTERRUPTED"
        status = ResponseStatus.CANCELLED if is_cut else ResponseStatus.COMPLETED
        events += self._done(status, end.stop_reason.lower())
        if self._was_heard and not self._has_acted:
            self._origin = ResponseOrigin.TURN
            events.append(NoResponse(reason=end.stop_reason.lower()))
        self._has_acted = self._was_heard = False
        return events


def _apart(text: str) -> str:
    """`text` with a space before it."""
    return text if text[0].isspace() else f" {text}"


def _failed(failure: wire.Failure) -> ServiceFailed:
    category = category_of(failure.type, failure.message, failure.status)
    return ServiceFailed(
        category=category,
        message=f"{failure.type}: {failure.message}" if failure.message else failure.type,
        is_fatal=category is not ErrorCategory.BENIGN,
        provider_code=failure.type,
        retry_after_seconds=failure.retry_after,
    )


def _usage(counted: wire.UsageEvent) -> list[S2sEvent]:
    """What was counted since the last time; the service counts all along."""
    delta = counted.details.delta
    if delta is None or delta == wire.Counted():
        return []
    usage = Usage(
        input_text_tokens=delta.input.text_tokens,
        input_audio_tokens=delta.input.speech_tokens,
        output_text_tokens=delta.output.text_tokens,
        output_audio_tokens=delta.output.speech_tokens,
    )
    return [UsageReported(usage=usage)]
