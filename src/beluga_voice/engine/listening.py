"""The person's turn, from the first sound of their voice to its end.

How it works. A voice begins a turn, unless the agent sounds: then it is an `Overlap`. A silence
that lasts as long as `Endpointing` says ends it, or the service does, whose turns they are. What is
understood meanwhile is noted in the `Utterance`, and an answer is made ready where one can be.
"""

from collections.abc import Callable

from beluga_voice.engine.deadlines import Due
from beluga_voice.engine.deafness import Deafness
from beluga_voice.engine.effects import Forget, Forward
from beluga_voice.engine.endpointing import Endpointing
from beluga_voice.engine.hearing import Hearing
from beluga_voice.engine.history import History
from beluga_voice.engine.latency import Marks
from beluga_voice.engine.outlet import Outlet
from beluga_voice.engine.overlap import Overlap
from beluga_voice.engine.turn_taking import TurnTaking
from beluga_voice.engine.turns import Floor, Turn, TurnSettings
from beluga_voice.engine.utterance import Utterance
from beluga_voice.engine.waiting import Waiting
from beluga_voice.events import (
    EndOfTurnLikely,
    EndUserTurn,
    PrepareResponse,
    Transcription,
    UtteranceId,
)


class Listening:
    """The turns of one person.

    `can_prepare` says whether the service can make an answer ready; `say_what_waited` is called
    when it may be the moment for words of the application.
    """

    def __init__(
        self,
        outlet: Outlet,
        turns: TurnTaking,
        utterance: Utterance,
        hearing: Hearing,
        overlap: Overlap,
        waiting: Waiting,
        history: History,
        deafness: Deafness,
        end: Endpointing,
        settings: TurnSettings,
        *,
        can_prepare: bool,
        say_what_waited: Callable[[float], None],
    ) -> None:
        self._outlet = outlet
        self._deadlines = outlet.deadlines
        self._turns = turns
        self._utterance = utterance
        self._hearing = hearing
        self._overlap = overlap
        self._waiting = waiting
        self._history = history
        self._deafness = deafness
        self._end = end
        self._settings = settings
        self._prepares = hearing.is_ours and can_prepare and settings.prepares
        self._is_preparing = False
        self._say_what_waited = say_what_waited
        self._went_on = False
        """Whether the person makes a sound when the turn was taken for over, before an answer."""
        self.input_at = 0.0
        """When there was sound from the line last."""

    # ── what is heard ───────────────────────────────────────────────────────────────────────

    def heard_voice(self, began: float, now: float) -> None:
        """Our ears noticed a voice, which began at `began`."""
        if not self._hearing.is_ours:
            self._deafness.voice(began, owes_answer=self._turns.floor is Floor.WAITING)
        if self._hearing.has_ears and not self._turns.is_push_to_talk:
            self._voice(began, now)

    def heard_hush(self, ended: float, now: float) -> None:
        """Our ears noticed that the voice ended at `ended`."""
        if not self._hearing.is_ours:
            self._deafness.hush(ended)
        if self._hearing.has_ears and not self._turns.is_push_to_talk:
            self._hush(ended, now)

    def service_heard_voice(self, now: float) -> None:
        """The service noticed a voice."""
        if self._hearing.is_by_service:
            self._voice(now, now)

    def service_heard_end(self, now: float) -> None:
        """The service noticed the end of a turn, after the silence that it waits for."""
        if self._hearing.is_by_service and self._utterance.is_voice:
            self._hush(now - (self._hearing.silence or 0.0), now)
            self.end_turn(now)

    def talk_key(self, is_down: bool, now: float) -> None:
        """Push-to-talk: the key says who speaks, and the voice detector no longer does."""
        self._turns.is_push_to_talk = True
        if is_down:
            self._voice(now, now)
        elif self._utterance.is_voice:
            self._hush(now, now)
            self.end_turn(now)

    def check_input(self, now: float) -> None:
        """The person speaks, as far as we know: is there still sound from the line?"""
        due = self.input_at + self._settings.stalled_input_ms / 1000
        if due > now:
            self._deadlines.set(Due.STALLED_INPUT, due)
            return
        self._hush(self.input_at, now)
        if not self._hearing.is_ours:
            self.end_turn(now)

    def conclude(self, now: float) -> None:
        """Whatever is heard, the person's turn is over: there was something in it to answer."""
        self._utterance.is_understood = True
        self._hush(now, now)
        self.end_turn(now)

    def _voice(self, began: float, now: float) -> None:
        if self._utterance.is_voice:
            return
        self._utterance.begin(began)
        self._turns.is_owed = False
        self._overlap.voice_began()
        self._end.begin()
        self._prepare(is_wanted=False)
        before = self._turns.floor
        self._turns.take(Turn.VOICE)
        self._deadlines.set(Due.STALLED_INPUT, now + self._settings.stalled_input_ms / 1000)
        if before is Floor.PAUSED:
            self._deadlines.clear(Due.END_OF_TURN)
            return
        self._turns.tell_began()
        if before is Floor.AGENT:
            self._outlet.do(Forward(is_on=True))
            self._overlap.judge(now)
            return
        if before is Floor.WAITING:
            self._waiting.end()
            self._deadlines.clear(Due.END_OF_TURN)
            self._went_on = not self._overlap.goes_on(now)
        self._turns.begin_turn()

    def _hush(self, ended: float, now: float) -> None:
        if not self._utterance.is_voice:
            return
        self._utterance.is_voice = False
        self._deadlines.clear(Due.STALLED_INPUT)
        before = self._turns.floor
        if not self._turns.takes(Turn.HUSH):
            return
        self._turns.take(Turn.HUSH)
        self._utterance.ended = ended
        if before is Floor.OVERLAP:
            self._overlap.voice_ended(now)
            return
        self._utterance.marks = Marks(voice_ended=ended)
        if self._hearing.has_ears:
            self.wait_for_more(now)

    # ── the end of a turn ───────────────────────────────────────────────────────────────────

    def wait_for_more(self, now: float) -> None:
        """The person has paused: if they do not go on soon, the turn is over."""
        due = self._overlap.pauses(self._utterance.ended + self._end.delay())
        if due <= now:
            self.end_turn(now)
        else:
            self._deadlines.set(Due.END_OF_TURN, due)
            self._prepare()

    def guessed(self, probability: float, now: float) -> None:
        """A turn detector guessed whether the person is done."""
        self._end.probability = probability
        is_paused = self._turns.floor is Floor.PAUSED
        if is_paused and self._hearing.has_ears and not self._turns.is_push_to_talk:
            self.wait_for_more(now)

    def service_guessed(self, event: EndOfTurnLikely, now: float) -> None:
        """The speech-to-text service believes that the turn is over."""
        if event.is_eager or not self._hearing.is_ours:
            self._prepare()
            return
        self._end.is_decided = True
        if self._turns.floor is Floor.PAUSED and not self._turns.is_push_to_talk:
            self.wait_for_more(now)

    def went_on(self) -> None:
        """The speech-to-text service was wrong."""
        self._end.is_decided = False
        self._prepare(is_wanted=False)

    def end_turn(self, now: float) -> None:
        """The person's turn is over."""
        self._deadlines.clear(Due.END_OF_TURN)
        if self._overlap.is_answer_due:
            self._overlap.answer(now)
            return
        if not self._turns.is_persons:
            return
        self._turns.take(Turn.OVER)
        if self._overlap.turn_ended(now):
            return
        hearing, utterance = self._hearing, self._utterance
        if utterance.marks is None:
            utterance.marks = Marks(voice_ended=now)
        if (hearing.has_ears and not hearing.is_hinted) or hearing.silence is not None:
            utterance.marks.decided = now
        are_known = hearing.is_hinted and utterance.has_words
        self._turns.awaits_words = not are_known
        if are_known:
            self._outlet.do(Forget())  # they are known: no other service has to hear them
        if hearing.is_ours:
            self._outlet.send(EndUserTurn())
            self._outlet.do(Forward(is_on=False))
        self._is_preparing = False
        self._turns.tell_ended()
        if hearing.is_hinted and not utterance.is_understood:
            self._turns.take(Turn.GONE)  # a sound without words is answered by nobody
            return
        self._waiting.begin(now)
        self._say_what_waited(now)

    def break_off(self) -> None:
        """The person may speak on: their turn is over, and gets no answer."""
        self._utterance.is_voice = False
        self._utterance.marks = None
        for due in (Due.END_OF_TURN, Due.STALLED_INPUT):
            self._deadlines.clear(due)
        if self._hearing.is_ours:
            self._outlet.send(EndUserTurn(respond=False))
            self._outlet.do(Forward(is_on=False))
        self._turns.tell_ended()
        self._turns.take(Turn.OVER)
        self._turns.take(Turn.GONE)

    def _prepare(self, *, is_wanted: bool = True) -> None:
        """Have an answer made ready to what is understood so far, or have it forgotten."""
        if not self._prepares or self._overlap.is_holding:
            return
        if is_wanted and self._utterance.is_understood and self._turns.floor is Floor.PAUSED:
            self._is_preparing = True
            self._outlet.send(PrepareResponse())
        elif not is_wanted and self._is_preparing:
            self._is_preparing = False
            self._outlet.send(PrepareResponse(is_wanted=False))

    # ── what is understood ──────────────────────────────────────────────────────────────────

    def words_heard(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The service understands something of what the person says."""
        utterance = self._utterance
        utterance.unsure = utterance_id, text
        self._understood_late(text, now)
        if self._turns.awaits_words and self._turns.floor is Floor.WAITING:
            self._waiting.progress(now)
        utterance.is_understood, utterance.has_words = True, False
        utterance.text = text
        self._says_more(text)
        if self._turns.floor is Floor.USER:
            self._end.is_decided = False  # there is more
        if self._overlap.is_open:
            self._overlap.words_heard(text, now)
        else:
            self._prepare()

    def utterance_over(self, utterance_id: UtteranceId) -> None:
        """The service has taken an utterance for itself, and will tell what was said."""
        self._utterance.is_over(utterance_id)
        self._overlap.utterance_over(utterance_id)

    def is_earlier(self, utterance_id: UtteranceId) -> bool:
        """Whether that utterance was over when the present one began."""
        return utterance_id in self._utterance.earlier

    def words_known(self, utterance_id: UtteranceId, text: str, now: float) -> None:
        """The final words of an utterance are there: of the present one, or of one before."""
        utterance = self._utterance
        if utterance.unsure is not None and utterance.unsure[0] == utterance_id:
            utterance.unsure = None
        if utterance.has_come(utterance_id):
            if self._turns.awaits_words and self._turns.floor is Floor.WAITING:
                self._waiting.progress(now)
            self._overlap.earlier_words_known(utterance_id, text, now)
            return
        utterance.unsure = None
        self._turns.wants_words = False
        self._understood_late(text, now)
        utterance.is_understood = utterance.has_words = True
        self._turns.awaits_words = False
        self._says_more(text)
        if utterance.marks is not None:
            utterance.marks.note_words(now)
        self._overlap.words_known(utterance_id, text, now)

    def keep_what_was_understood(self) -> None:
        """No more will be: words that are not final are all there is."""
        if self._utterance.unsure is not None:
            utterance_id, text = self._utterance.unsure
            self._utterance.unsure = None
            self._history.transcribe(utterance_id, text)
            self._outlet.emit(Transcription(utterance_id=utterance_id, text=text, is_final=True))

    def _understood_late(self, text: str, now: float) -> None:
        """A service that tells of words only has told of none by the end of the turn, and now does.

        It was a turn, then, and its answer has been waited for since the voice ended.
        """
        is_late = self._hearing.is_hinted and self._turns.awaits_words
        if text and is_late and self._turns.floor is Floor.QUIET:
            self._turns.ask(now)
            self._waiting.has_waited_since(self._utterance.ended, now)

    def _says_more(self, text: str) -> None:
        """Who says more after the turn was taken for over was cut off; a cough was not."""
        if text and self._went_on:
            self._went_on = False
            self._end.was_cut_off()
