"""The responses of a conversation: what becomes of each, and how its end is told.

How it works. This keeps the ledger (`playback`) and the history in step, and says in events and to
the service how each response ended. It does not know who has the floor: whoever does, asks whether
anything is still alive, and cuts what is.
"""

from collections.abc import Callable
from typing import NamedTuple

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.effects import Drop, Finish, Pause, Resume, SayAgain, Silence, Yield
from beluga_voice.engine.faithfulness import faithfulness
from beluga_voice.engine.history import History
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.playback import Playback, Response, heard_text, planned
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseStarted,
    AgentResponseText,
    Interrupt,
    Message,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseOutcome,
    ResponseStarted,
    ResponseStatus,
    ResponseText,
    Role,
    Say,
    SayId,
    SeedHistory,
    TextStage,
)

GAP_SECONDS = 0.5
"""A response that has been stuck for so long lets what waits behind it be heard."""

ECHO_SECONDS = 0.5
"""What sounds so soon may be in the echo that is heard now: a line holds sound ahead."""


class Measuring(NamedTuple):
    """A turn whose latency is told when its answer has become audible."""

    response: Response
    marks: Marks
    delivered: float


class Responses:
    """Everything between the start of a response and its last sound."""

    def __init__(
        self,
        outlet: Outlet,
        history: History,
        *,
        rate: int,
        progress_ms: float,
        can_add_history: bool = False,
        reports_playback: bool = False,
    ) -> None:
        self._outlet = outlet
        self._history = history
        self._playback = Playback(rate)
        self._progress_seconds = progress_ms / 1000
        self._foreign: set[ResponseId] = set()
        """Living responses of a link that is gone: the present one does not know them."""
        self._can_add = can_add_history
        self._reports_playback = reports_playback
        self._measuring: Measuring | None = None
        """The turn whose answer has left, and may not be audible yet."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing sounds, waits to sound, or is being made."""
        return self._playback.is_idle

    @property
    def is_making(self) -> bool:
        """Whether more may be made of what sounds, or waits to."""
        return any(not one.is_generated for one in self._playback.alive)

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

    @property
    def is_silent(self) -> bool:
        """Whether nothing of what is being made has any sound."""
        return not any(one.generated for one in self._playback.alive)

    def said_by(self, response: Response, now: float) -> str:
        """The words of it that were heard by now, and perhaps the next."""
        soon = round(ECHO_SECONDS * self._playback.rate)
        return heard_text(response, self._playback.heard(response, now) + soon)

    @property
    def sounding(self) -> Response | None:
        """The response that sounds."""
        return self._playback.sounding

    def is_said(self, response_id: ResponseId) -> bool:
        """Whether it speaks words of the application."""
        response = self._playback.get(response_id)
        return response is not None and response.origin is ResponseOrigin.SAID

    def said(self, say_id: SayId) -> Response | None:
        """The living response that carries out this `say`."""
        for response in self._playback.alive:
            if response.say_id == say_id:
                return response
        return None

    def start(self, event: ResponseStarted, say: Say | None = None) -> None:
        """A response begins, which may be one that was asked for by `say`."""
        if not self._is_known(event.response_id):
            response = self._playback.start(event.response_id, event.origin)
            if say is not None:
                response.say = say
            self._history.respond(event.response_id)
            self._outlet.emit(AgentResponseStarted(response_id=response.id, say_id=response.say_id))

    def changed_link(self) -> None:
        """There is another link: what still sounds is not of it."""
        self._foreign = {one.id for one in self._playback.alive}

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
        if response.generated == samples and len(self._playback.alive) > 1:
            self._watch_for_gap()
        if response.overdue is not None:
            self._expect(response, None)
        return True

    def sent(
        self,
        response_id: ResponseId,
        samples: int,
        until: float,
        now: float,
        *,
        is_audible: bool = True,
    ) -> Response | None:
        """Sound left for the person; gives the response if it was its first."""
        response = self._playback.get(response_id)
        if response is None:
            return None
        is_first = response.began is None and is_audible
        response.is_silent = response.began is None and not is_audible
        if is_first:
            response.began, response.lead = now, response.sent
        self._playback.sent(response, samples, until)
        self._watch(response, until)
        if len(self._playback.alive) > 1:
            self._watch_for_gap()
        return response if is_first else None

    def measure(self, response: Response, marks: Marks, now: float) -> None:
        """The first sound of an answer leaves now: tell where the time went, once that is known."""
        if self._measuring is not None:
            self._tell_measured(None)
        self._measuring = Measuring(response, marks, now)
        if not self._reports_playback:
            self._tell_measured(None)

    def reported(self, unheard: float, at: float, now: float) -> None:
        """The line tells how much of what it was sent had not come out at `at`, in seconds."""
        if not self._playback.reported(unheard, at, now) or self._measuring is None:
            return
        response = self._measuring.response
        audible = self._playback.heard(response, at) - response.lead
        if audible > 0:
            self._tell_measured(at - audible / self._playback.rate)

    def _tell_measured(self, audible: float | None) -> None:
        assert self._measuring is not None
        response, marks, delivered = self._measuring
        self._measuring = None
        if audible is not None:
            audible = max(audible, delivered)
        self._outlet.emit(marks.measured(response.id, delivered, audible))

    def _watch_for_gap(self) -> None:
        """Something waits behind what sounds: it is heard first if that gets stuck."""
        gap = self._playback.sounding_until + GAP_SECONDS
        self._outlet.deadlines.set(Due.GAP, gap)

    def fill_gap(self, now: float) -> None:
        """Let what waits be heard, if what should sound is stuck in its middle."""
        dry = self._playback.dry(now)
        if dry and any(one.sent < one.generated for one in self._playback.alive):
            for response in dry:
                self._playback.yields(response)
                self._outlet.do(Yield(response_id=response.id))

    def _watch(self, response: Response, until: float) -> None:
        """All that was made of it was sent: more has to come."""
        if not response.is_generated and response.sent == response.generated:
            self._expect(response, until + self._progress_seconds)

    def _expect(self, response: Response, by: float | None) -> None:
        """More of it has to come by then."""
        response.overdue = by
        due = min((one.overdue for one in self._playback.alive if one.overdue), default=None)
        if due is None:
            self._outlet.deadlines.clear(Due.PROGRESS)
        else:
            self._outlet.deadlines.set(Due.PROGRESS, due)

    def put_off(self, now: float, seconds: float) -> None:
        """What is overdue has a reason to be late."""
        for response in self._playback.alive:
            if response.overdue is not None and response.overdue <= now:
                self._expect(response, now + seconds)

    def done(self, event: ResponseDone, now: float) -> Response | None:
        """Nothing more of a response will be made; gives it, if it was still being made.

        One without any sound is settled at once. One that was cancelled is left to be cut.
        """
        response = self._playback.get(event.response_id)
        if response is None or response.is_generated:
            return None
        response.status = event.status
        response.asked = event.asked_text
        self._expect(response, None)
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

    def finish(self, now: float) -> None:
        """Nothing more will be made of what sounds; what there is of it is heard to its end."""
        sounding = self._playback.sounding
        if sounding is not None:
            sounding.status = ResponseStatus.INCOMPLETE
            self._outlet.do(Finish(response_id=sounding.id))
            self.await_end(now)

    def abandon(self, now: float) -> None:
        """Await no more of a response that is overdue: what was sent of it is all there is."""
        for response in self._playback.alive:
            if response.overdue is not None and response.overdue <= now:
                self._abandon(response)

    def _abandon(self, response: Response) -> None:
        self._expect(response, None)
        response.status = ResponseStatus.FAILED
        response.is_abandoned = True
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

    def ended_silent(self, now: float) -> Response | None:
        """A response that is over by now, and of which nothing could be heard."""
        for response in self._playback.alive:
            end = self._playback.end_of(response)
            if end is not None and end <= now and response.was_silent:
                self._outlet.fail(ErrorCode.PROVIDER_ERROR, "a response was nothing but silence")
                return response
        return None

    def await_end(self, now: float) -> bool:
        """Settle what has sounded to its end; whether anything was settled.

        For the rest, the deadline is set at which to look again.
        """
        settled = False
        ends: list[float] = []
        for response in self._playback.alive:
            end = self._playback.end_of(response)
            if end is not None and end <= now:
                outcome = _outcome(response)
                is_foreign = response.id in self._foreign
                heard, text = self._settle(response, outcome, now)
                is_told = is_foreign or response.is_abandoned
                if outcome is ResponseOutcome.FAILED and not is_told:
                    # It was not heard whole, and whoever made it does not know.
                    self._outlet.send(
                        Interrupt(response_id=response.id, heard_samples=heard, heard_text=text)
                    )
                settled = True
            elif end is not None:
                ends.append(end)
        if ends:
            self._outlet.deadlines.set(Due.END_OF_RESPONSE, min(ends))
        return settled

    def cut(
        self, now: float, *, spares: Callable[[Say], bool] = lambda _: False
    ) -> tuple[ResponseId | None, list[Say]]:
        """Stop every response; gives the one that sounded, and words that are to be said again.

        The person hears nothing of them from here on, and service and history are told what was
        heard until here. Of the words of the application that have not begun to sound, though some
        may wait on the line, `spares` tells which are not given up.
        """
        alive = self._playback.alive
        if not alive:
            return None, []
        sounding = next((response.id for response in alive if response.sent), None)
        again: list[Say] = []
        self._outlet.do(Silence())
        for response in alive:
            say = response.say
            is_unheard = self._playback.heard(response, now) == 0
            if say is not None and is_unheard and spares(say):
                again.append(say)
                if say.say_id is not None:
                    self._outlet.do(SayAgain(say_id=say.say_id))
            self._cut_one(response, now)
        self._playback.cleared(now)
        for due in (Due.END_OF_RESPONSE, Due.ANSWER, Due.PROGRESS):
            self._outlet.deadlines.clear(due)
        return sounding, again

    def unsaid(
        self, response_id: ResponseId, *, is_wanted: Callable[[Say], bool] = lambda _: True
    ) -> Say | None:
        """The words of the application that a response has failed to speak, if there was no sound.

        If `is_wanted`, they are to be said again: what becomes of the response is not told of them.
        """
        response = self._playback.get(response_id)
        if response is None or response.generated or response.say is None:
            return None
        if not is_wanted(response.say):
            return None
        say, response.say = response.say, None
        if say.say_id is not None:
            self._outlet.do(SayAgain(say_id=say.say_id))
        return say

    def unheard_sayings(self) -> list[Say]:
        """The words of the application that are being made and have not begun to sound.

        They will be said again, whatever becomes of their responses.
        """
        found = [self.unsaid(one.id) for one in self._playback.alive]
        return [say for say in found if say is not None]

    def _cut_one(self, response: Response, now: float) -> None:
        is_foreign = response.id in self._foreign
        heard, text = self._settle(response, ResponseOutcome.CUT, now)
        if not is_foreign:
            self._outlet.send(
                Interrupt(response_id=response.id, heard_samples=heard, heard_text=text)
            )

    def drop(self, response: Response, now: float) -> None:
        """Stop one response; what is behind it is heard at once."""
        was_sounding = response.sent > 0
        if was_sounding:
            self._outlet.do(Pause(samples=self._playback.hold(now)))
        self._cut_one(response, now)
        self._outlet.do(Drop(response_id=response.id))
        if was_sounding:
            self.resume(now)

    def hold(self, now: float) -> ResponseId | None:
        """Let what sounds pause, with all that is behind it; gives the one that sounded."""
        sounding = self._playback.sounding
        if sounding is None:
            return None
        self._outlet.do(Pause(samples=self._playback.hold(now)))
        for response in self._playback.alive:
            response.overdue = None
        for due in (Due.END_OF_RESPONSE, Due.ANSWER, Due.PROGRESS):
            self._outlet.deadlines.clear(due)
        return sounding.id

    def resume(self, now: float) -> None:
        """Go on with the word that was due."""
        self._playback.resume()
        self._outlet.do(Resume())
        if (sounding := self._playback.sounding) is not None:
            self._watch(sounding, now)

    def _is_known(self, response_id: ResponseId) -> bool:
        playback = self._playback
        return playback.get(response_id) is not None or playback.is_settled(response_id)

    def _settle(self, response: Response, outcome: ResponseOutcome, now: float) -> tuple[int, str]:
        """Close its account; gives the samples and the words that were heard."""
        settled = self._playback.settle(response, outcome, now)
        is_cut = outcome is not ResponseOutcome.HEARD
        asked = response.asked
        self._history.settle(response.id, settled.heard_text, is_cut=is_cut)
        if self._measuring is not None and self._measuring.response is response:
            self._tell_measured(None)
        if response.id in self._foreign:
            self._foreign.discard(response.id)
            if settled.heard_text and self._can_add:
                said = Message(role=Role.AGENT, text=settled.heard_text, is_cut=is_cut)
                self._outlet.send(SeedHistory(items=(said,)))
        self._outlet.emit(
            AgentResponseEnded(
                response_id=response.id,
                outcome=outcome,
                text=response.text,
                heard_text=settled.heard_text,
                generated_ms=self._playback.milliseconds(response.generated),
                heard_ms=self._playback.milliseconds(settled.heard),
                is_estimated=is_cut and bool(settled.heard_text) and not response.has_times,
                asked_text=asked,
                faithfulness=None if asked is None else faithfulness(asked, response.text),
                ledger=self._playback.ledger(settled),
            )
        )
        return settled.heard, settled.heard_text


def _outcome(response: Response) -> ResponseOutcome:
    """What a response that sounded to its end was."""
    if response.has_failed:
        return ResponseOutcome.FAILED
    return ResponseOutcome.HEARD
