"""Gemini Live's protocol, as a pure translation.

What a command becomes; *own turns* is `TurnOwner.FRAMEWORK`, where the service's detector is off:

| command | on the wire |
|---|---|
| `SendAudio` | `realtimeInput.audio`; with own turns, outside of one, kept for the next one |
| `StartUserTurn` | `activityStart`, which stops a response; nothing where the service finds turns |
| `EndUserTurn` | `activityEnd`; `audioStreamEnd` where the service finds turns |
| `ClearInput` | nothing; what was kept for the next turn is forgotten |
| `SendText` | `clientContent`; see below for models that take none in a call |
| `CreateResponse` | `realtimeInput.text` with the instructions, or a blank |
| `Say` | as `SendText`: a request to say exactly that, which the model mostly honours |
| `Interrupt` | `activityStart` with own turns; else nothing, but what follows is dropped |
| `AnswerTool` | `toolResponse` |
| `AnswerDelegation` | nothing: there are no delegations |
| `Update` | `contextUpdate` |
| `SeedHistory` | `clientContent`; tool calls are left out, as it takes words only |

A model that takes no content in mid-call gets words as `realtimeInput.text`, which it answers, so
what wants no answer is not sent to it.

What the service leaves out, and how it is made up for. Responses and utterances have no ids: they
are counted, with the number of the link in front. A response starts with the first thing the model
does, and is done at `generationComplete`, or at `turnComplete` where that did not come: after an
interruption. Between the two, words may still come, and an interruption may: the service holds the
turn until the sound would have been played. A transcript of the person comes in pieces without an
end: it is final once the model begins, or its turn is over, or words of another turn of ours come.
A turn in which the model did nothing gives `NoResponse`.
"""

import base64
import re
from typing import Any, assert_never

import msgspec

from beluga_voice.audio.formats import to_samples
from beluga_voice.events import (
    AnswerDelegation,
    AnswerTool,
    ClearInput,
    CondenseHistory,
    CreateResponse,
    Disregard,
    EndUserTurn,
    ErrorCategory,
    GoingAway,
    HistoryItem,
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    LinkClosed,
    LinkReady,
    Message,
    NoResponse,
    PrepareResponse,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    ResumptionChanged,
    Role,
    S2sCommand,
    S2sEvent,
    Say,
    SeedHistory,
    SendAudio,
    SendText,
    ServiceFailed,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    ToolCalled,
    ToolCallId,
    ToolCallWithdrawn,
    Update,
    Usage,
    UsageReported,
    UtteranceId,
)
from beluga_voice.interfaces import S2sOptions, TurnOwner, WireMessage, input_format_of
from beluga_voice.providers.s2s.gemini_live import _wire as wire
from beluga_voice.providers.s2s.gemini_live._capabilities import capabilities_of
from beluga_voice.providers.s2s.gemini_live._setup import (
    Settings,
    announces_history,
    check,
    setup_of,
    tools_of,
)

SAY = "Say exactly the following, word for word, and nothing else:\n"
KEPT_MS = 2000
"""Sound that is kept while no turn is open, for the one that opens next."""
MAX_CHARACTERS = 20_000
"""An utterance that is longer is taken for two."""
MAX_CALLS = 256
"""Tool calls that may wait for their results."""


