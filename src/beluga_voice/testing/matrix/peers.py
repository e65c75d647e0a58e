"""What others were measured to do under the same troubles, beside what we do.

The figures of others were measured with faked services, in October and November 2026, or read in
their code where that is said: LiveKit Agents 1.8.9, and Pipecat 1.14.0. An empty cell was not
looked at, which is neither praise nor blame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from beluga_voice.testing.matrix.call import Cell, play, play_to_the_limit
from beluga_voice.testing.matrix.measure import Measured, measure
from beluga_voice.testing.matrix.people import PATIENCE_MS
from beluga_voice.testing.matrix.stages import STANDS_IN

NOTICED_MS = 50.0
"""An answer that is late by less is not noticed to be."""
HOUR_SECONDS = 3600.0
EIGHT_MINUTES = 480.0

LIVEKIT, PIPECAT = "LiveKit Agents 1.8.9", "Pipecat 1.14.0"


class Ours(Protocol):
    """What is played here; given the end of the stage's name."""

    @property
    def arguments(self) -> str:
        """Those of `beluga-voice simulate faults` with which it can be seen by itself, if any."""
        ...

    def __call__(self, end: str, /) -> Measured: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A trouble, how to let it happen here, and what others were measured to do."""

    trouble: str
    ours: Ours
    livekit: str = ""
    pipecat: str = ""


@dataclass(frozen=True, slots=True)
class _InACell:
    fault: str
    phase: str
    stage: str
    seed: int = 0

    @property
    def arguments(self) -> str:
        cell = Cell(self.fault, self.phase, self.stage, self.seed)
        return f"--only {cell.key}" + (f" --seed {self.seed}" if self.seed else "")

    def __call__(self, end: str, /) -> Measured:
        return measure(play(Cell(self.fault, self.phase, f"{self.stage}{end}", self.seed)))


@dataclass(frozen=True, slots=True)
class _ToTheLimit:
    stage: str
    seconds: float
    asks_at_ms: Sequence[float]
    arguments: str = ""

    def __call__(self, end: str, /) -> Measured:
        stage = f"{self.stage}{end}"
        return measure(play_to_the_limit(stage, self.seconds, asks_at_ms=self.asks_at_ms))


def _before(seconds: float) -> tuple[float, ...]:
    """A question over which the limit comes, and one after it."""
    return (seconds * 1000 - 400, seconds * 1000 + 20_000)


_STALE_SOUND = (
    "connects again, three times at most; what the person says meanwhile piles up, and is sent all "
    "at once (read in its code)"
)
_NO_RECONNECT = "never connects again: no answer for the rest of the call"

ROWS: tuple[Compared, ...] = (
    Compared(
        trouble="a voice takes text, and says nothing",
        ours=_InACell("hang", "awaited", "tts"),
        livekit="first sound of the second voice after 32.1 s",
    ),
    Compared(
        trouble="a voice dies in mid-sentence",
        ours=_InACell("reset", "answering", "tts", 2),
        livekit="speech in one piece: said again from its beginning, 1.0 s is heard as 2.67 s, and "
        "the second voice is never used; in pieces: the rest is dropped; no error in either",
    ),
    Compared(
        trouble="an agent begins, and says no word",
        ours=_InACell("hang", "awaited", "agent"),
        livekit="`attempt_timeout=1.0` does nothing: first word after 60 s, from the first agent",
    ),
    Compared(
        trouble="a recogniser hears, and says nothing",
        ours=_InACell("hang", "hearing", "stt"),
        livekit="still with the first after 300 s; no sound for the second",
    ),
    Compared(
        trouble="a recogniser dies while the person speaks",
        ours=_InACell("reset", "hearing", "stt", 2),
        livekit="what was said before is not heard again: 0.58 s in the test",
        pipecat="sound that comes while there is no connection is not transcribed (its list of "
        "changes, of two services); attempts to connect are 4 s apart (read in its code)",
    ),
    *(
        Compared(
            trouble=f"a speech-to-speech service {does}",
            ours=_InACell(fault, "answered", "openai_realtime"),
            livekit=_STALE_SOUND,
            pipecat=_NO_RECONNECT,
        )
        for fault, does in (
            ("close_1000", "closes with 1000"),
            ("close_1011", "closes with 1011"),
            ("reset", "loses its connection"),
        )
    ),
    Compared(
        trouble="it refuses a request, and goes on",
        ours=_InACell("complaint", "answered", "openai_realtime"),
        pipecat="hears nothing of it any more, and sends on: no answer for the rest of the call",
    ),
    Compared(
        trouble="it stays connected, and never answers",
        ours=_InACell("hang", "awaited", "openai_realtime"),
        pipecat="no event and no error within 8 s",
    ),
    Compared(
        trouble="it warns that it will go (`goAway`), while an answer sounds",
        ours=_ToTheLimit("gemini_live", 3.0, (6000, 12_000)),
        livekit="begins anew at once, and cuts the answer (read in its code)",
        pipecat="does not read it; connects again at the end; if that fails once, no answer for "
        "the rest of the call",
    ),
    Compared(
        trouble="its connections end after 60 minutes",
        ours=_ToTheLimit("openai_realtime", HOUR_SECONDS, _before(HOUR_SECONDS)),
        livekit="another connection every 20 minutes, also while the person speaks (read in its "
        "code)",
        pipecat=_NO_RECONNECT,
    ),
    Compared(
        trouble="its connections end after 8 minutes",
        ours=_ToTheLimit("nova_sonic", EIGHT_MINUTES, _before(EIGHT_MINUTES)),
        livekit="another connection after 6 minutes, in a quiet second (read in its code)",
        pipecat="another connection after 6 minutes (read in its code)",
    ),
)


def comparison() -> list[str]:
    """A table in Markdown: ours as it comes now, theirs as it was measured."""
    head = ("what happens", "played with", "here", "here, with a stand-in", LIVEKIT, PIPECAT)
    rows = [head, ("---",) * len(head)]
    for one in ROWS:
        ours = told(one.ours("")), told(one.ours(STANDS_IN))
        by_itself = f"`{one.ours.arguments}`" if one.ours.arguments else "`--compare`"
        rows.append((one.trouble, by_itself, *ours, one.livekit, one.pipecat))
    return [f"| {' | '.join(row)} |".replace("|  |", "| |").replace("|  |", "| |") for row in rows]


def told(measured: Measured) -> str:
    """What was measured, in a few words."""
    if measured.defect or measured.left:
        return "a defect"
    recovery = measured.recovery_ms
    if math.isinf(recovery) or recovery > PATIENCE_MS:
        silence = f"{measured.silence_ms / 1000:.1f} s"
        parts = [f"no answer within {PATIENCE_MS / 1000:g} s, of which {silence} in silence"]
    elif recovery < NOTICED_MS:
        parts = [] if measured.unheard or measured.lost else ["nothing is noticed"]
    else:
        parts = [f"speech {recovery / 1000:.2f} s later"]
    for words, what in (
        (measured.repeated, "of the agent heard twice"),
        (measured.unheard, "of the agent never heard"),
        (measured.lost, "of the person lost"),
    ):
        if words:
            parts.append(f"{len(words)} words {what}")
    return "; ".join(parts)
