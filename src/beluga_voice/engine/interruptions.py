"""What interrupts a response, and what only sounds as if.

How it works. Each occasion on which the agent speaks has a policy. A voice over a response has to
last `min_ms`, or bring `min_words`; then the line falls silent. Where words are known before an
answer is made (`Capabilities.transcribes_first`), that is a pause at first: the voice may have been
a cough, or somebody's "mm-hm". Words that say something make it an interruption; none, or none but
backchannels, and the response goes on with the word that was due.

A policy is data, and so is the list of backchannels: replace either.
"""

import re
from dataclasses import dataclass, field
from enum import Enum, auto

from beluga_voice.engine.responses import Responses
from beluga_voice.engine.tools import Tools
from beluga_voice.events import Occasion, ResponseId, UtteranceId

ROUNDING_MS = 0.001
"""Times that differ by less are the same."""

BACKCHANNELS = frozenset(
    """
    ah | aha | alright | all right | cool | got it | great | hm | hmm | i see | mhm | mm | mm hm
    mm-hm | mmhmm | mm hmm | oh | oh okay | ok | okay | right | sure | uh | uh huh | uh-huh | um
    wow | yeah | yep | yup | ach so | genau | ja | aha ja | ach | d'accord | ouais | vale | claro
    """.replace("\n", "|").split("|")
)
"""What people say to show that they listen: English, and some German, French and Spanish."""

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words_of(text: str) -> list[str]:
    """The words, in lower case and without punctuation."""
    return _WORD.findall(text.lower())


def is_backchannel(text: str, phrases: frozenset[str] = BACKCHANNELS) -> bool:
    """Whether there is nothing in the text but backchannels; there is in none."""
    known = {tuple(words_of(phrase)) for phrase in phrases} - {()}
    longest = max(map(len, known), default=0)
    words = words_of(text)
    position = 0
    while position < len(words):
        for length in range(min(longest, len(words) - position), 0, -1):
            if tuple(words[position : position + length]) in known:
                position += length
                break
        else:
            return False
    return bool(words)


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionPolicy:
    """What stops the agent on one occasion."""

    is_allowed: bool = True
    """Whether a voice may stop it at all. Keys, typed words and `interrupt()` always do."""
    min_ms: float = 300
    """Voice shorter than this does not."""
    min_words: int = 0
    """So many words have to be understood first; the agent speaks on until then. Needs a service
    with interim transcripts to be quick. 0 leaves it to `min_ms`."""
    guard_ms: float = 0
    """A voice that begins so soon after the agent's first sound may be its echo. Its words tell,
    where they are known before an answer is made: those of the agent are no interruption. Where
    they are not, such a voice is dropped."""
    resumes: bool = True
    """Whether the agent goes on after a voice that said nothing."""


NEVER = InterruptionPolicy(is_allowed=False)
"""Nothing that is said stops it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InterruptionSettings:
    """The policies, by occasion; `None` is as on normal ones."""

    normal: InterruptionPolicy = field(default_factory=InterruptionPolicy)
    greeting: InterruptionPolicy | None = None
    tool_running: InterruptionPolicy | None = None
    """While a tool runs."""
    notice: InterruptionPolicy | None = NEVER
    goodbye: InterruptionPolicy | None = NEVER
    backchannels: frozenset[str] = BACKCHANNELS
    """What does not interrupt, in lower case."""
    resume_ms: float = 300
    """So long after the voice that made it pause, it is asked for what was said."""
    words_ms: float = 1500
    """So long the words are waited for; without them, it was an interruption."""

    def on(self, occasion: Occasion) -> InterruptionPolicy:
        """The policy of that occasion."""
        policy: InterruptionPolicy | None = getattr(self, occasion.value)
        return policy or self.normal

    def interrupts(self, text: str, occasion: Occasion) -> bool:
        """Whether these words, said over the agent, mean that it should stop."""
        wanted = max(1, self.on(occasion).min_words)
        enough = len(words_of(text)) >= wanted
        return enough and not is_backchannel(text, self.backchannels)


@dataclass(slots=True)
class Held:
    """A response that pauses while it is found out whether it was interrupted."""

    since: float
    turn_ends: float = 0.0
    """When the person's turn would be over by the usual silence."""
    is_asked: bool = False
    """Whether the words of the voice that made it pause were asked for."""