class GeminiLiveCodec:
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
        self._has_own_turns = options.turn_owner is TurnOwner.FRAMEWORK
        capabilities = capabilities_of(self._model, resumption=settings.resumption)
        rate = input_format_of(capabilities, options.input_format).rate
        self._before_sound = '{"realtimeInput":{"audio":{"data":"'
        self._after_sound = f'","mimeType":"audio/pcm;rate={rate}"}}}}}}'
        # ── what the person does
        self._is_active = False
        self._has_sound = False
        self._replies: list[WireMessage] = []
        self._kept = bytearray()
        self._kept_limit = to_samples(KEPT_MS, rate) * 2
        self._utterances = 0
        self._utterance: UtteranceId | None = None
        self._words = ""
        self._is_next_turn = False
        # ── what the model does
        self._responses = 0
        self._response: ResponseId | None = None
        self._last: ResponseId | None = None
        self._late: ResponseId | None = None
        self._unwanted: ResponseId | None = None
        self._is_in_turn = False
        self._is_interrupted = False
        self._origin = ResponseOrigin.TURN
        self._calls: dict[ToolCallId, tuple[str, str]] = {}

    # ── commands ────────────────────────────────────────────────────────────────────────────

    def hello(self) -> list[WireMessage]:
        """The configuration."""
        return [wire.write(setup_of(self._settings, self._options))]

    def replies(self) -> list[WireMessage]:
        """What was said before, once the service is ready to be told."""
        replies, self._replies = self._replies, []
        return replies

    def encode(self, command: S2sCommand, /) -> list[WireMessage]:
        """See the table above."""
        match command:
            case SendAudio():
                return self._sound(command.pcm)
            case StartUserTurn():
                return self._begin() if self._has_own_turns else []
            case EndUserTurn():
                return self._end()
            case ClearInput():
                self._kept.clear()
                return []
            case SendText():
                origin = ResponseOrigin.REQUESTED if command.respond else None
                return self._write(command.text, command.role, origin)
            case Say():
                return self._write(SAY + command.text, Role.USER, ResponseOrigin.SAID)
            case CreateResponse():
                self._origin = ResponseOrigin.REQUESTED
                return [_realtime(text=command.instructions or " ")]
            case Interrupt():
                return self._interrupt(command.response_id)
            case AnswerTool():
                return self._answer(command)
            case AnswerDelegation() | PrepareResponse() | CondenseHistory() | Disregard():
                return []
            case Update():
                return self._update(command)
            case SeedHistory():
                return self._seed(command.items)
            case _:
                assert_never(command)

    def _sound(self, pcm: bytes) -> list[WireMessage]:
        if self._has_own_turns and not self._is_active:
            self._kept += pcm
            del self._kept[: max(len(self._kept) - self._kept_limit, 0)]
            return []
        self._has_sound = True
        return [self._before_sound + base64.b64encode(pcm).decode() + self._after_sound]

    def _begin(self) -> list[WireMessage]:
        """Open a turn of the person, with the sound that belongs to it already."""
        messages: list[WireMessage] = []
        if not self._is_active:
            self._is_active, self._has_sound = True, False
            self._is_next_turn = True
            messages.append(_realtime(activityStart={}))
        if self._kept:
            kept = bytes(self._kept)
            self._kept.clear()
            messages += self._sound(kept)
        return messages

    def _end(self) -> list[WireMessage]:
        if not self._has_own_turns:
            return [_realtime(audioStreamEnd=True)]
        if not self._is_active:
            return []
        self._is_active = False
        self._origin = ResponseOrigin.TURN
        return [_realtime(activityEnd={})]

    def _interrupt(self, response_id: ResponseId) -> list[WireMessage]:
        if response_id != self._last or not self._is_in_turn:
            return []
        self._unwanted = response_id
        if not self._has_own_turns or self._is_active:
            return []
        # Not `_begin`: whether the sound that is kept belongs to a turn is not known yet.
        self._is_active, self._has_sound = True, False
        return [_realtime(activityStart={})]

    def _write(self, text: str, role: Role, origin: ResponseOrigin | None) -> list[WireMessage]:
        """Words of ours; a response of that origin is wanted, or none."""
        if origin is None and not self._model.takes_content_in_mid_call:
            return []  # it would be answered
        messages: list[WireMessage] = []
        if origin is not None:
            self._origin = origin
            if self._is_active and not self._has_sound:
                # A turn that was opened only to stop a response would hold back this one.
                self._is_active = False
                messages.append(_realtime(activityEnd={}))
        if self._model.takes_content_in_mid_call:
            turns = [_turn(text, role)]
            messages.append(_content(turns, is_complete=origin is not None))
        else:
            messages.append(_realtime(text=text))
        return messages

    def _answer(self, command: AnswerTool) -> list[WireMessage]:
        if (call := self._calls.pop(command.call_id, None)) is None:
            return []
        self._late = None  # what the model says next is another response
        call_id, name = call
        kind = "error" if command.is_error else "output"
        answer: dict[str, Any] = {"id": call_id, "name": name, "response": {kind: command.output}}
        if not self._settings.do_tools_wait:
            answer["scheduling"] = "WHEN_IDLE"
        return [wire.write({"toolResponse": {"functionResponses": [answer]}})]

    def _update(self, command: Update) -> list[WireMessage]:
        update: dict[str, Any] = {}
        if command.instructions is not None:
            update["systemInstruction"] = {"parts": [{"text": command.instructions}]}
        if command.tools is not None:
            # In an object of their own, so that none at all can be told from no change.
            update["tools"] = {"tools": tools_of(self._settings, command.tools)}
        if not update or not self._model.takes_context_update:
            return []
        return [wire.write({"contextUpdate": update})]

    def _seed(self, items: tuple[HistoryItem, ...]) -> list[WireMessage]:
        turns = [_turn(one.text, one.role) for one in items if isinstance(one, Message)]
        if not turns or not self._model.takes_content_in_mid_call:
            return []
        return [_content(turns, is_complete=False)]

    def _first_content(self) -> list[WireMessage]:
        """What was said before the call, in the way it was announced."""
        options = self._options
        if not announces_history(self._settings, options):
            return [] if options.resume is not None else self._seed(options.history)
        turns = [_turn(one.text, one.role) for one in options.history if isinstance(one, Message)]
        return [_content(turns, is_complete=True)]

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def decode(self, message: WireMessage, /) -> list[S2sEvent]:
        """Read all of a message before anything changes, so that a broken one changes nothing."""
        said = wire.read(message)
        content = said.server_content
        sound = content.model_turn.sound() if content and content.model_turn else b""
        events: list[S2sEvent] = []
        if said.setup_complete is not None:
            ready = LinkReady(remote_id=said.setup_complete.session_id, model=self._settings.model)
            events.append(ready)
            self._replies += self._first_content()
        if (activity := said.voice_activity) is not None:
            if activity.voice_activity_type == "ACTIVITY_START":
                events.append(SpeechStarted())
            elif activity.voice_activity_type == "ACTIVITY_END":
                events.append(SpeechStopped())
        usage = _usage(said.usage_metadata)
        if said.tool_call is not None:
            events += self._called(said.tool_call)
        if content is not None:
            events += self._content(content, sound, usage)
        if said.tool_call_cancellation is not None:
            events += self._withdrawn(said.tool_call_cancellation)
        if usage is not None and not any(
            isinstance(one, ResponseDone) and one.usage is usage for one in events
        ):
            events.append(UsageReported(usage=usage))
        if (update := said.session_resumption_update) is not None:
            handle = update.new_handle if update.resumable and update.new_handle else None
            events.append(ResumptionChanged(handle=handle))
        if said.go_away is not None:
            events.append(GoingAway(time_left_seconds=_seconds(said.go_away.time_left)))
        return events

    def closed(self, *, is_clean: bool, code: int | None, reason: str) -> list[S2sEvent]:
        """A response that was being made has failed, and a service that gave a reason too."""
        events: list[S2sEvent] = self._done(ResponseStatus.FAILED, reason="the connection ended")
        category = category_of(code, reason)
        if category is not None:
            failed = ServiceFailed(
                category=category, message=reason, is_fatal=True, provider_code=str(code)
            )
            events.append(failed)
        events.append(LinkClosed(is_clean=is_clean, reason=reason, code=code))
        return events

    def _content(
        self, content: wire.ServerContent, sound: bytes, usage: Usage | None
    ) -> list[S2sEvent]:
        events: list[S2sEvent] = []
        if content.input_transcription is not None:
            events += self._understood(content.input_transcription)
        if content.interrupted:
            events += self._stopped()
        words = content.output_transcription.text if content.output_transcription else ""
        events += self._made(sound, words)
        if content.generation_complete:
            events += self._done(ResponseStatus.COMPLETED, usage=usage)
        if content.turn_complete:
            events += self._turn_over(content.turn_complete_reason, usage)
        return events

    def _understood(self, words: wire.Words) -> list[S2sEvent]:
        """More of what the person says."""
        events: list[S2sEvent] = []
        if words.text and (self._is_next_turn or len(self._words) > MAX_CHARACTERS):
            events += self._finish_words()  # those of a turn that got no answer
            self._is_next_turn = False
        if words.text and self._utterance is None:
            self._utterances += 1
            self._utterance = UtteranceId(f"gemini-{self._link}-u{self._utterances}")
        self._words += words.text
        if words.finished:
            return events + self._finish_words()
        if self._utterance is None or not words.text:
            return events
        text = self._words.strip()
        transcript = InputTranscript(utterance_id=self._utterance, text=text, is_final=False)
        return [*events, transcript]

    def _finish_words(self) -> list[S2sEvent]:
        """What the person said is all there, as far as anybody knows."""
        utterance, text = self._utterance, self._words.strip()
        self._utterance, self._words = None, ""
        if utterance is None:
            return []
        return [
            InputCommitted(utterance_id=utterance),
            InputTranscript(utterance_id=utterance, text=text, is_final=True),
        ]

    def _made(self, sound: bytes, words: str) -> list[S2sEvent]:
        """What the model made: sound and words."""
        if not sound and not words:
            return []
        if self._is_interrupted:
            return []  # made before it stopped
        events: list[S2sEvent] = []
        response = self._response
        if response is None and not sound:
            response = self._late  # words that came later than their sound
        if response is None:
            response = self._start(events)
        if response != self._unwanted:
            if sound:
                events.append(ResponseAudio(response_id=response, pcm=sound))
            if words:
                events.append(ResponseText(response_id=response, delta=words))
        return events

    def _start(self, events: list[S2sEvent]) -> ResponseId:
        """The model's first sound or word."""
        events += self._finish_words()
        self._responses += 1
        response = ResponseId(f"gemini-{self._link}-r{self._responses}")
        self._response = self._last = response
        self._is_in_turn = True
        origin, self._origin = self._origin, ResponseOrigin.TURN
        events.append(ResponseStarted(response_id=response, origin=origin))
        return response

    def _done(
        self, status: ResponseStatus, *, reason: str = "", usage: Usage | None = None
    ) -> list[S2sEvent]:
        """Nothing more of the response that is open."""
        response, self._response = self._response, None
        if response is None:
            return []
        self._late = response
        return [ResponseDone(response_id=response, status=status, reason=reason, usage=usage)]

    def _stopped(self) -> list[S2sEvent]:
        """The person interrupted; what is still to come of this turn was made before."""
        self._is_in_turn = self._is_interrupted = True
        if self._last is None:
            return []
        events: list[S2sEvent] = [Interrupted(response_id=self._last)]
        return events + self._done(ResponseStatus.CANCELLED, reason="interrupted")

    def _turn_over(self, reason: str, usage: Usage | None) -> list[S2sEvent]:
        events: list[S2sEvent] = []
        was_interrupted, was_in_turn = self._is_interrupted, self._is_in_turn
        if not was_interrupted:
            # Otherwise these are the words that interrupted, and go on.
            events += self._finish_words()
        if self._response is not None:
            is_cut = self._response == self._unwanted
            status = ResponseStatus.COMPLETED
            if is_cut:
                status = ResponseStatus.CANCELLED
            elif reason:
                status = ResponseStatus.INCOMPLETE
            events += self._done(status, reason=reason, usage=usage)
        elif not was_in_turn:
            self._origin = ResponseOrigin.TURN
            events.append(NoResponse(reason=reason))
        self._is_in_turn = self._is_interrupted = False
        self._unwanted = self._late = None
        return events

    def _called(self, asked: wire.ToolCall) -> list[S2sEvent]:
        events = self._finish_words()
        # The model did something: its turn is not an empty one.
        self._is_in_turn = True
        for call in asked.function_calls:
            call_id = ToolCallId(f"gemini-{self._link}-{call.id}")
            self._calls[call_id] = (call.id, call.name)
            if len(self._calls) > MAX_CALLS:
                del self._calls[next(iter(self._calls))]
            events.append(
                ToolCalled(
                    call_id=call_id,
                    name=call.name,
                    arguments=msgspec.json.encode(call.args).decode(),
                    response_id=self._response,
                )
            )
        return events

    def _withdrawn(self, cancelled: wire.ToolCallCancellation) -> list[S2sEvent]:
        call_ids = tuple(ToolCallId(f"gemini-{self._link}-{one}") for one in cancelled.ids)
        for call_id in call_ids:
            self._calls.pop(call_id, None)
        return [ToolCallWithdrawn(call_ids=call_ids)] if call_ids else []


