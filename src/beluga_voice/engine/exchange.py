"""Who speaks when: puts the table of turns into effect.

How it works. Voice, silence, keys, typed words and the ends of responses are inputs of the table
in `turns`; what a change of the floor means (begin or end a turn with the service, cut a response,
wait for an answer) is done here. While the person waits in silence, the dead-air ladder is climbed.

Interruption is one path, `Responses.cut`: whoever stops a response (the person's voice, a key,
typed words, the service) comes through it, so the ledger, the history and the service always agree
about what was heard.
"""

from collections.abc import Callable

from beluga_voice.engine.deadlines import DeadAirSettings, Due
from beluga_voice.engine.deafness import Deafness
from beluga_voice.engine.effects import Forget, Forward, Replay
from beluga_voice.engine.endpointing import Endpointing
from beluga_voice.engine.history import History
from beluga_voice.engine.interruptions import (
    ROUNDING_MS,
    Held,
    InterruptionSettings,
    Judge,
    Verdict,
)
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.playback import Response
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.sayings import Sayings
from beluga_voice.engine.tools import Tools
from beluga_voice.engine.turns import Floor, Turn, TurnSettings, turns
from beluga_voice.engine.waiting import Waiting
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    AgentResponseResumed,
    BargedIn,
    ClearInput,
    CreateResponse,
    Disregard,
    EndOfTurnLikely,
    EndUserTurn,
    Occasion,
    PrepareResponse,
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
    UserSpeechEnded,
    UserSpeechStarted,
    UtteranceId,
)
from beluga_voice.interfaces import Capabilities, TurnOwner

