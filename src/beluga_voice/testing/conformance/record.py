"""What came over a speech-to-speech link, held against the promises of the vocabulary."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from beluga_voice.audio.formats import AudioFormat
from beluga_voice.events import (
    InputCommitted,
    InputTranscript,
    Interrupt,
    Interrupted,
    LinkClosed,
    ResponseAudio,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    S2sEvent,
    TextStage,
    ToolCalled,
    UtteranceId,
)
from beluga_voice.testing.conformance.links import LinkRecord
from beluga_voice.testing.conformance.report import Rule
from beluga_voice.testing.speech import words_in


@dataclass(slots=True)
class Heard:
    """One response, as far as it came."""

    id: ResponseId
    origin: ResponseOrigin
    pcm: bytearray = field(default_factory=bytearray)
    texts: list[ResponseText] = field(default_factory=list[ResponseText])
    is_interrupted: bool = False
    status: ResponseStatus | None = None
    """How it ended; `None` until it does."""

    @property
    def words(self) -> str:
        """The test words in its sound."""
        return " ".join(words_in(bytes(self.pcm)))

    def text(self, stage: TextStage) -> str | None:
        """Its deltas of one stage, one after the other; `None` if there are none."""
        deltas = [one.delta for one in self.texts if one.stage is stage]
        return "".join(deltas) if deltas else None


class Names:
    """The ids that the links of one provider have used."""

    def __init__(self) -> None:
        self._owners: dict[tuple[str, str], int] = {}
        self.links = 0

    def use(self, kind: str, name: str, *, link: int, is_new: bool) -> str | None:
        """Note an id; says what is wrong with it, if anything is."""
        first = self._owners.setdefault((kind, name), link)
        if first != link:
            return f"{kind} {name!r} on link {link}, which link {first} has used"
        return None if not is_new else self._first_time(kind, name)

    def _first_time(self, kind: str, name: str) -> str | None:
        began = (f"{kind} began", name)
        if began in self._owners:
            return f"{kind} {name!r} twice on one link"
        self._owners[began] = 0
        return None


class S2sRecord(LinkRecord[S2sEvent]):
    """The events of one speech-to-speech link, and what they tell."""

    def __init__(self, output: AudioFormat, names: Names | None = None) -> None:
        super().__init__()
        self.output = output
        self._names = names or Names()
        self._names.links += 1
        self._link = self._names.links
        self.responses: dict[ResponseId, Heard] = {}
        self.finals: dict[UtteranceId, str] = {}

    def sent(self, command: object) -> None:
        """Note what was ordered, just before it is."""
        if isinstance(command, Interrupt):
            self._interrupt([command.response_id])

    def _interrupt(self, ids: Iterable[ResponseId]) -> None:
        for response_id in ids:
            if (heard := self.responses.get(response_id)) is not None:
                heard.is_interrupted = True

    # ── events ──────────────────────────────────────────────────────────────────────────────

    def look(self, event: S2sEvent) -> None:
        match event:
            case ResponseStarted():
                self._name("response", event.response_id, is_new=True)
                self.responses.setdefault(event.response_id, Heard(event.response_id, event.origin))
            case ResponseAudio():
                self._audio(event)
            case ResponseText():
                if (heard := self._started(event, event.response_id)) is not None:
                    heard.texts.append(event)
            case ToolCalled():
                self._name("tool call", event.call_id, is_new=True)
                if event.response_id is not None:
                    self._started(event, event.response_id)
            case ResponseDone():
                self._done(event)
            case Interrupted():
                open_ones = [one.id for one in self.responses.values() if one.status is None]
                self._interrupt(open_ones if event.response_id is None else [event.response_id])
            case InputTranscript():
                self._transcript(event)
            case InputCommitted():
                self._name("utterance", event.utterance_id)
            case LinkClosed():
                self._closed()
            case _:
                pass

    def _name(self, kind: str, name: str, *, is_new: bool = False) -> None:
        problem = self._names.use(kind, name, link=self._link, is_new=is_new)
        if problem is not None:
            self.fail(Rule.IDS_ARE_UNIQUE, problem)

    def _started(self, event: S2sEvent, response_id: ResponseId) -> Heard | None:
        heard = self.responses.get(response_id)
        if heard is None:
            seen = f"{type(event).__name__} of {response_id!r}, which has not started"
            self.fail(Rule.RESPONSE_STARTED_FIRST, seen)
        return heard

    def _audio(self, event: ResponseAudio) -> None:
        heard = self._started(event, event.response_id)
        if len(event.pcm) % self.output.block_bytes:
            seen = f"{len(event.pcm)} bytes, at {self.output.block_bytes} to a sample"
            self.fail(Rule.WHOLE_SAMPLES, seen)
        if heard is None:
            return
        if heard.is_interrupted:
            self.fail(Rule.SILENT_WHEN_INTERRUPTED, f"ResponseAudio of {heard.id!r}")
        if heard.status is not None:
            self.fail(Rule.SILENT_WHEN_DONE, f"ResponseAudio of {heard.id!r}")
        heard.pcm += event.pcm

    def _done(self, event: ResponseDone) -> None:
        heard = self._started(event, event.response_id)
        if heard is None:
            return
        if heard.status is not None:
            self.fail(Rule.RESPONSE_DONE_ONCE, f"a second ResponseDone of {heard.id!r}")
        heard.status = event.status

    def _transcript(self, event: InputTranscript) -> None:
        self._name("utterance", event.utterance_id)
        if event.utterance_id in self.finals:
            kind = "final" if event.is_final else "interim"
            seen = f"a transcript of {event.utterance_id!r} after its final one, {kind} itself"
            self.fail(Rule.FINAL_TRANSCRIPT_LAST, seen)
        if event.is_final:
            self.finals[event.utterance_id] = event.text

    def _closed(self) -> None:
        for heard in self.responses.values():
            if heard.status is None:
                self.fail(
                    Rule.RESPONSE_DONE_ONCE,
                    f"LinkClosed, and no ResponseDone of {heard.id!r} before it",
                )


def folded(events: Iterable[S2sEvent]) -> list[str]:
    """Events as lines that do not depend on how sound and words were cut into pieces."""
    lines: list[str] = []
    sounding: dict[ResponseId, bytearray] = {}
    said: dict[ResponseId, list[str]] = {}
    for event in events:
        match event:
            case ResponseStarted():
                lines.append(f"started {event.origin}")
            case ResponseAudio():
                sounding.setdefault(event.response_id, bytearray()).extend(event.pcm)
            case ResponseText():
                said.setdefault(event.response_id, []).append(event.delta)
            case ResponseDone():
                words = " ".join(words_in(bytes(sounding.get(event.response_id, b""))))
                text = "".join(said.get(event.response_id, []))
                lines.append(f"{event.status} after {words!r}, {text!r}")
            case InputTranscript() if event.is_final:
                lines.append(f"said {event.text!r}")
            case ToolCalled():
                lines.append(f"called {event.name}({event.arguments})")
            case LinkClosed():
                lines.append("closed" if event.is_clean else "lost")
            case _:
                pass
    return lines
