"""Who speaks when: puts the table of turns into effect.

How it works. Voice, silence, keys, typed words and the ends of responses are inputs of the table
in `turns`; what a change of the floor means (begin or end a turn with the service, cut a response,
wait for an answer) is done here. While the person waits in silence, the dead-air ladder is climbed.

Interruption is one path, `Responses.cut`: whoever stops a response (the person's voice, a key,
typed words, the service) comes through it, so the ledger, the history and the service always agree
about what was heard.
"""

from collections.abc import Callable

from beluga_voice.engine.deadlines import DeadAirSettings, Due, Rung
from beluga_voice.engine.effects import Forget, Forward, Replay, Tone
from beluga_voice.engine.history import History
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.playback import Response
from beluga_voice.engine.responses import Responses
from beluga_voice.engine.tools import Tools
from beluga_voice.engine.turns import Floor, Turn, TurnSettings, turns
from beluga_voice.errors import ErrorCode
from beluga_voice.events import (
    BargedIn,
    ClearInput,
    CreateResponse,
    EndUserTurn,
    ResponseDone,
    ResponseId,
    ResponseOrigin,
    ResponseStarted,
    ResponseStatus,
    Say,
    SendText,
    StartUserTurn,
    Transcription,
    UserSpeechEnded,
    UserSpeechStarted,
    UtteranceId,
)
from beluga_voice.interfaces import TurnOwner

KEYS_PAUSE_MS = 2000
"""Telephone keys that follow one another within this time are one input; `#` ends it at once."""

