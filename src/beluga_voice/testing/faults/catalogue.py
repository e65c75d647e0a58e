"""One of every fault, ready to strike, and where it can.

`RECIPES` are what a run of all faults goes through: `cases(Kind.STT)` gives each fault that makes
sense for a recogniser at each phase where it can strike. What troubles voice agents, and with what
each trouble is made, is in `troubles`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from beluga_voice.events import ErrorCategory
from beluga_voice.testing.faults.corrupt import Corrupt, Corruption
from beluga_voice.testing.faults.ends import Close, Complaint, Expiry, Refusal, Refused, Reset
from beluga_voice.testing.faults.fault import UP, Fault, Kind
from beluga_voice.testing.faults.finals import DuplicateFinals, NoFinal, StaleFinal
from beluga_voice.testing.faults.order import Duplicate, Loss, Reorder, Slicer, Truncate
from beluga_voice.testing.faults.pieces import Matter
from beluga_voice.testing.faults.sound import OnlySilence, WavHeader, WrongRate, ZeroAudio
from beluga_voice.testing.faults.timing import Brownout, Delay, Hang, Jitter
from beluga_voice.testing.faults.when import CONNECTING, Phase, When

PHASES: dict[Kind, tuple[Phase, ...]] = {
    Kind.S2S: tuple(Phase),
    Kind.STT: (Phase.CONNECTING, Phase.OPEN, Phase.HEARING, Phase.AWAITED, Phase.ANSWERED),
    Kind.TTS: (
        Phase.CONNECTING,
        Phase.OPEN,
        Phase.AWAITED,
        Phase.ANSWERING,
        Phase.INTERRUPTED,
        Phase.ANSWERED,
    ),
}
"""The phases that a link of each kind gets to, in the order of a call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A fault with a name of its own, and settings that are worth trying."""

    name: str
    does: str
    """What goes wrong, in a few words."""
    fault: Fault

    @property
    def kinds(self) -> frozenset[Kind]:
        """The providers it makes sense for."""
        return self.fault.kinds

    def phases(self, kind: Kind) -> tuple[Phase, ...]:
        """Where it can strike on a link of that kind."""
        if kind not in self.kinds:
            return ()
        return tuple(phase for phase in PHASES[kind] if phase in self.fault.phases)

    def at(self, phase: Phase, *, connections: int | None = None) -> Fault:
        """The fault at another phase, on the first so many connections.

        Raises `ConfigurationError` where it cannot strike there.
        """
        when = replace(self.fault.when, phase=phase, connections=connections)
        return replace(self.fault, when=when)


RECIPES: tuple[Recipe, ...] = (
    Recipe(name="delay", does="what the service says comes 300 ms late", fault=Delay()),
    Recipe(
        name="delay_up", does="what the service hears comes 300 ms late", fault=Delay(direction=UP)
    ),
    Recipe(name="jitter", does="it comes up to 200 ms late, unevenly", fault=Jitter()),
    Recipe(name="brownout", does="connecting and every answer take 2 s longer", fault=Brownout()),
    Recipe(
        name="flaky_brownout",
        does="everything takes 8 s longer, and every third call or answer fails",
        fault=Brownout(slow_ms=8000, failing=1 / 3),
    ),
    Recipe(name="hang", does="nothing comes any more, and no end", fault=Hang()),
    Recipe(name="hang_up", does="nothing reaches the service any more", fault=Hang(direction=UP)),
    Recipe(
        name="blackout",
        does="nothing comes for 8 s, then all of it at once",
        fault=Hang(when=When(lasting_ms=8000)),
    ),
    Recipe(name="loss", does="a fifth of the sound from the service is lost", fault=Loss()),
    Recipe(
        name="loss_up", does="a fifth of the sound to the service is lost", fault=Loss(direction=UP)
    ),
    Recipe(
        name="lost_words",
        does="half of the words that come with sound, and of interim transcripts, are lost",
        fault=Loss(share=0.5, of=Matter.WORDS),
    ),
    Recipe(name="duplicate", does="a fifth of the sound comes twice", fault=Duplicate()),
    Recipe(name="reorder", does="pieces of sound change places", fault=Reorder()),
    Recipe(name="slicer", does="sound comes in odd small pieces", fault=Slicer()),
    Recipe(name="slicer_up", does="sound goes out in odd small pieces", fault=Slicer(direction=UP)),
    Recipe(
        name="truncate", does="answers end after 400 ms, as if they were whole", fault=Truncate()
    ),
    Recipe(
        name="truncate_up",
        does="the service hears the first 400 ms of an utterance",
        fault=Truncate(direction=UP),
    ),
    Recipe(name="zero_audio", does="success without a sound", fault=ZeroAudio()),
    Recipe(
        name="empty_answer",
        does="success without a sound or a word",
        fault=ZeroAudio(keeps_words=False),
    ),
    Recipe(name="only_silence", does="all sound is silence", fault=OnlySilence()),
    Recipe(
        name="deaf",
        does="the service gets silence instead of sound",
        fault=OnlySilence(direction=UP),
    ),
    Recipe(name="wrong_rate", does="sound of half the stated rate", fault=WrongRate()),
    Recipe(name="wav_header", does="a file header comes before the sound", fault=WavHeader()),
    Recipe(name="noise", does="sound is noise", fault=Corrupt()),
    Recipe(
        name="half_samples",
        does="one piece of sound in ten ends inside a sample",
        fault=Corrupt(how=Corruption.HALF_SAMPLES, share=0.1),
    ),
    Recipe(
        name="garbled_words", does="words have other letters", fault=Corrupt(how=Corruption.WORDS)
    ),
    Recipe(
        name="broken_arguments",
        does="the arguments of a tool call break off",
        fault=Corrupt(how=Corruption.ARGUMENTS),
    ),
    Recipe(name="no_final", does="no transcript is ever final", fault=NoFinal()),
    Recipe(
        name="duplicate_finals", does="every final transcript comes twice", fault=DuplicateFinals()
    ),
    Recipe(
        name="stale_final",
        does="the final transcript of the last turn comes in the next",
        fault=StaleFinal(),
    ),
    Recipe(name="reset", does="the link dies, and what is on its way is lost", fault=Reset()),
    Recipe(name="close_1000", does="the service closes the link", fault=Close(code=1000)),
    Recipe(name="close_1011", does="it closes with an internal error", fault=Close(code=1011)),
    Recipe(name="close_1013", does="it closes: try again later", fault=Close(code=1013)),
    Recipe(name="close_4000", does="it closes with a code of its own", fault=Close(code=4000)),
    Recipe(
        name="expiry",
        does="the connection expires, 5 s after a warning",
        fault=Expiry(warning_ms=5000),
    ),
    Recipe(name="sudden_expiry", does="it expires without a warning", fault=Expiry()),
    Recipe(
        name="complaint",
        does="the service refuses a request, and goes on",
        fault=Complaint(provider_code="invalid_request"),
    ),
    Recipe(
        name="fatal_complaint",
        does="the service tells of an error that ends the link",
        fault=Complaint(category=ErrorCategory.RETRYABLE, is_fatal=True),
    ),
    Recipe(name="unreachable", does="no connection comes about", fault=Refusal()),
    Recipe(
        name="overloaded",
        does="connecting is refused: come back in 30 s",
        fault=Refusal(why=Refused.OVERLOADED, retry_after=30),
    ),
    Recipe(
        name="overloaded_for_long",
        does="connecting is refused: come back later, whenever that is",
        fault=Refusal(why=Refused.OVERLOADED),
    ),
    Recipe(name="denied", does="the credentials are wrong", fault=Refusal(why=Refused.DENIED)),
    Recipe(name="rejected", does="the quota is used up", fault=Refusal(why=Refused.REJECTED)),
    Recipe(
        name="flapping",
        does="every third connection is refused",
        fault=Refusal(when=replace(CONNECTING, every=3)),
    ),
)


class Case(NamedTuple):
    """A fault at a phase."""

    recipe: Recipe
    phase: Phase


def recipe(name: str) -> Recipe:
    """The recipe of that name; raises `KeyError`."""
    return _BY_NAME[name]


def cases(kind: Kind) -> Iterator[Case]:
    """Every fault at every phase at which it can strike a provider of that kind."""
    for one in RECIPES:
        for phase in one.phases(kind):
            yield Case(one, phase)


_BY_NAME = {one.name: one for one in RECIPES}