# ── failures ────────────────────────────────────────────────────────────────────────────────

# By what the reason says, since one close code means many things. The first that fits counts.
_BY_TEXT = (
    (r"api.?key|unauthenticated|permission|credential|token expired", ErrorCategory.AUTH),
    (r"quota|resource.?exhausted|rate.?limit|too many", ErrorCategory.RATE_LIMIT),
    (r"deadline expired|session (has )?ended|session expired", ErrorCategory.SESSION_EXPIRED),
)
_BY_CODE = {
    1003: ErrorCategory.INVALID_REQUEST,
    1007: ErrorCategory.INVALID_REQUEST,
    1008: ErrorCategory.INVALID_REQUEST,
    1009: ErrorCategory.INVALID_REQUEST,
    1011: ErrorCategory.RETRYABLE,
    1012: ErrorCategory.RETRYABLE,
    1013: ErrorCategory.RETRYABLE,
}


def category_of(code: int | None, reason: str) -> ErrorCategory | None:
    """What kind of failure a close is; `None` for one that says nothing went wrong."""
    if code is None or code not in _BY_CODE:
        return None
    for pattern, category in _BY_TEXT:
        if re.search(pattern, reason, re.IGNORECASE):
            return category
    return _BY_CODE[code]


# ── parts of messages ───────────────────────────────────────────────────────────────────────


