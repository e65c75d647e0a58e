"""Which phase of a link begins with a command or an event."""

from beluga_voice.events import (
    CancelSpeech,
    CreateResponse,
    DropUtterance,
    EndUserTurn,
    FinishUtterance,
    InputCommitted,
    Interrupt,
    Interrupted,
    ResponseAudio,
    ResponseDone,
    Say,
    SendAudio,
    SendText,
    SpeakText,
    SpeechAudio,
    SpeechDone,
    SpeechStarted,
    SpeechStopped,
    StartUserTurn,
    ToolCalled,
    Transcript,
)
from beluga_voice.testing.faults.fault import Kind
from beluga_voice.testing.faults.when import Phase


class Phases:
    """One link's, after it was opened."""

    def __init__(self, kind: Kind) -> None:
        self._hears_by_sound = kind is Kind.STT
        self._is_hearing = False
        self._answers: set[str] = set()
        """Those that sound, or are asked for."""

    def begun_by(self, item: object) -> Phase | None:
        """The phase that begins with what is sent or told, if one does."""
        match item:
            case SendAudio():
                return self._hearing() if self._hears_by_sound else None
            case StartUserTurn() | SpeechStarted():
                return self._hearing()
            case EndUserTurn() | FinishUtterance():
                self._is_hearing = False
                return Phase.AWAITED
            case SpeechStopped() | InputCommitted():
                was_hearing, self._is_hearing = self._is_hearing, False
                return Phase.AWAITED if was_hearing else None
            case SendText(respond=True) | CreateResponse() | Say():
                return Phase.AWAITED
            case SpeakText():
                return self._first(f"asked {item.context_id}", Phase.AWAITED)
            case ResponseAudio():
                return self._first(item.response_id, Phase.ANSWERING)
            case SpeechAudio():
                return self._first(item.context_id, Phase.ANSWERING)
            case ToolCalled():
                return Phase.TOOL
            case Interrupt() | Interrupted() | CancelSpeech():
                return Phase.INTERRUPTED
            case ResponseDone() | SpeechDone() | Transcript(is_final=True):
                return Phase.ANSWERED
            case DropUtterance():
                self._is_hearing = False
                return None
            case _:
                return None

    def _hearing(self) -> Phase | None:
        was_hearing, self._is_hearing = self._is_hearing, True
        return None if was_hearing else Phase.HEARING

    def _first(self, answer: str, phase: Phase) -> Phase | None:
        if answer in self._answers:
            return None
        self._answers.add(answer)
        return phase