KEYS = frozenset("0123456789*#ABCD")
"""The keys of a telephone."""


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
        on_change: Callable[[], None],
    ) -> None:
        self._outlet = outlet
        self._deadlines = outlet.deadlines
        self._responses = responses
        self._history = history
        self._tools = tools
        self._owner = owner
        is_ours = owner is TurnOwner.FRAMEWORK
        self._is_hinted = owner is TurnOwner.PROVIDER and not capabilities.has_speech_events
        self._service_silence = None if turn_silence_ms is None else turn_silence_ms / 1000
        self._has_ears = has_ears = is_ours or not capabilities.has_speech_events
        # One that finds the turns may find one also where it mostly leaves the hearing to us.
        self._is_heard_by_service = owner is TurnOwner.PROVIDER or not has_ears
        self._settings = turn_settings
        self._end = Endpointing(turn_settings)
        self._interruptions = interruptions
        self._judging = Judge(
            interruptions,
            responses,
            tools,
            can_hold=is_ours and capabilities.transcribes_first,
        )
        self._prepares = is_ours and capabilities.can_prepare and turn_settings.prepares
        self._dead_air = dead_air
        self._can_nudge = capabilities.can_request_response
        self._provider = provider
        self._on_change = on_change
        self._turns = turns()
        self._is_voice = False
        self._voice_began = 0.0
        self._push_to_talk = False
        self._awaits_words = False
        self._is_understood = False
        self._has_words = False
        """Whether the final words of the utterance are there."""
        self._is_owed = False
        """Whether the service had begun an answer that was never heard."""
        self._held: Held | None = None
        self._weighs_words = False
        """Whether the words of a voice over the agent, which speaks on, are awaited."""
        self._answers_words = False
        """Whether an answer is asked for as soon as the awaited words are there."""
        self._answers_after = False
        """Whether what was said over the agent is answered once it has said what it has to say."""
        self._answer_at: float | None = None
        """When an answer is to be asked for, if the person does not go on."""
        self._is_preparing = False
        self._transcribes_first = capabilities.transcribes_first
        self.deafness = Deafness(outlet, dead_air, has_speech_events=not has_ears)
        self._has_interims = capabilities.has_interim_transcripts
        self._is_noise = False
        """Whether the voice that is heard has been found to have no words in it."""
        self._is_turn_told = False
        """Whether the application knows of the person's turn, and of no end of it."""
        self._went_on = False
        """Whether the person makes a sound when the turn was taken for over, before an answer."""
        self._text = ""
        """What was understood of the present utterance so far."""
        self._unsure: tuple[UtteranceId, str] | None = None
        """The words that are not final yet, of the utterance that was heard last."""
        self._is_forgotten = False
        """Whether its sound is not kept any more, as it is being answered."""
        self._voice_ended = 0.0
        self._keys = ""
        self._written = 0
        self.sayings = Sayings(outlet)
        self.waiting = Waiting(
            outlet,
            dead_air,
            can_nudge=self._can_nudge,
            can_swap=capabilities.has_alternatives,
            provider=provider,
        )
        self.marks: Marks | None = None
        """The latency of the present turn, until its first sound."""
        self.input_at = 0.0
        """When there was sound from the line last."""

    @property
    def owes_answer(self) -> bool:
        """Whether what was said is being answered, or understood."""
        return self._awaits_words or not self._responses.is_idle

    @property
    def is_holding(self) -> bool:
        """Whether a response pauses."""
        return self._held is not None

    @property
    def floor(self) -> Floor:
        """Who has it."""
        return self._turns.state

    def _take(self, given: Turn) -> None:
        self._turns.take(given)
        self._on_change()

    # ── the person's voice ──────────────────────────────────────────────────────────────────

    def heard_voice(self, began: float, now: float) -> None:
        """Our ears noticed a voice, which began at `began`."""
        if self._owner is not TurnOwner.FRAMEWORK:
            self.deafness.voice(began, owes_answer=self.floor is Floor.WAITING)
        if self._has_ears and not self._push_to_talk:
            self._voice(began, now)

    def heard_hush(self, ended: float, now: float) -> None:
        """Our ears noticed that the voice ended at `ended`."""
        if self._owner is not TurnOwner.FRAMEWORK:
            self.deafness.hush(ended)
        if self._has_ears and not self._push_to_talk:
            self._hush(ended, now)

    def was_not_heard(self, now: float) -> None:
        """The person has spoken, and the service has told nothing at all since they were done."""
        if not self._outlet.is_up or self._tools.is_busy:
            return
        self.deafness.missed(is_owed=self.floor is Floor.WAITING)
        if self.floor in (Floor.USER, Floor.PAUSED):
            self._is_understood = True  # by nobody, but it was something
            self._hush(now, now)
            self.end_turn(now)
        if self.floor is Floor.QUIET:
            self._ask(now)
        if self.floor is Floor.WAITING:
            self.waiting.give_up_deaf(now, is_quiet=self.deafness.is_doubtful)

    def service_heard_voice(self, now: float) -> None:
        """The service noticed a voice."""
        if self._is_heard_by_service:
            self._voice(now, now)

    def service_heard_end(self, now: float) -> None:
        """The service noticed the end of a turn, after the silence that it waits for."""
        if self._is_heard_by_service and self._is_voice:
            self._hush(now - (self._service_silence or 0.0), now)
            self.end_turn(now)

    def voiced(self, now: float) -> None:
        """A frame of the person's voice came: it may be the one that makes an interruption."""
        if self.floor is Floor.OVERLAP:
            self._judge(now)

    def talk_key(self, is_down: bool, now: float) -> None:
        """Push-to-talk: the key says who speaks, and the voice detector no longer does."""
        self._push_to_talk = True
        if is_down:
            if self.floor in (Floor.AGENT, Floor.OVERLAP) or self._held is not None:
                self.stop(now)
            self._voice(now, now)
        elif self._is_voice:
            self._hush(now, now)
            self.end_turn(now)

    def check_input(self, now: float) -> None:
        """The person speaks, as far as we know: is there still sound from the line?"""
        due = self.input_at + self._settings.stalled_input_ms / 1000
        if due > now:
            self._deadlines.set(Due.STALLED_INPUT, due)
            return
        self._hush(self.input_at, now)
        if self._owner is not TurnOwner.FRAMEWORK:
            self.end_turn(now)

    def _voice(self, began: float, now: float) -> None:
        if self._is_voice:
            return
        self._is_voice = True
        self._is_owed = self._answers_words = False
        self._is_understood = self._has_words = False
        self._voice_began = began
        self._text = ""
        self._is_forgotten = False
        self._end.begin()
        self._is_noise = False
        self._prepare(is_wanted=False)
        before = self.floor
        self._take(Turn.VOICE)
        self._deadlines.set(Due.STALLED_INPUT, now + self._settings.stalled_input_ms / 1000)
        if before is Floor.PAUSED:
            self._deadlines.clear(Due.END_OF_TURN)
            return
        if not self._is_turn_told:
            self._is_turn_told = True
            self._outlet.emit(UserSpeechStarted())
        if before is Floor.AGENT:
            self._outlet.do(Forward(is_on=True))
            self._judge(now)
            return
        if before is Floor.WAITING:
            self.waiting.end()
            self._deadlines.clear(Due.END_OF_TURN)
            self._deadlines.clear(Due.WORDS)
            is_within = self._held is not None or self._answer_at is not None
            self._went_on = not is_within
            self._answer_at = None
            if self._held is None:
                self._cut(now, spares=self._is_protected)
            else:
                self._held.is_asked = False
        self._begin_turn()

    def _hush(self, ended: float, now: float) -> None:
        if not self._is_voice:
            return
        self._is_voice = False
        self._deadlines.clear(Due.STALLED_INPUT)
        before = self.floor
        if not self._turns.takes(Turn.HUSH):
            return
        self._take(Turn.HUSH)
        self._voice_ended = ended
        if before is Floor.OVERLAP:
            judging = self._judging
            if judging.weighs_words(self._voice_began) or judging.keeps_words(
                self._voice_began, ended
            ):
                self._weigh(now)
            else:
                self._ignore()
            return
        self.marks = Marks(voice_ended=ended)
        if self._has_ears:
            self._wait_for_more(now)

    def _wait_for_more(self, now: float) -> None:
        """The person has paused: if they do not go on soon, the turn is over."""
        usual = self._voice_ended + self._end.delay()
        due = usual
        if self._held is not None:
            self._held.turn_ends = usual
            due = min(usual, self._voice_ended + self._interruptions.resume_ms / 1000)
        if due <= now:
            self.end_turn(now)
        else:
            self._deadlines.set(Due.END_OF_TURN, due)
            self._prepare()

    def _prepare(self, *, is_wanted: bool = True) -> None:
        """Have an answer made ready to what is understood so far, or have it forgotten."""
        if not self._prepares or self._held is not None:
            return
        if is_wanted and self._is_understood and self.floor is Floor.PAUSED:
            self._is_preparing = True
            self._outlet.send(PrepareResponse())
        elif not is_wanted and self._is_preparing:
            self._is_preparing = False
            self._outlet.send(PrepareResponse(is_wanted=False))

    def guessed(self, probability: float, now: float) -> None:
        """A turn detector guessed whether the person is done."""
        self._end.probability = probability
        if self.floor is Floor.PAUSED and self._has_ears and not self._push_to_talk:
            self._wait_for_more(now)

    def service_guessed(self, event: EndOfTurnLikely, now: float) -> None:
        """The speech-to-text service believes that the turn is over."""
        if event.is_eager or self._owner is not TurnOwner.FRAMEWORK:
            self._prepare()
            return
        self._end.is_decided = True
        if self.floor is Floor.PAUSED and not self._push_to_talk:
            self._wait_for_more(now)

    def went_on(self) -> None:
        """The speech-to-text service was wrong."""
        self._end.is_decided = False
        self._prepare(is_wanted=False)

    def _ignore(self) -> None:
        """What the person uttered over the agent was no interruption."""
        if self._owner is TurnOwner.FRAMEWORK:
            self._outlet.send(ClearInput())
            self._outlet.do(Forward(is_on=False))
            self._outlet.do(Forget())
        # A model that hears while it speaks has heard it, and does with it what it likes.
        self._tell_ended(was_ignored=self._owner is not TurnOwner.DUPLEX)

    # ── turns ───────────────────────────────────────────────────────────────────────────────

    def _tell_ended(self, *, was_ignored: bool = False) -> None:
        """The application hears of the end of the person's turn."""
        self._is_turn_told = False
        self._outlet.emit(UserSpeechEnded(was_ignored=was_ignored))

    def _begin_turn(self) -> None:
        """The person has the floor, and the service should know."""
        if self._owner is TurnOwner.FRAMEWORK:
            self._outlet.send(StartUserTurn())
            self._outlet.do(Forward(is_on=True))

    def end_turn(self, now: float) -> None:
        """The person's turn is over."""
        self._deadlines.clear(Due.END_OF_TURN)
        if self._answer_at is not None:
            self._answer_now(now)
            return
        if self.floor not in (Floor.USER, Floor.PAUSED):
            return
        self._take(Turn.OVER)
        self._answers_after = False
        if self._held is not None:
            self._ask_what_was_said(now)
            return
        if self.marks is None:
            self.marks = Marks(voice_ended=now)
        is_ours = self._has_ears and not self._is_hinted
        if is_ours or self._service_silence is not None:
            self.marks.decided = now
        are_known = self._is_hinted and self._has_words
        self._awaits_words = not are_known
        if are_known:
            self._outlet.do(Forget())  # they are known: no other service has to hear them
        if self._owner is TurnOwner.FRAMEWORK:
            self._outlet.send(EndUserTurn())
            self._outlet.do(Forward(is_on=False))
        self._is_preparing = False
        self._tell_ended()
        if self._is_hinted and not self._is_understood:
            self._take(Turn.GONE)  # a sound without words is answered by nobody
            return
        self._await_answer(now)
        self._say_what_waited(now)

    def words_heard(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The service understands something of what the person says."""
        self._unsure = utterance_id, text
        self._is_understood = True
        self._has_words = False
        self._text = text
        self._says_more(text)
        if self.floor is Floor.USER:
            self._end.is_decided = False  # there is more
        if self._held is not None:
            if self._judging.interrupts(text, now):
                self._confirm(now)
        elif self.floor is Floor.OVERLAP and self._is_noise:
            if self._judging.interrupts(text, now):
                self._barge_in(now)
        elif self.floor is Floor.OVERLAP:
            self._carry_out(self._judging.of_words(text, self._voice_began, now), now)
        elif self.floor is Floor.PAUSED:
            self._prepare()

    def words_known(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The final words of the utterance are there."""
        self._unsure = None
        self._is_understood = self._has_words = True
        self._awaits_words = False
        self._says_more(text)
        if self.marks is not None:
            self.marks.note_words(now)
        if self._held is not None:
            if self._judging.interrupts(text, now):
                self._confirm(now)
            elif self._held.is_asked:
                self._resume(utterance_id, now)
        elif self._weighs_words:
            self._weighs_words = False
            self._weighed(utterance_id, text, now)
        elif self._answers_words and self.floor is Floor.WAITING:
            self._answers_words = False
            if text:
                self._outlet.send(CreateResponse())
                self._await_answer(now)
            else:
                self.no_response(now)

    def _says_more(self, text: str) -> None:
        """Who says more after the turn was taken for over was cut off; a cough was not."""
        if text and self._went_on:
            self._went_on = False
            self._end.was_cut_off()

    # ── interruptions ───────────────────────────────────────────────────────────────────────

    def _judge(self, now: float) -> None:
        """Voice and a response sound at once: which of them goes on?"""
        is_theirs = self._owner is TurnOwner.PROVIDER and not self._is_hinted
        if self._owner is TurnOwner.DUPLEX:
            return  # it hears that it is spoken to, and stops by itself
        if is_theirs or self._push_to_talk:
            if self._interruptions.on(self._judging.occasion).is_allowed:
                self._barge_in(now)
        elif not self._is_noise:
            verdict = self._judging.of_voice(self._voice_began, now, self._text)
            self._carry_out(verdict, now)

    def _carry_out(self, verdict: Verdict, now: float) -> None:
        if verdict is not Verdict.NOTHING:
            self._barge_in(now, holds=verdict is Verdict.PAUSE)

    def _barge_in(self, now: float, *, holds: bool = False) -> None:
        """The overlap is an interruption, or looks like one: the person takes the floor."""
        self.await_end(now)
        if not self._turns.takes(Turn.TAKEN):
            return
        self._take(Turn.TAKEN)
        decision_ms = round((now - self._voice_began) * 1000, 3)
        sounding = self._responses.hold(now) if holds else None
        if sounding is not None:
            self._held = Held(since=now)
            if self._has_interims:
                self._deadlines.set(Due.WORDS, now + self._interruptions.words_ms / 1000)
        else:
            sounding = self._cut(now, spares=self._is_protected)
        if sounding is not None:
            self._outlet.emit(BargedIn(response_id=sounding, decision_ms=decision_ms))
        self._begin_turn()

    def _cut(self, now: float, *, spares: Callable[[Say], bool] | None = None) -> ResponseId | None:
        """Stop whatever sounds or is being made, for good; gives what sounded.

        `spares` tells of words of the application, none of which was heard yet, whether they are to
        be said later.
        """
        if self._held is not None:
            self._held = None
            self._deadlines.clear(Due.WORDS)
        self._weighs_words = False
        if spares is None:
            return self._responses.cut(now)[0]
        sounding, again = self._responses.cut(now, spares=spares)
        for say in again:
            self.sayings.wait(say)
        return sounding

    def _is_protected(self, say: Say) -> bool:
        """Whether a voice may not stop these words."""
        return not self._interruptions.on(say.occasion).is_allowed

    def _ask_what_was_said(self, now: float) -> None:
        """The voice that made the agent pause has ended: what did it say?"""
        assert self._held is not None
        self._held.is_asked = True
        self._awaits_words = True
        self._ask_for_words(now)

    def _ask_for_words(self, now: float) -> None:
        """What was said over the agent? Nobody is to answer it yet."""
        self._outlet.send(EndUserTurn(respond=False))
        self._outlet.do(Forward(is_on=False))
        self._deadlines.set(Due.WORDS, now + self._interruptions.words_ms / 1000)

    def words_missing(self, now: float) -> None:
        """Nobody will ever know what was said; unless it will be asked of another service."""
        if not self._outlet.is_up:
            self._deadlines.set(Due.WORDS, now + self._interruptions.words_ms / 1000)
        elif self._held is not None and not self._held.is_asked:
            self._go_on_over_noise(now)
        elif self._held is not None:
            self._confirm(now)  # and it is answered when the words are there
        elif self._weighs_words:
            self._weighs_words = False
            self._tell_ended(was_ignored=True)

    def _confirm(self, now: float) -> None:
        """It was an interruption."""
        held = self._held
        assert held is not None
        self._cut(now, spares=self._is_protected)
        if self.floor is Floor.PAUSED:
            self._wait_for_more(now)
        elif held.is_asked:
            self._answer_when(held.turn_ends, now)

    def _answer_when(self, turn_ends: float, now: float) -> None:
        """What was said over the agent is to be answered, if the person does not go on."""
        if turn_ends <= now + ROUNDING_MS / 1000:
            self._answer_now(now)
        else:
            self._answer_at = turn_ends
            self._deadlines.set(Due.END_OF_TURN, turn_ends)

    def _answer_now(self, now: float) -> None:
        """What was said over the agent is to be answered."""
        self._answer_at = None
        self._answers_after = False
        if self._is_turn_told:
            self._tell_ended()
        if self.marks is not None:
            self.marks.decided = now
        self._answers_words = self._awaits_words
        if not self._answers_words:
            self._outlet.send(CreateResponse())
        self._ask(now)
        self._say_what_waited(now)

    def _resume(self, utterance_id: UtteranceId, now: float) -> None:
        """It was no interruption: the agent goes on with the word that was due."""
        held, self._held = self._held, None
        assert held is not None
        self._deadlines.clear(Due.WORDS)
        self._awaits_words = False
        self.marks = None
        self._outlet.send(Disregard(utterance_id=utterance_id))
        self._tell_ended(was_ignored=True)
        self._take(Turn.RESUMED)
        self._tell_resumed(held, now)
        self.await_end(now)
        self._say_what_waited(now)

    def _go_on_over_noise(self, now: float) -> None:
        """The voice goes on, and there is not a word in it: the agent goes on as well."""
        if self._text or self.floor is not Floor.USER:
            return
        held, self._held = self._held, None
        assert held is not None
        self._is_noise = True
        self.marks = None
        self._take(Turn.RESUMED)
        self._tell_resumed(held, now)

    def _tell_resumed(self, held: Held, now: float) -> None:
        sounding = self._responses.sounding
        if sounding is not None:
            paused_ms = round((now - held.since) * 1000, 3)
            self._outlet.emit(AgentResponseResumed(response_id=sounding.id, paused_ms=paused_ms))
            self._responses.resume(now)

    def _weigh(self, now: float) -> None:
        """A voice over the agent has ended, which speaks on: its words decide."""
        self._weighs_words = True
        self._ask_for_words(now)
        self.marks = Marks(voice_ended=self._voice_ended)

    def _weighed(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The words of a voice over the agent are known, which spoke on."""
        self._deadlines.clear(Due.WORDS)
        if self.floor is Floor.OVERLAP and self._judging.interrupts(text, now):
            if self._judging.is_allowed:
                self._barge_in(now)  # and goes on speaking
            else:
                self._answers_after = self._judging.occasion is not Occasion.GOODBYE
            return
        is_over = self.floor is Floor.QUIET and bool(text)
        is_meant = self.floor is Floor.AGENT and self._judging.interrupts(text, now)
        if is_meant and not self._judging.is_allowed:
            self._answers_after = self._judging.occasion is not Occasion.GOODBYE
            self._tell_ended()
        elif is_over or is_meant:
            sounding = self._cut(now, spares=self._is_protected)
            if sounding is not None:
                decision_ms = round((now - self._voice_began) * 1000, 3)
                self._outlet.emit(BargedIn(response_id=sounding, decision_ms=decision_ms))
            self._take(Turn.GONE)
            self._take(Turn.ASKED)
            self._answer_when(self._voice_ended + self._end.delay(), now)
        else:
            self._outlet.send(Disregard(utterance_id=utterance_id))
            self._tell_ended(was_ignored=True)

    def stop(self, now: float) -> None:
        """Whatever is being said, or about to be, is not wanted any more."""
        is_unanswered = self.floor is Floor.WAITING and self._responses.is_idle
        if is_unanswered or self._awaits_words:
            self._outlet.send(StartUserTurn())
            self._outlet.send(ClearInput())
        was_overlap = self.floor is Floor.OVERLAP
        was_held = self._held is not None
        self._cut(now)
        if self._answer_at is not None:
            self._answer_at = None
            self._deadlines.clear(Due.END_OF_TURN)
        self._outlet.unask()
        self._awaits_words = self._answers_words = self._is_owed = False
        self._answers_after = False
        self._take(Turn.GONE)
        self.waiting.end()
        if was_overlap:
            self._begin_turn()
        elif was_held and self.floor is Floor.PAUSED:
            self._wait_for_more(now)
        elif self.floor is Floor.QUIET:
            if self._is_turn_told:
                self._tell_ended()
            self._say_what_waited(now)

    # ── words without a voice ───────────────────────────────────────────────────────────────

    def text(self, text: str, now: float) -> None:
        """The person wrote something: that interrupts what sounds."""
        if not text.strip():
            return
        if self._held is not None and self.floor is not Floor.WAITING:
            self._cut(now)  # whatever the voice says, this does
        is_turn_open = self.floor in (Floor.USER, Floor.PAUSED)
        if self.floor in (Floor.AGENT, Floor.OVERLAP, Floor.WAITING):
            self.stop(now)
        self._written += 1
        utterance_id = UtteranceId(f"written-{self._written}")
        self._history.say(text)
        self._outlet.emit(Transcription(utterance_id=utterance_id, text=text, is_final=True))
        # What is typed while the person speaks is answered together with what is said.
        self._outlet.send(SendText(text=text, respond=not is_turn_open))
        if not is_turn_open:
            self.marks = Marks(voice_ended=now, decided=now, words=now)
            self._ask(now)

    def say(self, event: Say, now: float) -> None:
        """The application wants words spoken.

        They wait for a link, if there is none, and for the end of the person's turn.
        """
        is_busy = self.floor in (Floor.USER, Floor.PAUSED) or self._held is not None
        # A goodbye comes behind the answer to what was said last.
        is_last = event.occasion is Occasion.GOODBYE
        is_busy = is_busy or (is_last and self.floor is Floor.WAITING and not self._tools.is_busy)
        if not self._outlet.is_up or is_busy:
            self.sayings.wait(event)
        else:
            self.sayings.give(event)
            self._ask(now)

    def _say_what_waited(self, now: float) -> None:
        for event in self.sayings.waited():
            self.say(event, now)

    def lose_link(self) -> None:
        """The link is gone: words of the application that nobody heard are for the next.

        So is what the person said, as sound; or, if that is not kept, as far as it was understood.
        """
        if self._is_forgotten:
            self.keep_what_was_understood()
        self._unsure = None
        for say in self._responses.unheard_sayings():
            self.sayings.wait(say)
        self.sayings.lost()

    def hang_up(self, now: float) -> bool:
        """The person is gone; whether what they said last is still being understood."""
        self._cut(now)
        if self._owner is not TurnOwner.FRAMEWORK:
            return self._outlet.is_up and (self._awaits_words or self._history.awaits_words)
        if self.floor in (Floor.USER, Floor.PAUSED, Floor.OVERLAP):
            self._outlet.send(EndUserTurn(respond=False))
            return self._outlet.is_up
        return self._outlet.is_up and self._awaits_words

    def keep_what_was_understood(self) -> None:
        """No more will be: words that are not final are all there is."""
        if self._unsure is not None:
            utterance_id, text = self._unsure
            self._unsure = None
            self._history.transcribe(utterance_id, text)
            self._outlet.emit(Transcription(utterance_id=utterance_id, text=text, is_final=True))

    def unsay(self, say_id: SayId, now: float) -> None:
        """The application no longer wants these words spoken: nothing, or no more, of them is."""
        if self.sayings.cancel(say_id):
            return
        response = self._responses.said(say_id)
        if response is None:
            self.sayings.refuse(say_id)
        elif self._held is not None and response is self._responses.sounding:
            self.stop(now)
        else:
            self._responses.drop(response, now)
            self._spent(now)

    def key(self, key: str, now: float) -> None:
        """One telephone key; what is none is ignored."""
        if key not in KEYS:
            return
        if key in self._settings.keys_end:
            self.keys_done(now)
            return
        self._keys += key
        self._deadlines.set(Due.KEYS, now + self._settings.keys_pause_ms / 1000)

    def keys_done(self, now: float) -> None:
        """The keys pressed so far are one input."""
        self._deadlines.clear(Due.KEYS)
        keys, self._keys = self._keys, ""
        self.text(keys, now)

    def _ask(self, now: float) -> None:
        """A response was asked for without a spoken turn."""
        self._take(Turn.ASKED)
        if self.floor is Floor.WAITING:
            self._await_answer(now)

    # ── the agent's responses ───────────────────────────────────────────────────────────────

    def response_started(self, event: ResponseStarted, now: float) -> None:
        """A response begins: refused if the person went on speaking meanwhile."""
        is_turn = event.origin is ResponseOrigin.TURN
        if self._is_hinted and is_turn and self.floor in (Floor.USER, Floor.PAUSED):
            # Whatever our ears say, the service found that the turn is over.
            was_voice, self._is_understood = self._is_voice, True
            self._hush(now, now)
            self.end_turn(now)
            if was_voice:
                self.marks = None  # nobody knows when it ended
        say = self.sayings.begun() if event.origin is ResponseOrigin.SAID else None
        if say is not None and self.sayings.is_refused(say):
            self._responses.refuse(event)
            return
        is_stale = self._owner is TurnOwner.FRAMEWORK and self.floor in (Floor.USER, Floor.PAUSED)
        if is_stale:
            self._responses.refuse(event)
            if say is not None:
                self.sayings.wait(say)
            return
        if self._held is not None:
            self._cut(now)
        self._responses.start(event, say)
        self._is_owed = event.origin is not ResponseOrigin.SAID
        if self._owner is not TurnOwner.FRAMEWORK:
            self._outlet.do(Forget())  # what was said so far is being answered
            self._is_forgotten = True

    def first_sound(self, response: Response, now: float) -> None:
        """The first sound of a response goes to the person."""
        if response.origin is not ResponseOrigin.SAID:
            self._awaits_words = self._is_owed = False
        self.waiting.end()
        if self.floor is Floor.WAITING and response.origin is ResponseOrigin.TURN:
            self._end.went_well()
        before = self.floor
        self._take(Turn.SOUND)
        if self.marks is not None and response.origin is not ResponseOrigin.SAID:
            self._outlet.emit(self.marks.measured(response.id, now))
            self.marks = None
        if response.origin is not ResponseOrigin.SAID and before is Floor.WAITING:
            self._say_what_waited(now)
        if before is Floor.USER:
            self._voice_began = now
            self._judge(now)
        elif before is Floor.PAUSED:
            # The service answers into the pause: whatever our ears wait for, the turn is over.
            self._deadlines.clear(Due.END_OF_TURN)
            self._tell_ended()

    def response_done(self, event: ResponseDone, now: float) -> None:
        """Nothing more of a response will be made."""
        if event.status is ResponseStatus.FAILED:
            say = self._responses.unsaid(event.response_id)
            if say is not None and self.sayings.may_repeat(say):
                self.sayings.wait(say)
        response = self._responses.done(event, now)
        if response is None:
            return
        if event.status is ResponseStatus.CANCELLED:
            self.interrupted(event.response_id, now)
        elif response.generated == 0:
            if not self._tools.is_busy and not self._came_to_nothing(response, now):
                self._spent(now)
            if self._outlet.is_up:
                self._say_what_waited(now)
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
            self._responses.put_off(now, self._dead_air.rung_ms / 1000)
        else:
            message = f"{self._provider} stopped in the middle of a response"
            self._outlet.fail(ErrorCode.TIMEOUT, message)
            self._responses.abandon(now)  # and what waits behind it is heard
            self.await_end(now)
        self.waiting.tone(now)

    def no_response(self, now: float) -> None:
        """The turn that ended gets no response."""
        self._is_understood = self._is_owed = False
        if self._answer_at is not None:
            return
        if self.floor is Floor.WAITING and self._responses.is_idle and not self._tools.is_busy:
            self._take(Turn.GONE)
            self.waiting.end()
            self._say_what_waited(now)

    def interrupted(self, response_id: ResponseId | None, now: float) -> None:
        """The service stopped a response by itself."""
        if response_id is not None and not self._responses.is_alive(response_id):
            return
        if not self._interruptions.on(self._judging.occasion).is_allowed:
            self._responses.finish(now)  # what there is of it is heard
            return
        if self._responses.is_idle:
            return
        sounding = self._cut(now)
        if self.floor is Floor.OVERLAP:
            self._take(Turn.TAKEN)
            if sounding is not None:
                decision_ms = round((now - self._voice_began) * 1000, 3)
                self._outlet.emit(BargedIn(response_id=sounding, decision_ms=decision_ms))
            self._begin_turn()
        elif self.floor is Floor.WAITING:
            self._await_answer(now)
        else:
            self._take(Turn.GONE)

    def await_end(self, now: float) -> None:
        """Settle what has sounded to its end, and go on once nothing sounds.

        Not while a response pauses: it is not known whether it has been interrupted.
        """
        if self._held is not None:
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
        self._take(Turn.SPENT)
        self._deadlines.clear(Due.END_OF_RESPONSE)
        if was_overlap:
            self._begin_turn()
        if self.floor is Floor.QUIET:
            self.waiting.end()
            if self._answers_after:
                self._answer_now(now)
            elif self._tools.is_busy or self._awaits_words or self.deafness.is_deaf:
                self._ask(now)  # the person waits for what the tool gives, or for the service
                if self.deafness.is_deaf:
                    self.waiting.hasten(now)
            elif self._outlet.is_up:
                self._say_what_waited(now)

    def _still_owed(self, now: float) -> None:
        """What sounded was not the answer, of which nothing has sounded yet."""
        was_overlap = self.floor is Floor.OVERLAP
        self._take(Turn.OWED)
        if was_overlap:
            self._cut(now, spares=self._is_protected)
            self._begin_turn()
        else:
            self._await_answer(now)

    def works(self, now: float) -> None:
        """An answer is being worked on out of sight: the person waits for it."""
        if self.floor is Floor.QUIET:
            self._ask(now)

    def tool_answered(self, now: float) -> None:
        """The service has what it asked for, and owes an answer."""
        if self.floor is Floor.WAITING:
            self._await_answer(now)

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def _await_answer(self, now: float) -> None:
        """From here on the person waits."""
        self.waiting.begin(now)

    def climb(self, now: float) -> bool:
        """The person has waited too long: one rung up the ladder. Whether it was the last."""
        if self.floor is not Floor.WAITING:
            return False
        is_busy = self._tools.is_busy
        is_deaf = self.deafness.is_deaf
        is_owed = is_busy or is_deaf or self._is_owed
        has_not_heard = self._awaits_words and self._owner is TurnOwner.FRAMEWORK
        rung = self.waiting.next(now, is_busy=is_busy, is_deaf=is_deaf or has_not_heard)
        # A model that hears all the time may choose to say nothing: it is asked once.
        is_choice = self._owner is TurnOwner.DUPLEX and rung is not Rung.NUDGE
        if (is_choice or self.deafness.is_doubtful) and not is_owed and self._responses.is_idle:
            self._take(Turn.GONE)
            self.waiting.end()
            return False
        if rung is Rung.NUDGE:
            self._cut(now, spares=lambda _: True)  # what was begun has made no sound
        self.waiting.climb(rung, now, is_busy=is_busy)
        return rung is Rung.END

    def take_up(self, now: float, *, was_asked: bool = False) -> None:
        """There is a link: go on where the conversation was.

        `was_asked` says that it was given words to answer already.
        """
        self.deafness.forgive()
        if self._owner is not TurnOwner.FRAMEWORK:
            self._outlet.do(Forward(is_on=True))
            self._outlet.do(Replay())
            if not self._awaits_words and self._can_nudge and self._is_answer_owed():
                self._outlet.send(CreateResponse())
                self._ask(now)
        elif self.floor is Floor.OVERLAP:
            self._outlet.do(Replay())
        elif self.floor in (Floor.USER, Floor.PAUSED):
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
        elif self._weighs_words or (self._held is not None and self._held.is_asked):
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
            self._ask_for_words(now)
        elif self.floor is Floor.WAITING and self._awaits_words:
            self._answers_words = False
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
            self._outlet.send(EndUserTurn())
            self._await_answer(now)
        elif self._can_nudge and self._is_answer_owed() and not was_asked:
            self._outlet.send(CreateResponse())
            self._ask(now)
        self._say_what_waited(now)

    def _is_answer_owed(self) -> bool:
        """Whether the person said something and waits, or waited in vain."""
        waits = self.floor is Floor.WAITING or self._is_owed
        return waits and self._history.is_unanswered