def _realtime(**fields: Any) -> WireMessage:
    return wire.write({"realtimeInput": fields})


def _content(turns: list[dict[str, Any]], *, is_complete: bool) -> WireMessage:
    return wire.write({"clientContent": {"turns": turns, "turnComplete": is_complete}})


def _turn(text: str, role: Role) -> dict[str, Any]:
    # The developer API has no system turns: a note to the model comes from the user.
    return {"role": "model" if role is Role.AGENT else "user", "parts": [{"text": text}]}


def _usage(counted: wire.UsageMetadata | None) -> Usage | None:
    if counted is None:
        return None
    prompt, response = counted.prompt_tokens_details, counted.response_tokens_details
    return Usage(
        input_text_tokens=_tokens(prompt, "TEXT"),
        input_audio_tokens=_tokens(prompt, "AUDIO"),
        output_text_tokens=_tokens(response, "TEXT"),
        output_audio_tokens=_tokens(response, "AUDIO"),
        cached_tokens=counted.cached_content_token_count,
    )


def _tokens(details: list[wire.TokenCount], modality: str) -> int | None:
    counts = [one.token_count for one in details if one.modality == modality]
    return sum(counts) if counts else None


def _seconds(duration: str) -> float | None:
    """A protobuf duration such as `"50s"`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)s", duration)
    return float(found[1]) if found else None
