"""The responses of a conversation: what becomes of each, and how its end is told.

How it works. This keeps the ledger (`playback`) and the history in step, and says in events and to
the service how each response ended. It does not know who has the floor: whoever does, asks whether
anything is still alive, and cuts what is.
"""

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.effects import Finish, Silence
from beluga_voice.engine.faithfulness import faithfulness
from beluga_voice.engine.history import History
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.playback import Playback, Response, heard_text, planned
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    Interrupt,
    ResponseDone,
    ResponseId,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    TextStage,
)


class Responses:
    """Everything between the start of a response and its last sound."""

    def __init__(self, outlet: Outlet, history: History, *, rate: int, progress_ms: float) -> None:
        self._outlet = outlet
        self._history = history
        self._playback = Playback(rate)
        self._progress_seconds = progress_ms / 1000
        self._stalled: ResponseId | None = None
        """The response whose next sound is awaited."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing sounds, waits to sound, or is being made."""
        return self._playback.is_idle

    @property
    def sounds_until(self) -> float:
        """When the last sample that was sent has sounded, in seconds."""
        return self._playback.sounding_until

    def is_alive(self, response_id: ResponseId) -> bool:
        """Whether that response has begun and is not over."""
        return self._playback.get(response_id) is not None

    @property
    def may_have_ended(self) -> bool:
        """Whether `await_end` may find one: not while the only response is in the middle."""
        return not self._playback.is_midway

    def start(self, event: ResponseStarted) -> None:
        """A response begins."""
        if not self._is_known(event.response_id):
            self._playback.start(event.response_id, event.origin)
            self._history.respond(event.response_id)
            self._outlet.emit(AgentResponseStarted(response_id=event.response_id))

    def refuse(self, event: ResponseStarted) -> None:
        """A response begins that nobody wants any more."""
        if not self._is_known(event.response_id):
            self._playback.refuse(event.response_id)
            self._outlet.send(
                Interrupt(response_id=event.response_id, heard_samples=0, heard_text="")
            )

    def text(self, event: ResponseText) -> bool:
        """More words of a response; whether they are wanted."""
        response = self._playback.get(event.response_id)
        if response is None:
            return False
        planned(response, event)
        if event.stage is TextStage.PLANNED or not response.planned:
            text = AgentResponseText(response_id=event.response_id, delta=event.delta)
            self._outlet.emit(text)
        return True

    def generated(self, response_id: ResponseId, samples: int) -> bool:
        """Sound of a response came; whether it should be played."""
        response = self._playback.get(response_id)
        if response is None or response.status is not None:
            return False
        if not response.generated:
            self._playback.sounds(response)
        response.generated += samples
        if self._stalled == response_id:
            self._outlet.deadlines.clear(Due.PROGRESS)
        return True

    def sent(self, response_id: ResponseId, samples: int, until: float) -> Response | None:
        """Sound left for the person; gives the response if it was its first."""
        response = self._playback.get(response_id)
        if response is None:
            return None
        is_first = response.sent == 0
        self._playback.sent(response, samples, until)
        if not response.is_generated and response.sent == response.generated:
            self._stalled = response_id
            self._outlet.deadlines.set(Due.PROGRESS, until + self._progress_seconds)
        return response if is_first else None

    def done(self, event: ResponseDone, now: float) -> Response | None:
        """Nothing more of a response will be made; gives it, if it was still being made.

        One without any sound is settled at once. One that was cancelled is left to be cut.
        """
        response = self._playback.get(event.response_id)
        if response is None or response.is_generated:
            return None
        response.status = event.status
        response.asked = event.asked_text
        if self._stalled == event.response_id:
            self._outlet.deadlines.clear(Due.PROGRESS)
        if event.status is ResponseStatus.FAILED:
            self._outlet.fail(ErrorCode.PROVIDER_ERROR, event.reason or "a response failed")
        if event.status is not ResponseStatus.CANCELLED:
            if response.generated == 0:
                if response.has_failed and event.status is not ResponseStatus.FAILED:
                    message = "a response had words, and no sound"
                    self._outlet.fail(ErrorCode.PROVIDER_ERROR, message)
                self._settle(response, _outcome(response), now)
            else:
                self._outlet.do(Finish(response_id=response.id))
        return response

    def abandon(self) -> None:
        """Await no more of the response that stalled: what was sent of it is all there is."""
        response = None if self._stalled is None else self._playback.get(self._stalled)
        if response is None or response.is_generated:
            return
        response.status = ResponseStatus.FAILED
        self._outlet.do(Finish(response_id=response.id))
        self._outlet.send(
            Interrupt(
                response_id=response.id,
                heard_samples=response.sent,
                heard_text=heard_text(response, response.sent),
            )
        )

    def unfinished(self) -> list[ResponseId]:
        """The responses that are still being made."""
        return [one.id for one in self._playback.alive if not one.is_generated]

    def await_end(self, now: float) -> bool:
        """Settle what has sounded to its end; whether anything was settled.

        For the rest, the deadline is set at which to look again.
        """
        settled = False
        ends: list[float] = []
        for response in self._playback.alive:
            end = self._playback.end_of(response)
            if end is not None and end <= now:
                self._settle(response, _outcome(response), now)
                settled = True
            elif end is not None:
                ends.append(end)
        if ends:
            self._outlet.deadlines.set(Due.END_OF_RESPONSE, min(ends))
        return settled

    def cut(self, now: float) -> ResponseId | None:
        """Stop every response; gives the one that sounded.

        The person hears nothing of them from here on, and service and history are told what was
        heard until here.
        """
        alive = self._playback.alive
        if not alive:
            return None
        sounding = next((response.id for response in alive if response.sent), None)
        self._outlet.do(Silence())
        for response in alive:
            heard, text = self._settle(response, ResponseOutcome.CUT, now)
            self._outlet.send(
                Interrupt(response_id=response.id, heard_samples=heard, heard_text=text)
            )
        self._playback.cleared(now)
        for due in (Due.END_OF_RESPONSE, Due.ANSWER, Due.PROGRESS):
            self._outlet.deadlines.clear(due)
        return sounding

    def _is_known(self, response_id: ResponseId) -> bool:
        playback = self._playback
        return playback.get(response_id) is not None or playback.is_settled(response_id)

    def _settle(self, response: Response, outcome: ResponseOutcome, now: float) -> tuple[int, str]:
        """Close its account; gives the samples and the words that were heard."""
        settled = self._playback.settle(response, outcome, now)
        is_cut = outcome is not ResponseOutcome.HEARD
        asked = response.asked
        self._history.settle(response.id, settled.heard_text, is_cut=is_cut)
        self._outlet.emit(
            AgentResponseEnded(
                response_id=response.id,
                outcome=outcome,
                text=response.text,
                heard_text=settled.heard_text,
                generated_ms=self._playback.milliseconds(response.generated),
                heard_ms=self._playback.milliseconds(settled.heard),
                asked_text=asked,
                faithfulness=None if asked is None else faithfulness(asked, response.text),
            )
        )
        return settled.heard, settled.heard_text


def _outcome(response: Response) -> ResponseOutcome:
    """What a response that sounded to its end was."""
    if response.has_failed:
        return ResponseOutcome.FAILED
    return ResponseOutcome.HEARD
