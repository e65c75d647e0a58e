"""Who speaks when: what everything that happens in a conversation means for the floor.

How it works. Voice, silence, keys, typed words and the ends of responses are inputs of the table
in `turns`. What a change of the floor means is done by the part that it concerns: the person's turn
by `Listening`, voices over the agent by `Overlap`. Here they are put together with the rest: words
that are written or given, the agent's responses, and the wait for them. All parts share the floor
(`TurnTaking`) and what is known of the present `Utterance`.
"""

from collections.abc import Callable

from beluga_voice.engine.deadlines import DeadAirSettings, Due
from beluga_voice.engine.deafness import Deafness
from beluga_voice.engine.effects import Forget, Forward, Replay
from beluga_voice.engine.endpointing import Endpointing
from beluga_voice.engine.hearing import hearing
from beluga_voice.engine.history import History
from beluga_voice.engine.interruptions import InterruptionSettings, Judge
from beluga_voice.engine.keys import Keys
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.listening import Listening
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.overlap import Overlap
from beluga_voice.engine.playback import Response
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.sayings import Sayings
from beluga_voice.engine.tools import Tools
from beluga_voice.engine.turn_taking import TurnTaking
from beluga_voice.engine.turns import Floor, Turn, TurnSettings
from beluga_voice.engine.utterance import Utterance
from beluga_voice.engine.waiting import Waiting
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    ClearInput,
    CreateResponse,
    EndUserTurn,
    Occasion,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    Rung,
    Say,
    SayId,
    SendText,
    StartUserTurn,
    Transcription,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner


class Exchange:
    """The floor of one conversation."""

    def __init__(
        self,
        outlet: Outlet,
        responses: Responses,
        history: History,
        tools: Tools,
        *,
        owner: TurnOwner,
        capabilities: Capabilities,
        turn_settings: TurnSettings,
        interruptions: InterruptionSettings,
        dead_air: DeadAirSettings,
        turn_silence_ms: float | None,
        provider: str,
        can_transfer: bool = False,
        on_change: Callable[[], None],
    ) -> None:
        self._outlet = outlet
        self._deadlines = outlet.deadlines
        self._responses = responses
        self._history = history
        self._tools = tools
        self._provider = provider
        self._can_nudge = capabilities.can_request_response
        self._transcribes_first = capabilities.transcribes_first
        self._written = 0
        self._hearing = hearing(owner, capabilities, turn_silence_ms=turn_silence_ms)
        self._utterance = Utterance()
        self._end = Endpointing(turn_settings)
        self.sayings = Sayings(outlet)
        self.keys = Keys(outlet, turn_settings, text=self.text)
        self.deafness = Deafness(outlet, dead_air, has_speech_events=not self._hearing.has_ears)
        self.waiting = Waiting(
            outlet,
            dead_air,
            can_nudge=self._can_nudge,
            can_swap=capabilities.has_alternatives,
            can_transfer=can_transfer,
            provider=provider,
        )
        self._turns = TurnTaking(
            outlet, self.waiting, self._hearing, self._utterance, on_change=on_change
        )
        can_hold = self._hearing.is_ours and capabilities.transcribes_first
        self.overlap = Overlap(
            outlet,
            self._turns,
            self._utterance,
            self._hearing,
            Judge(interruptions, responses, tools, can_hold=can_hold),
            responses,
            self.sayings,
            self._end,
            self,
            has_interims=capabilities.has_interim_transcripts,
        )
        self.listening = Listening(
            outlet,
            self._turns,
            self._utterance,
            self._hearing,
            self.overlap,
            self.waiting,
            history,
            self.deafness,
            self._end,
            turn_settings,
            can_prepare=capabilities.can_prepare,
            say_what_waited=self.say_what_waited,
        )

    @property
    def floor(self) -> Floor:
        """Who has it."""
        return self._turns.floor

    @property
    def marks(self) -> Marks | None:
        """The latency of the present turn, until its first sound."""
        return self._utterance.marks

    @property
    def owes_answer(self) -> bool:
        """Whether what was said is being answered, or understood."""
        return self._turns.awaits_words or not self._responses.is_idle

    # ── silence, and stopping ───────────────────────────────────────────────────────────────

    def was_not_heard(self, now: float) -> None:
        """The person has spoken, and the service has told nothing at all since they were done."""
        if not self._outlet.is_up:
            return  # and the next connection is told what was said
        is_waiting = self.floor is Floor.WAITING
        if self._tools.is_busy or (is_waiting and self.deafness.may_think):
            self.deafness.later(now)
            return
        self.deafness.missed(is_owed=is_waiting)
        if self._turns.is_persons:
            self.listening.conclude(now)
        if self.floor is Floor.QUIET:
            self._turns.ask(now)
        if self.floor is Floor.WAITING:
            is_doubtful = self.deafness.is_doubtful
            is_given_up = self.waiting.give_up_deaf(now, is_quiet=is_doubtful)
            if is_doubtful and not is_given_up:
                self.deafness.was_no_voice()  # for all that anybody will ever know
                self._turns.take(Turn.GONE)
                self.waiting.end()

    def talk_key(self, is_down: bool, now: float) -> None:
        """Push-to-talk: the key says who speaks, and the voice detector no longer does."""
        sounds = self.floor in (Floor.AGENT, Floor.OVERLAP) or self.overlap.is_holding
        if is_down and sounds:
            self.stop(now)
        self.listening.talk_key(is_down, now)

    def stop(self, now: float) -> None:
        """Whatever is being said, or about to be, is not wanted any more."""
        is_unanswered = self.floor is Floor.WAITING and self._responses.is_idle
        self._turns.wants_words = self._turns.awaits_words or self._turns.wants_words
        if is_unanswered or self._turns.awaits_words:
            self._outlet.send(StartUserTurn())
            self._outlet.send(ClearInput())
        was_overlap = self.floor is Floor.OVERLAP
        was_held = self.overlap.is_holding
        self.overlap.cut(now)
        self.overlap.leave_unanswered()
        self._outlet.unask()
        self._turns.awaits_words = self._turns.is_owed = False
        self._turns.take(Turn.GONE)
        self.waiting.end()
        if was_overlap:
            self._turns.begin_turn()
        elif was_held and self.floor is Floor.PAUSED:
            self.wait_for_more(now)
        elif self.floor is Floor.QUIET:
            self._turns.tell_ended()
            self.say_what_waited(now)
        self._utterance.is_answered()

    def clear_floor(self, now: float) -> None:
        """Whatever is in the way, the last words are said now.

        What the person says is understood as far as it came, and answered by nobody.
        """
        if self.overlap.is_holding:
            self.overlap.cut(now)
        if self._turns.is_persons:
            self.listening.break_off()
        if self.floor is Floor.WAITING:
            self.stop(now)

    # ── words without a voice ───────────────────────────────────────────────────────────────

    def text(self, text: str, now: float) -> None:
        """The person wrote something: that interrupts what sounds."""
        if not text.strip():
            return
        if self.overlap.is_holding and self.floor is not Floor.WAITING:
            self.overlap.cut(now)  # whatever the voice says, this does
        is_turn_open = self._turns.is_persons
        if self.floor in (Floor.AGENT, Floor.OVERLAP, Floor.WAITING):
            self.stop(now)
        self.deafness.settle()
        self._written += 1
        utterance_id = UtteranceId(f"written-{self._written}")
        self._history.say(text)
        self._outlet.emit(Transcription(utterance_id=utterance_id, text=text, is_final=True))
        # What is typed while the person speaks is answered together with what is said.
        self._outlet.send(SendText(text=text, respond=not is_turn_open))
        if not is_turn_open:
            self._utterance.marks = Marks(voice_ended=now, decided=now, words=now)
            self._turns.ask(now)

    def say(self, event: Say, now: float) -> None:
        """The application wants words spoken.

        They wait for a link, if there is none, and for the end of the person's turn.
        """
        is_busy = self._turns.is_persons or self.overlap.is_holding
        # A goodbye comes behind the answer to what was said last.
        is_last = event.occasion is Occasion.GOODBYE
        is_busy = is_busy or (is_last and self.floor is Floor.WAITING and not self._tools.is_busy)
        if not self._outlet.is_up or is_busy:
            self.sayings.wait(event)
        else:
            self.sayings.give(event)
            self._turns.ask(now)

    def say_what_waited(self, now: float) -> None:
        """It may be the moment for what the application wanted spoken."""
        for event in self.sayings.waited():
            self.say(event, now)

    def unsay(self, say_id: SayId, now: float) -> None:
        """The application no longer wants these words spoken: nothing, or no more, of them is."""
        if self.sayings.cancel(say_id):
            return
        response = self._responses.said(say_id)
        if response is None:
            self.sayings.refuse(say_id)
            is_owed = self._turns.awaits_words or self._history.is_unanswered
            if not is_owed and not self._tools.is_busy:
                self.no_response(now)
        elif self.overlap.is_holding and response is self._responses.sounding:
            self.stop(now)
        else:
            self._responses.drop(response, now)
            self._spent(now)

    def lose_link(self) -> None:
        """The link is gone: words of the application that nobody heard are for the next.

        So is what the person said, as sound; or, if that is not kept, as far as it was understood.
        """
        if self._utterance.is_forgotten:
            self.listening.keep_what_was_understood()
        self._utterance.unsure = None
        self._utterance.lose()
        self.overlap.lose_link()
        for say in self._responses.unheard_sayings():
            self.sayings.wait(say)
        self.sayings.lost()

    def hang_up(self, now: float) -> bool:
        """The person is gone; whether what they said last is still being understood."""
        awaits_words = self._turns.awaits_words or self._turns.wants_words
        awaits_words = awaits_words or self.overlap.asks_for_words
        self.overlap.cut(now)
        self.overlap.leave_unanswered()
        self._utterance.is_answered()
        if not self._hearing.is_ours:
            return self._outlet.is_up and (awaits_words or self._history.awaits_words)
        if self.floor in (Floor.USER, Floor.PAUSED, Floor.OVERLAP):
            self._outlet.send(EndUserTurn(respond=False))
            return self._outlet.is_up
        return self._outlet.is_up and awaits_words

    def wait_for_more(self, now: float) -> None:
        """The person has paused, and may go on."""
        self.listening.wait_for_more(now)

    # ── the agent's responses ───────────────────────────────────────────────────────────────

    def response_started(self, event: ResponseStarted, now: float) -> None:
        """A response begins: refused if the person went on speaking meanwhile."""
        is_turn = event.origin is ResponseOrigin.TURN
        if self._hearing.is_hinted and is_turn and self._turns.is_persons:
            # Whatever our ears say, the service found that the turn is over.
            was_voice = self._utterance.is_voice
            self.listening.conclude(now)
            if was_voice:
                self._utterance.marks = None  # nobody knows when it ended
        say = self.sayings.begun() if event.origin is ResponseOrigin.SAID else None
        if say is not None and self.sayings.is_refused(say):
            self._responses.refuse(event)
            return
        if self._hearing.is_ours and self._turns.is_persons:
            self._responses.refuse(event)
            if say is not None:
                self.sayings.wait(say)
            return
        if self.overlap.is_holding:
            self.overlap.cut(now)
        self._responses.start(event, say)
        if say is None:
            self._utterance.is_answered()
        self._turns.is_owed = event.origin is not ResponseOrigin.SAID
        if not self._hearing.is_ours:
            self._outlet.do(Forget())  # what was said so far is being answered
            self._utterance.is_forgotten = True

    def first_sound(self, response: Response, now: float) -> None:
        """The first sound of a response goes to the person."""
        if response.origin is not ResponseOrigin.SAID:
            self._turns.awaits_words = self._turns.is_owed = False
        self.deafness.settle()
        self.waiting.end()
        if self.floor is Floor.WAITING and response.origin is ResponseOrigin.TURN:
            self._end.went_well()
        before = self.floor
        self._turns.take(Turn.SOUND)
        marks = self._utterance.marks
        if marks is not None and response.origin is not ResponseOrigin.SAID:
            self._responses.measure(response, marks, now)
            self._utterance.marks = None
        if response.origin is not ResponseOrigin.SAID and before is Floor.WAITING:
            self.say_what_waited(now)
        if before is Floor.USER:
            self._utterance.began = now
            self.overlap.began_over_agent()
            self.overlap.judge(now)
        elif before is Floor.PAUSED:
            # The service answers into the pause: whatever our ears wait for, the turn is over.
            self._deadlines.clear(Due.END_OF_TURN)
            self._turns.tell_ended()

    def response_done(self, event: ResponseDone, now: float) -> None:
        """Nothing more of a response will be made."""
        if event.status is ResponseStatus.FAILED:
            say = self._responses.unsaid(event.response_id, is_wanted=self.sayings.may_repeat)
            if say is not None:
                self.sayings.wait(say)
        response = self._responses.done(event, now)
        if response is None:
            return
        if event.status is ResponseStatus.CANCELLED:
            self.interrupted(event.response_id, now)
        elif response.generated == 0:
            if not self._tools.is_busy and not self._came_to_nothing(response, now):
                self._turns.is_owed = False
                self._spent(now)
            if self._outlet.is_up:
                self.say_what_waited(now)
        else:
            self.await_end(now)

    def _came_to_nothing(self, response: Response, now: float) -> bool:
        """Whether an answer that was to be heard was not: the person waits, and something is done.

        An agent of ours may have nothing to say. A service that was asked has.
        """
        is_empty = not response.text and not self._transcribes_first
        is_answer = response.origin is not ResponseOrigin.SAID
        if not is_answer or not (response.has_failed or is_empty):
            return False
        if self.floor is not Floor.WAITING or not self._responses.is_idle:
            return False
        if response.has_failed:
            self.waiting.tone(now)
        self.waiting.hasten(now)
        return True

    def give_up(self, now: float) -> None:
        """A response broke off in silence: what was heard is all there is, unless a tool runs."""
        if self._tools.is_busy:
            self._responses.put_off(now, self.waiting.settings.rung_ms / 1000)
        else:
            message = f"{self._provider} stopped in the middle of a response"
            self._outlet.fail(ErrorCode.TIMEOUT, message)
            self._responses.abandon(now)  # and what waits behind it is heard
            self.deafness.distrust()
            self.await_end(now)
        self.waiting.tone(now)

    def no_response(self, now: float) -> None:
        """The turn that ended gets no response."""
        self._utterance.is_understood = self._turns.is_owed = False
        if self.overlap.is_answer_due:
            return
        if self.floor is Floor.WAITING and self._responses.is_idle and not self._tools.is_busy:
            self._turns.take(Turn.GONE)
            self.waiting.end()
            self.say_what_waited(now)

    def interrupted(self, response_id: ResponseId | None, now: float) -> None:
        """The service stopped a response by itself."""
        if response_id is not None and not self._responses.is_alive(response_id):
            return
        if not self.overlap.is_allowed:
            self._responses.finish(now)  # what there is of it is heard
            return
        if self._responses.is_idle:
            return
        sounding = self.overlap.cut(now)
        if self.floor is Floor.OVERLAP:
            self.overlap.was_interrupted(sounding, now)
        elif self.floor is Floor.WAITING:
            self.waiting.begin(now)
        else:
            self._turns.take(Turn.GONE)

    def await_end(self, now: float) -> None:
        """Settle what has sounded to its end, and go on once nothing sounds.

        Not while a response pauses: it is not known whether it has been interrupted.
        """
        if self.overlap.is_holding:
            return
        silent = self._responses.ended_silent(now)
        if self._responses.await_end(now):
            if silent is not None and self._came_to_nothing(silent, now):
                return
            self._spent(now)

    def _spent(self, now: float) -> None:
        """Nothing more may be sounding, and nothing more coming."""
        if not self._responses.is_idle:
            if self._responses.is_silent and self.floor in (Floor.AGENT, Floor.OVERLAP):
                self._still_owed(now)
            return
        was_overlap = self.floor is Floor.OVERLAP
        self._turns.take(Turn.SPENT)
        self._deadlines.clear(Due.END_OF_RESPONSE)
        if was_overlap:
            self._turns.begin_turn()
        if self.floor is Floor.QUIET:
            self.waiting.end()
            if self.overlap.owes_answer(is_unanswered=self._history.is_unanswered):
                self.overlap.answer(now)
            elif self._tools.is_busy or self._turns.awaits_words or self.deafness.is_deaf:
                self._turns.ask(now)  # the person waits for what the tool gives, or for the service
                if self.deafness.is_deaf:
                    self.waiting.give_up_deaf(now, is_quiet=self.deafness.is_unnoticed)
            elif self._outlet.is_up:
                self.say_what_waited(now)

    def _still_owed(self, now: float) -> None:
        """What sounded was not the answer, of which nothing has sounded yet."""
        was_overlap = self.floor is Floor.OVERLAP
        self._turns.take(Turn.OWED)
        if was_overlap:
            self.overlap.cut_by_voice(now)
            self._turns.begin_turn()
        else:
            self.waiting.begin(now)

    def works(self, now: float) -> None:
        """An answer is being worked on out of sight: the person waits for it."""
        if self.floor is Floor.QUIET:
            self._turns.ask(now)

    def tool_answered(self, now: float) -> None:
        """The service has what it asked for, and owes an answer."""
        if self.floor is Floor.WAITING:
            self.waiting.begin(now)

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def climb(self, now: float) -> bool:
        """The person has waited too long: one rung up the ladder. Whether it was the last."""
        if self.floor is not Floor.WAITING:
            return False
        is_busy = self._tools.is_busy
        is_deaf = self.deafness.is_deaf
        is_owed = is_busy or is_deaf or self._turns.is_owed
        has_not_heard = self._turns.awaits_words and self._hearing.is_ours
        rung = self.waiting.next(now, is_busy=is_busy, is_deaf=is_deaf or has_not_heard)
        # A model that hears all the time may choose to say nothing, if it has begun nothing, and
        # has heard to the end.
        broke_off = self._turns.awaits_words and self._utterance.unsure is not None
        is_choice = self._hearing.is_duplex and not broke_off
        if (is_choice or self.deafness.is_doubtful) and not is_owed and self._responses.is_idle:
            self._turns.take(Turn.GONE)
            self.deafness.was_no_voice()
            self.waiting.end()
            return False
        if rung is Rung.NUDGE:
            self.overlap.cut(now, spares=lambda _: True)  # what was begun has made no sound
        self.waiting.climb(rung, now, is_busy=is_busy)
        return rung is Rung.END

    def take_up(self, now: float, *, was_asked: bool = False) -> None:
        """There is a link: go on where the conversation was.

        `was_asked` says that it was given words to answer already.
        """
        self.deafness.forgive()
        if not self._hearing.is_ours:
            self._outlet.do(Forward(is_on=True))
            self._outlet.do(Replay())
            if not self._turns.awaits_words and self._can_nudge and self._is_answer_owed():
                self._outlet.send(CreateResponse())
                self._turns.ask(now)
        elif self.floor is Floor.OVERLAP:
            self._outlet.do(Replay())
        elif self._turns.is_persons:
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
        elif self.overlap.asks_for_words:
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
            self.overlap.ask_for_words(now)
        elif self.floor is Floor.WAITING and self._turns.awaits_words:
            self.overlap.answers_words = False
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
            self._outlet.send(EndUserTurn())
            self.waiting.begin(now)
        elif self._turns.wants_words:
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
            self._outlet.send(EndUserTurn(respond=False))
        elif self.overlap.is_answer_due:
            pass  # it is asked for when the person has had the time to go on
        elif self._can_nudge and self._is_answer_owed() and not was_asked:
            self._outlet.send(CreateResponse())
            self._turns.ask(now)
        self.say_what_waited(now)

    def _is_answer_owed(self) -> bool:
        """Whether the person said something and waits, or waited in vain."""
        waits = self.floor is Floor.WAITING or self._turns.is_owed
        return waits and self._history.is_unanswered