ROUNDING_MS = 0.001
"""Times that differ by less are the same."""


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
        is_hinted: bool,
        has_ears: bool,
        turn_settings: TurnSettings,
        dead_air: DeadAirSettings,
        can_nudge: bool,
        provider: str,
        on_change: Callable[[], None],
    ) -> None:
        self._outlet = outlet
        self._deadlines = outlet.deadlines
        self._responses = responses
        self._history = history
        self._tools = tools
        self._owner = owner
        self._is_hinted = is_hinted
        self._has_ears = has_ears
        # One that finds the turns may find one also where it mostly leaves the hearing to us.
        self._is_heard_by_service = owner is TurnOwner.PROVIDER or not has_ears
        self._settings = turn_settings
        self._dead_air = dead_air
        self._can_nudge = can_nudge
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
        self._owes_answer = False
        self._unsaid: list[Say] = []
        self._rung: Rung | None = None
        self._keys = ""
        self._written = 0
        self.marks: Marks | None = None
        """The latency of the present turn, until its first sound."""
        self.input_at = 0.0
        """When there was sound from the line last."""

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
        if self._has_ears and not self._push_to_talk:
            self._voice(began, now)

    def heard_hush(self, ended: float, now: float) -> None:
        """Our ears noticed that the voice ended at `ended`."""
        if self._has_ears and not self._push_to_talk:
            self._hush(ended, now)

    def service_heard_voice(self, now: float) -> None:
        """The service noticed a voice."""
        if self._is_heard_by_service:
            self._voice(now, now)

    def service_heard_end(self, now: float) -> None:
        """The service noticed the end of a turn."""
        if self._is_heard_by_service and self._is_voice:
            self._hush(now, now)
            self.end_turn(now)

    def voiced(self, now: float) -> None:
        """A frame of the person's voice came: it may be the one that makes an interruption."""
        if self.floor is Floor.OVERLAP:
            self._judge(now)

    def talk_key(self, is_down: bool, now: float) -> None:
        """Push-to-talk: the key says who speaks, and the voice detector no longer does."""
        self._push_to_talk = True
        if is_down:
            if self.floor in (Floor.AGENT, Floor.OVERLAP):
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
        self._owes_answer = False
        self._is_understood = self._has_words = False
        self._voice_began = began
        before = self.floor
        self._take(Turn.VOICE)
        self._deadlines.set(Due.STALLED_INPUT, now + self._settings.stalled_input_ms / 1000)
        if before is Floor.PAUSED:
            self._deadlines.clear(Due.END_OF_TURN)
            return
        self._outlet.emit(UserSpeechStarted())
        if before is Floor.AGENT:
            self._outlet.do(Forward(is_on=True))
            self._judge(now)
            return
        if before is Floor.WAITING:
            self._responses.cut(now)
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
        if before is Floor.OVERLAP:
            self._ignore()
            return
        self.marks = Marks(voice_ended=ended)
        if self._has_ears:
            due = ended + self._settings.end_silence_ms / 1000
            if due <= now:
                self.end_turn(now)
            else:
                self._deadlines.set(Due.END_OF_TURN, due)

    def _ignore(self) -> None:
        """What the person uttered over the agent was no interruption."""
        if self._owner is TurnOwner.FRAMEWORK:
            self._outlet.send(ClearInput())
            self._outlet.do(Forward(is_on=False))
            self._outlet.do(Forget())
        # A model that hears while it speaks has heard it, and does with it what it likes.
        self._outlet.emit(UserSpeechEnded(was_ignored=self._owner is not TurnOwner.DUPLEX))

    # ── turns ───────────────────────────────────────────────────────────────────────────────

    def _begin_turn(self) -> None:
        """The person has the floor, and the service should know."""
        if self._owner is TurnOwner.FRAMEWORK:
            self._outlet.send(StartUserTurn())
            self._outlet.do(Forward(is_on=True))

    def end_turn(self, now: float) -> None:
        """The person's turn is over."""
        self._deadlines.clear(Due.END_OF_TURN)
        if not self._turns.takes(Turn.OVER):
            return
        self._take(Turn.OVER)
        if self.marks is None:
            self.marks = Marks(voice_ended=now)
        if not self._is_hinted:
            self.marks.decided = now
        are_known = self._is_hinted and self._has_words
        self._awaits_words = not are_known
        if are_known:
            self._outlet.do(Forget())  # they are known: no other service has to hear them
        if self._owner is TurnOwner.FRAMEWORK:
            self._outlet.send(EndUserTurn())
            self._outlet.do(Forward(is_on=False))
        self._outlet.emit(UserSpeechEnded())
        if self._is_hinted and not self._is_understood:
            self._take(Turn.GONE)  # a sound without words is answered by nobody
            return
        self._await_answer(now)
        self._say_what_waited(now)

    def words_heard(self) -> None:
        """The service understands something of what the person says."""
        self._is_understood = True
        self._has_words = False

    def words_known(self, now: float) -> None:
        """The final words of the utterance are there."""
        self._is_understood = self._has_words = True
        self._awaits_words = False
        if self.marks is not None:
            self.marks.note_words(now)

    def _judge(self, now: float) -> None:
        """Voice and a response sound at once: which of them goes on?"""
        is_theirs = self._owner is TurnOwner.PROVIDER and not self._is_hinted
        if self._owner is TurnOwner.DUPLEX:
            return  # it hears that it is spoken to, and stops by itself
        if is_theirs or self._push_to_talk:
            self._barge_in(now)
        elif self._settings.allow_interruptions:
            voiced_ms = (now - self._voice_began) * 1000
            if voiced_ms >= self._settings.min_interruption_ms - ROUNDING_MS:
                self._barge_in(now)

    def _barge_in(self, now: float) -> None:
        """The overlap is an interruption: the person takes the floor."""
        if not self._turns.takes(Turn.TAKEN):
            return
        self._take(Turn.TAKEN)
        decision_ms = round((now - self._voice_began) * 1000, 3)
        if (sounding := self._responses.cut(now)) is not None:
            self._outlet.emit(BargedIn(response_id=sounding, decision_ms=decision_ms))
        self._begin_turn()

    def stop(self, now: float) -> None:
        """Whatever is being said, or about to be, is not wanted any more."""
        if self.floor is Floor.WAITING and self._responses.is_idle:
            self._outlet.send(StartUserTurn())
            self._outlet.send(ClearInput())
        was_overlap = self.floor is Floor.OVERLAP
        self._responses.cut(now)
        self._outlet.unask()
        self._take(Turn.GONE)
        self._deadlines.clear(Due.ANSWER)
        if was_overlap:
            self._begin_turn()

    # ── words without a voice ───────────────────────────────────────────────────────────────

    def text(self, text: str, now: float) -> None:
        """The person wrote something: that interrupts what sounds."""
        if not text.strip():
            return
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
        if not self._outlet.is_up or self.floor in (Floor.USER, Floor.PAUSED):
            self._unsaid.append(event)
        else:
            self._outlet.send(event)
            self._ask(now)

    def _say_what_waited(self, now: float) -> None:
        unsaid, self._unsaid = self._unsaid, []
        for event in unsaid:
            self.say(event, now)

    def key(self, key: str, now: float) -> None:
        """One telephone key."""
        if key == "#":
            self.keys_done(now)
            return
        self._keys += key
        self._deadlines.set(Due.KEYS, now + KEYS_PAUSE_MS / 1000)

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
        is_stale = self._owner is TurnOwner.FRAMEWORK and self.floor in (Floor.USER, Floor.PAUSED)
        if is_stale:
            self._responses.refuse(event)
            return
        self._responses.start(event)
        if self._owner is not TurnOwner.FRAMEWORK:
            self._outlet.do(Forget())  # what was said so far is being answered

    def first_sound(self, response: Response, now: float) -> None:
        """The first sound of a response goes to the person."""
        self._deadlines.clear(Due.ANSWER)
        self._rung = None
        before = self.floor
        self._take(Turn.SOUND)
        marks, self.marks = self.marks, None
        if marks is not None and response.origin is not ResponseOrigin.SAID:
            self._outlet.emit(marks.measured(response.id, now))
        if before is Floor.USER:
            self._voice_began = now
            self._judge(now)
        elif before is Floor.PAUSED:
            # The service answers into the pause: whatever our ears wait for, the turn is over.
            self._deadlines.clear(Due.END_OF_TURN)
            self._outlet.emit(UserSpeechEnded())

    def response_done(self, event: ResponseDone, now: float) -> None:
        """Nothing more of a response will be made."""
        response = self._responses.done(event, now)
        if response is None:
            return
        if event.status is ResponseStatus.CANCELLED:
            self.interrupted(event.response_id, now)
        elif response.generated == 0:
            if response.has_failed and self.floor is Floor.WAITING:
                self._owes_answer = True
                self._outlet.do(Tone())
            if not self._tools.running:
                self._spent(now)
        else:
            self.await_end(now)

    def give_up(self, now: float) -> None:
        """A response broke off in silence: what was heard is all there is, unless a tool runs."""
        if self._tools.running:
            self._deadlines.set(Due.PROGRESS, now + self._dead_air.rung_ms / 1000)
        else:
            message = f"{self._provider} stopped in the middle of a response"
            self._outlet.fail(ErrorCode.TIMEOUT, message)
            self._responses.abandon()  # and what waits behind it is heard
            self.await_end(now)
        self._outlet.do(Tone())

    def no_response(self) -> None:
        """The turn that ended gets no response."""
        self._is_understood = False
        if self.floor is Floor.WAITING and self._responses.is_idle and not self._tools.running:
            self._take(Turn.GONE)
            self._deadlines.clear(Due.ANSWER)

    def interrupted(self, response_id: ResponseId | None, now: float) -> None:
        """The service stopped a response by itself."""
        if response_id is not None and not self._responses.is_alive(response_id):
            return
        if self._responses.is_idle:
            return
        sounding = self._responses.cut(now)
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
        """Settle what has sounded to its end, and go on once nothing sounds."""
        if self._responses.await_end(now):
            self._spent(now)

    def _spent(self, now: float) -> None:
        """Nothing more may be sounding, and nothing more coming."""
        if not self._responses.is_idle:
            return
        was_overlap = self.floor is Floor.OVERLAP
        self._take(Turn.SPENT)
        self._deadlines.clear(Due.END_OF_RESPONSE)
        if was_overlap:
            self._begin_turn()
        if self.floor is Floor.QUIET:
            self._deadlines.clear(Due.ANSWER)
            if self._tools.running:
                self._ask(now)  # the person waits for what the tool gives

    def tool_answered(self, now: float) -> None:
        """The service has what it asked for, and owes an answer."""
        if self.floor is Floor.WAITING:
            self._await_answer(now)

    # ── waiting ─────────────────────────────────────────────────────────────────────────────

    def _await_answer(self, now: float) -> None:
        """From here on the person waits."""
        self._rung = None
        self._deadlines.set(Due.ANSWER, now + self._dead_air.answer_ms / 1000)

    def climb(self, now: float) -> None:
        """The person has waited too long: one rung up the ladder."""
        if self.floor is not Floor.WAITING:
            return
        may_be_silent = self._owner is TurnOwner.DUPLEX and not self._tools.running
        if self._rung is None and self._can_nudge and not self._tools.running:
            self._responses.cut(now)  # what was begun has made no sound
            self._rung = Rung.NUDGE
            self._outlet.send(CreateResponse())
        elif may_be_silent and self._responses.is_idle:
            self._take(Turn.GONE)
            return
        else:
            if self._rung is not Rung.TONE:
                message = f"{self._provider} gave no answer in time"
                self._outlet.fail(ErrorCode.TIMEOUT, message)
            self._rung = Rung.TONE
            self._outlet.do(Tone())
        self._deadlines.set(Due.ANSWER, now + self._dead_air.rung_ms / 1000)

    def take_up(self, now: float, *, was_asked: bool = False) -> None:
        """There is a link: go on where the conversation was.

        `was_asked` says that it was given words to answer already.
        """
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
        elif self.floor is Floor.WAITING and self._awaits_words:
            self._outlet.send(StartUserTurn())
            self._outlet.do(Replay())
            self._outlet.send(EndUserTurn())
            self._await_answer(now)
        elif self._can_nudge and self._is_answer_owed() and not was_asked:
            self._outlet.send(CreateResponse())
            self._ask(now)
        self._owes_answer = False
        self._say_what_waited(now)

    def _is_answer_owed(self) -> bool:
        """Whether the person said something and waits, or waited in vain."""
        waits = self.floor is Floor.WAITING or self._owes_answer
        return waits and self._history.is_unanswered