@dataclass(slots=True)
class Weighed:
    """A voice over a response that spoke on, and whose words are awaited."""

    over: ResponseId | None
    """What sounded."""
    occasion: Occasion
    """On which the voice began."""
    utterance_id: UtteranceId | None = None
    """What the service calls it, once it has told."""
    is_late: bool = False
    """Whether the words were waited for in vain, or the person has said more since."""


class Verdict(Enum):
    """What a voice over a response is taken for."""

    NOTHING = auto()
    PAUSE = auto()
    """It looks like an interruption; what is said will tell."""
    CUT = auto()


class Judge:
    """Decides about voices over responses. `can_hold` is whether a response can pause."""

    def __init__(
        self,
        settings: InterruptionSettings,
        responses: Responses,
        tools: Tools,
        *,
        can_hold: bool,
    ) -> None:
        self.settings = settings
        self._responses = responses
        self._tools = tools
        self.can_hold = can_hold
        """Whether a response can pause, and words be answered later."""

    @property
    def occasion(self) -> Occasion:
        """On what occasion the agent speaks."""
        sounding = self._responses.sounding
        occasion = Occasion.NORMAL if sounding is None else sounding.occasion
        if occasion is Occasion.NORMAL and self._tools.is_busy:
            return Occasion.TOOL_RUNNING
        return occasion

    def weighs_words(self, began: float, occasion: Occasion) -> bool:
        """Whether the words of a voice decide that has ended, and did not stop the agent."""
        policy = self.settings.on(occasion)
        is_open = policy.min_words > 0 or self._may_be_echo(policy, began)
        return self.can_hold and policy.is_allowed and is_open

    def keeps_words(self, began: float, ended: float, occasion: Occasion) -> bool:
        """Whether the words of a voice over what may not be interrupted are for afterwards."""
        policy = self.settings.on(occasion)
        is_long = (ended - began) * 1000 >= policy.min_ms - ROUNDING_MS
        return self.can_hold and not policy.is_allowed and is_long

    @property
    def is_allowed(self) -> bool:
        """Whether anything may interrupt the agent now."""
        return self.settings.on(self.occasion).is_allowed

    def interrupts(self, text: str, now: float, *occasions: Occasion) -> bool:
        """Whether these words, said over the agent, mean that it should stop.

        On the present occasion, or on one of the others on which they were said.
        """
        means = any(self.settings.interrupts(text, one) for one in (self.occasion, *occasions))
        return means and not self._is_echo(text, now)

    def of_voice(self, began: float, now: float, text: str) -> Verdict:
        """A voice that began then still goes on, and said this so far."""
        policy = self.settings.on(self.occasion)
        if not policy.is_allowed or policy.min_words or self._may_be_echo(policy, began):
            return Verdict.NOTHING
        if (now - began) * 1000 < policy.min_ms - ROUNDING_MS:
            return Verdict.NOTHING
        is_sure = not (self.can_hold and policy.resumes)
        is_sure = is_sure or self.settings.interrupts(text, self.occasion)
        return Verdict.CUT if is_sure else Verdict.PAUSE

    def of_words(self, text: str, began: float, now: float) -> Verdict:
        """Words are understood, while the agent speaks on."""
        is_theirs = self.weighs_words(began, self.occasion) and self.interrupts(text, now)
        return Verdict.CUT if is_theirs else Verdict.NOTHING

    def _may_be_echo(self, policy: InterruptionPolicy, began: float) -> bool:
        """Whether a voice came so early that it may be the agent's own, from the person's line."""
        sounding = self._responses.sounding
        if not policy.guard_ms or sounding is None or sounding.began is None:
            return False
        return began - sounding.began < policy.guard_ms / 1000

    def _is_echo(self, text: str, now: float) -> bool:
        """Whether the agent itself has said that, where its echo is reckoned with."""
        sounding = self._responses.sounding
        if sounding is None or not self.settings.on(self.occasion).guard_ms:
            return False
        said = f" {' '.join(words_of(self._responses.said_by(sounding, now)))} "
        return f" {' '.join(words_of(text))} " in said
