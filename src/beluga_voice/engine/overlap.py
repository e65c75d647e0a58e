"""What a voice over the agent means: an interruption, words for later, or nothing.

How it works. The `Judge` says what a voice, or its words, is taken for; here that is put into
effect. An interruption cuts what sounds. What only looks like one makes it pause (`Held`), and the
words decide: those that say something cut it, others let the agent go on with the word that was
due. Where the agent speaks on meanwhile, or may not be interrupted, the words are weighed when the
voice has ended, and answered at once, afterwards, or not at all.

Whoever stops a response, a voice, a key, typed words or the service, comes through `cut`, so the
ledger, the history and the service always agree about what was heard.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.effects import Forget, Forward
from beluga_voice.engine.endpointing import Endpointing
from beluga_voice.engine.hearing import Hearing
from beluga_voice.engine.interruptions import ROUNDING_MS, Held, Judge, Verdict, Weighed
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.sayings import Sayings
from beluga_voice.engine.turn_taking import TurnTaking
from beluga_voice.engine.turns import Floor, Turn
from beluga_voice.engine.utterance import Utterance
from beluga_voice.events import (
    AgentResponseResumed,
    BargedIn,
    ClearInput,
    CreateResponse,
    Disregard,
    EndUserTurn,
    Occasion,
    ResponseId,
    Say,
    UtteranceId,
)

_PERSON = (Floor.USER, Floor.PAUSED, Floor.OVERLAP)


class Conversation(Protocol):
    """What goes on around an overlap."""

    def await_end(self, now: float) -> None:
        """Settle what has sounded to its end."""

    def wait_for_more(self, now: float) -> None:
        """The person has paused, and what they say is a turn of its own."""

    def no_response(self, now: float) -> None:
        """What was said gets no response."""

    def say_what_waited(self, now: float) -> None:
        """It may be the moment for words of the application."""


class Overlap:
    """The voices over the responses of one conversation.

    `has_interims` says whether words are understood while they are spoken.
    """

    def __init__(
        self,
        outlet: Outlet,
        turns: TurnTaking,
        utterance: Utterance,
        hearing: Hearing,
        judge: Judge,
        responses: Responses,
        sayings: Sayings,
        end: Endpointing,
        conversation: Conversation,
        *,
        has_interims: bool,
    ) -> None:
        self._outlet = outlet
        self._deadlines = outlet.deadlines
        self._turns = turns
        self._utterance = utterance
        self._hearing = hearing
        self._judge = judge
        self._responses = responses
        self._sayings = sayings
        self._end = end
        self._conversation = conversation
        self._has_interims = has_interims
        self._held: Held | None = None
        self._is_noise = False
        """Whether the voice that is heard has been found to have no words in it."""
        self._began_on = Occasion.NORMAL
        """On what occasion the agent spoke when the voice began."""
        self._weighed: list[Weighed] = []
        """Voices over the agent, which spoke on, whose words are awaited; oldest first."""
        self._answer_at: float | None = None
        """When an answer is to be asked for, if the person does not go on."""
        self.answers_words = False
        """Whether an answer is asked for as soon as the awaited words are there."""
        self.answers_after = False
        """Whether what was said over the agent is answered once it has said what it has to say."""
        self._is_late = False
        """Whether that was understood so late that something else has been answered since."""

    # ── what others may look at ─────────────────────────────────────────────────────────────

    @property
    def is_holding(self) -> bool:
        """Whether a response pauses."""
        return self._held is not None

    @property
    def is_open(self) -> bool:
        """Whether it is not known yet what a voice over the agent means."""
        return self._held is not None or self._turns.floor is Floor.OVERLAP

    @property
    def asks_for_words(self) -> bool:
        """Whether the service was asked what was said, and not to answer it."""
        return bool(self._weighed) or (self._held is not None and self._held.is_asked)

    @property
    def is_answer_due(self) -> bool:
        """Whether an answer is to be asked for, if the person does not go on."""
        return self._answer_at is not None

    @property
    def is_allowed(self) -> bool:
        """Whether anything may interrupt the agent now."""
        return self._judge.is_allowed

    # ── the voice ───────────────────────────────────────────────────────────────────────────

    def voice_began(self) -> None:
        """The person begins to speak."""
        self._is_noise = self.answers_words = False
        self.began_over_agent()

    def began_over_agent(self) -> None:
        """What the agent says now is what the voice is judged by, should it end before that."""
        self._began_on = self._judge.occasion

    def voiced(self, now: float) -> None:
        """A frame of the person's voice came: it may be the one that makes an interruption."""
        if self._turns.floor is Floor.OVERLAP:
            self.judge(now)

    def judge(self, now: float) -> None:
        """Voice and a response sound at once: which of them goes on?"""
        hearing = self._hearing
        if hearing.is_duplex:
            return  # it hears that it is spoken to, and stops by itself
        is_theirs = not hearing.is_ours and not hearing.is_hinted
        if is_theirs or self._turns.is_push_to_talk:
            if self._judge.is_allowed:
                self._barge_in(now)
        elif not self._is_noise:
            utterance = self._utterance
            self._carry_out(self._judge.of_voice(utterance.began, now, utterance.text), now)

    def voice_ended(self, now: float) -> None:
        """The voice has ended, and did not stop the agent."""
        began, ended = self._utterance.began, self._utterance.ended
        judge, sounding = self._judge, self._responses.sounding
        if any(
            judge.weighs_words(began, one) or judge.keeps_words(began, ended, one)
            for one in (self._began_on, judge.occasion)
        ):
            over = None if sounding is None else sounding.id
            self._forget_unnamed()
            self._weighed.append(Weighed(over=over, occasion=self._began_on))
            self.ask_for_words(now)
            self._utterance.marks = Marks(voice_ended=ended)
        else:
            self._ignore()

    def _ignore(self) -> None:
        """What the person uttered over the agent was no interruption."""
        if self._hearing.is_ours:
            self._outlet.send(ClearInput())
            self._outlet.do(Forward(is_on=False))
            self._outlet.do(Forget())
        # A model that hears while it speaks has heard it, and does with it what it likes.
        self._turns.tell_ended(was_ignored=not self._hearing.is_duplex)

    def goes_on(self, now: float) -> bool:
        """The person goes on before there was an answer.

        Gives whether what they said so far was said over the agent: then it was not taken for a
        turn of theirs.
        """
        self._deadlines.clear(Due.WORDS)
        is_within = self._held is not None or self._answer_at is not None
        self._answer_at = None
        if self._held is None:
            self.cut_by_voice(now)
        else:
            self._held.is_asked = False
        return is_within

    def pauses(self, turn_ends: float) -> float:
        """The person pauses, whose turn would be over at `turn_ends`; gives when it is looked at.

        That is sooner while a response pauses as well.
        """
        if self._held is None:
            return turn_ends
        self._held.turn_ends = turn_ends
        return min(turn_ends, self._utterance.ended + self._judge.settings.resume_ms / 1000)

    def turn_ended(self, now: float) -> bool:
        """The person's turn is over; whether first it is asked what they said over the agent."""
        if self._held is None:
            self._forget_unnamed()
            self.answers_after = self._is_late = False
            return False
        self._held.is_asked = True
        self._turns.awaits_words = True
        self.ask_for_words(now)
        return True

    # ── the words ───────────────────────────────────────────────────────────────────────────

    def words_heard(self, text: str, now: float) -> None:
        """The service understands something of a voice of which it is not known what it means."""
        if self._held is not None:
            if self._judge.interrupts(text, now):
                self._confirm(now)
        elif self._is_noise:
            if self._judge.interrupts(text, now):
                self._barge_in(now)
        else:
            self._carry_out(self._judge.of_words(text, self._utterance.began, now), now)

    def utterance_over(self, utterance_id: UtteranceId) -> None:
        """That is what the service calls the utterance of which the words were asked."""
        for one in self._weighed:
            if one.utterance_id is None:
                one.utterance_id = utterance_id
                break

    def earlier_words_known(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The final words are there of an utterance that was over when the present one began."""
        weighed = self._take_weighed(utterance_id)
        is_owed = utterance_id in self._utterance.owed and bool(text) and self._judge.can_hold
        self._utterance.owed.discard(utterance_id)
        if weighed is not None and self._held is None:
            weighed.is_late = True
            self._weigh(weighed, utterance_id, text, now)
        elif weighed is not None:
            if self._judge.interrupts(text, now, weighed.occasion):
                self._answer_after(is_late=True)
        elif is_owed and (self._held is not None or self._responses.sounding is not None):
            self._answer_after(is_late=True)  # or with what is being said
        elif is_owed and self._turns.floor is Floor.QUIET:
            self.answer(now)
        elif is_owed and self._turns.floor is Floor.WAITING:
            self._ask_anew(now)

    def words_known(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The final words of the present utterance are there."""
        weighed = self._take_weighed(utterance_id)
        if self._held is not None:
            if self._judge.interrupts(text, now):
                self._confirm(now)
            elif self._held.is_asked:
                self._resume(utterance_id, now)
        elif weighed is not None:
            self._weigh(weighed, utterance_id, text, now)
        elif self.answers_words and self._turns.floor is Floor.WAITING:
            self.answers_words = False
            if text:
                self._outlet.send(CreateResponse())
                self._turns.ask(now)
            else:
                self._conversation.no_response(now)

    def words_missing(self, now: float) -> None:
        """Nobody will ever know what was said; unless it will be asked of another service."""
        if not self._outlet.is_up:
            self._wait_for_words(now)
        elif self._held is not None and not self._held.is_asked:
            self._go_on_over_noise(now)
        elif self._held is not None:
            self._confirm(now)  # and it is answered when the words are there
        else:
            for one in self._weighed:
                one.is_late = True
            if self._weighed and self._turns.floor not in _PERSON:
                self._turns.tell_ended()  # they are weighed when they are there

    def ask_for_words(self, now: float) -> None:
        """What was said over the agent? Nobody is to answer it yet."""
        self._outlet.send(EndUserTurn(respond=False))
        self._outlet.do(Forward(is_on=False))
        self._wait_for_words(now)

    def _wait_for_words(self, now: float) -> None:
        self._deadlines.set(Due.WORDS, now + self._judge.settings.words_ms / 1000)

    def await_no_words(self) -> None:
        """Words that have not come will not come any more."""
        self._weighed.clear()

    def lose_link(self) -> None:
        """The link is gone: the next is asked for the words, if nothing else will bring them."""
        is_heard_anyway = self._turns.floor in _PERSON or self._turns.awaits_words
        if self._weighed and not is_heard_anyway:
            self._weighed = [replace(self._weighed[0], utterance_id=None)]
        else:
            self._weighed.clear()

    def _forget_unnamed(self) -> None:
        """What the next link was to be asked for is a part of what is said now."""
        self._weighed = [one for one in self._weighed if one.utterance_id is not None]

    def _take_weighed(self, utterance_id: UtteranceId) -> Weighed | None:
        """The voice over the agent whose words these are, if they are awaited; once."""
        for one in self._weighed:
            if one.utterance_id in (utterance_id, None):
                self._weighed.remove(one)
                return one
        return None

    def _weigh(self, weighed: Weighed, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The words of a voice over the agent are known, which spoke on."""
        if not self._weighed:
            self._deadlines.clear(Due.WORDS)
        floor = self._turns.floor
        is_meant = self._judge.interrupts(text, now, weighed.occasion)
        is_to_the_end = bool(text) and floor is Floor.QUIET and not weighed.is_late
        if not is_meant and not is_to_the_end:
            self._outlet.send(Disregard(utterance_id=utterance_id))
            if floor not in _PERSON:
                self._turns.tell_ended(was_ignored=True)
            return
        sounding = self._responses.sounding
        is_over_it = not weighed.is_late or (sounding is not None and sounding.id == weighed.over)
        is_cut = floor is Floor.QUIET or (is_over_it and self._judge.is_allowed)
        if self._turns.is_persons:
            pass  # they are a part of what the person says now
        elif floor is Floor.WAITING:
            self._ask_anew(now)
        elif not is_cut:
            if self._judge.occasion is not Occasion.GOODBYE:
                self._answer_after(is_late=not is_over_it)
            if floor is Floor.AGENT:
                self._turns.tell_ended()
        elif floor is Floor.OVERLAP:
            self._barge_in(now)  # and goes on speaking
        else:
            self._tell_barged_in(self.cut_by_voice(now), now)
            self._turns.take(Turn.GONE)
            self._turns.take(Turn.ASKED)
            self._answer_when(self._utterance.ended + self._end.delay(), now)

    def _answer_after(self, *, is_late: bool) -> None:
        self.answers_after = True
        self._is_late = is_late or self._is_late

    def owes_answer(self, *, is_unanswered: bool) -> bool:
        """Whether an answer is owed to what was said over the agent, which is silent now."""
        return self.answers_after and (is_unanswered or self._is_late)

    def _ask_anew(self, now: float) -> None:
        """What the person waits for is no answer to all that they said."""
        self._turns.tell_ended()
        if not self._turns.awaits_words:
            self.cut_by_voice(now)
            self._outlet.send(CreateResponse())
            self._turns.ask(now)

    # ── an interruption, or what looks like one ─────────────────────────────────────────────

    def _carry_out(self, verdict: Verdict, now: float) -> None:
        if verdict is not Verdict.NOTHING:
            self._barge_in(now, holds=verdict is Verdict.PAUSE)

    def _barge_in(self, now: float, *, holds: bool = False) -> None:
        """The overlap is an interruption, or looks like one: the person takes the floor."""
        self._conversation.await_end(now)
        if not self._turns.takes(Turn.TAKEN):
            return
        self._turns.take(Turn.TAKEN)
        sounding = self._responses.hold(now) if holds else None
        if sounding is not None:
            self._held = Held(since=now)
            if self._has_interims:
                self._wait_for_words(now)
        else:
            sounding = self.cut_by_voice(now)
        self._tell_barged_in(sounding, now)
        self._turns.begin_turn()

    def was_interrupted(self, sounding: ResponseId | None, now: float) -> None:
        """The service took the voice for an interruption, and what sounded was cut."""
        self._turns.take(Turn.TAKEN)
        self._tell_barged_in(sounding, now)
        self._turns.begin_turn()

    def _tell_barged_in(self, sounding: ResponseId | None, now: float) -> None:
        if sounding is not None:
            decision_ms = round((now - self._utterance.began) * 1000, 3)
            self._outlet.emit(BargedIn(response_id=sounding, decision_ms=decision_ms))

    def cut(self, now: float, *, spares: Callable[[Say], bool] | None = None) -> ResponseId | None:
        """Stop whatever sounds or is being made, for good; gives what sounded.

        `spares` tells of words of the application, none of which was heard yet, whether they are to
        be said later.
        """
        if self._held is not None:
            self._held = None
            self._deadlines.clear(Due.WORDS)
        if spares is None:
            return self._responses.cut(now)[0]
        sounding, again = self._responses.cut(now, spares=spares)
        for say in again:
            self._sayings.wait(say)
        return sounding

    def cut_by_voice(self, now: float) -> ResponseId | None:
        """The same, sparing the words that no voice may stop."""
        settings = self._judge.settings
        return self.cut(now, spares=lambda say: not settings.on(say.occasion).is_allowed)

    def _confirm(self, now: float) -> None:
        """It was an interruption."""
        held = self._held
        assert held is not None
        self.cut_by_voice(now)
        if self._turns.floor is Floor.PAUSED:
            self._conversation.wait_for_more(now)
        elif held.is_asked:
            self._answer_when(held.turn_ends, now)

    def _resume(self, utterance_id: UtteranceId, now: float) -> None:
        """It was no interruption: the agent goes on with the word that was due."""
        held, self._held = self._held, None
        assert held is not None
        self._deadlines.clear(Due.WORDS)
        self._turns.awaits_words = False
        self._utterance.marks = None
        self._outlet.send(Disregard(utterance_id=utterance_id))
        self._turns.tell_ended(was_ignored=True)
        self._turns.take(Turn.RESUMED)
        self._tell_resumed(held, now)
        self._conversation.await_end(now)
        self._conversation.say_what_waited(now)

    def _go_on_over_noise(self, now: float) -> None:
        """The voice goes on, and there is not a word in it: the agent goes on as well."""
        if self._utterance.text or self._turns.floor is not Floor.USER:
            return
        held, self._held = self._held, None
        assert held is not None
        self._is_noise = True
        self._utterance.marks = None
        self._turns.take(Turn.RESUMED)
        self._tell_resumed(held, now)

    def _tell_resumed(self, held: Held, now: float) -> None:
        sounding = self._responses.sounding
        if sounding is not None:
            paused_ms = round((now - held.since) * 1000, 3)
            self._outlet.emit(AgentResponseResumed(response_id=sounding.id, paused_ms=paused_ms))
            self._responses.resume(now)

    # ── the answer ──────────────────────────────────────────────────────────────────────────

    def answer(self, now: float) -> None:
        """What was said over the agent is to be answered."""
        self._answer_at = None
        self.answers_after = self._is_late = False
        if self._turns.floor not in _PERSON:  # or another voice has begun meanwhile
            self._turns.tell_ended()
        if self._utterance.marks is not None:
            self._utterance.marks.decided = now
        self.answers_words = self._turns.awaits_words
        if not self.answers_words:
            self._outlet.send(CreateResponse())
        self._turns.ask(now)
        self._conversation.say_what_waited(now)

    def _answer_when(self, turn_ends: float, now: float) -> None:
        """What was said over the agent is to be answered, if the person does not go on."""
        if turn_ends <= now + ROUNDING_MS / 1000:
            self.answer(now)
        else:
            self._answer_at = turn_ends
            self._deadlines.set(Due.END_OF_TURN, turn_ends)

    def leave_unanswered(self) -> None:
        """Nobody wants an answer any more to what was said over the agent."""
        if self._answer_at is not None:
            self._answer_at = None
            self._deadlines.clear(Due.END_OF_TURN)
        self._weighed.clear()
        self.answers_words = self.answers_after = self._is_late = False
