"""Whether a replayed call went well for the person: what a test of a recorded call asserts.

Three things are asked, and nothing about words, which a recording does not hold:

* *No silence beyond a bound.* While it is the agent's turn (processing, responding, or connecting
  again in the course of these), the line is never without sound for longer than `silence_ms`. Any
  sound ends a silence, also the tone that says that the line lives.
* *No sound repeated.* No piece of the agent's sound is heard twice in a row, and no stretch of
  `REPEATED_MS` that was heard of a response is heard again in it, or in a later one if it failed.
  (That a voice says the same words alike in another answer is no repetition.) Silence does not
  count, nor do pieces under `PIECE_MS`.
* *No sound lost.* What the service gave of a response is heard whole, unless the person cut it off;
  no response fails, and no speech of the person is lost on its way to the service.

And the session does not fail.
"""

from collections import Counter
from collections.abc import Iterator

from beluga_voice.audio.formats import to_milliseconds, to_samples
from beluga_voice.events import (
    AgentResponseAudio,
    AgentResponseEnded,
    AgentResponseResumed,
    ErrorOccurred,
    ResponseAudio,
    ResponseId,
    ResponseOutcome,
    SessionEnded,
    SessionState,
    StateChanged,
)
from beluga_voice.testing.recording.call import ReplayedCall
from beluga_voice.testing.speech import is_loud

SILENCE_MS = 3000.0
REPEATED_MS = 500.0
KEY_BYTES = 64
"""So much of a piece of made-up sound says which one it is."""
PIECE_MS = 10.0
WORD_MS = 1500.0
"""A response that is taken up again after a pause begins with the word that broke off."""
FRAME_MS = 20.0
"""What is missing at the end of a response may be less than a frame."""
AGENT_TURN = frozenset({SessionState.PROCESSING, SessionState.RESPONDING})


def problems(call: ReplayedCall, *, silence_ms: float = SILENCE_MS) -> list[str]:
    """What was not well; nothing, if the person was served well."""
    return [
        *_silences(call, silence_ms),
        *_repeated(call),
        *_too_much(call),
        *_lost(call),
        *_failures(call),
    ]


# ── silence ─────────────────────────────────────────────────────────────────────────────────


def _silences(call: ReplayedCall, silence_ms: float) -> Iterator[str]:
    for begin, end in _agent_turns(call):
        since = begin
        edges = [(start, stop) for start, stop in call.sounds_ms if stop > begin and start < end]
        for start, stop in [*edges, (end, end)]:
            if start - since > silence_ms:
                silent = f"{start - since:.0f} ms of silence from {since:.0f} ms on"
                yield f"{silent}, in the agent's turn"
            since = max(since, stop)


def _agent_turns(call: ReplayedCall) -> Iterator[tuple[float, float]]:
    """When it was the agent's turn: begin and end, in milliseconds."""
    begin: float | None = None
    for one in call.trace.happenings:
        if not isinstance(one.event, StateChanged):
            continue
        state, at = one.event.state, one.at * 1000
        goes_on = state is SessionState.RECONNECTING and begin is not None
        if state in AGENT_TURN or goes_on:
            begin = at if begin is None else begin
        elif begin is not None:
            yield begin, at
            begin = None
    if begin is not None:
        yield begin, call.lasted_ms


# ── repeated, and lost ──────────────────────────────────────────────────────────────────────


def _heard(call: ReplayedCall) -> dict[ResponseId, bytes]:
    """The sound of each response, as it was handed to the person's line."""
    heard: dict[ResponseId, list[bytes]] = {}
    for event in call.trace.of(AgentResponseAudio):
        heard.setdefault(event.response_id, []).append(event.pcm)
    return {response_id: b"".join(pieces) for response_id, pieces in heard.items()}


def _pieces(call: ReplayedCall) -> list[ResponseAudio]:
    """Pieces that can be told from one another."""
    shortest = max(KEY_BYTES, to_samples(PIECE_MS, call.rate) * 2)
    return [
        one
        for one in call.given
        if isinstance(one, ResponseAudio) and len(one.pcm) >= shortest and is_loud(one.pcm)
    ]


def _repeated(call: ReplayedCall) -> Iterator[str]:
    heard = _heard(call)
    failed = {
        one.response_id
        for one in call.trace.of(AgentResponseEnded)
        if one.outcome is ResponseOutcome.FAILED
    }
    pairs: dict[tuple[bytes, bytes], set[ResponseId]] = {}
    """Which piece followed which, and in which responses."""
    previous: ResponseAudio | None = None
    run_ms = 0.0
    for one in _pieces(call):
        if previous is None or previous.response_id != one.response_id:
            previous, run_ms = one, 0.0
            continue
        name, key, pair = one.response_id, _key(one), (_key(previous), _key(one))
        length_ms = to_milliseconds(len(one.pcm) // 2, call.rate)
        if pair[0] == key and _times(key, heard, {name}) > 1:
            yield f"{length_ms:.0f} ms of {name} are heard twice in a row"
        before = pairs.setdefault(pair, set())
        same = before & (failed | {name})
        is_again = bool(same) and _times(key, heard, same | {name}) > 1
        run_ms = run_ms + length_ms if is_again else 0.0
        if run_ms >= REPEATED_MS:
            yield f"{run_ms:.0f} ms of {name} were heard before"
            run_ms = 0.0
        before.add(name)
        previous = one


def _too_much(call: ReplayedCall) -> Iterator[str]:
    """More than the service gave: then the session has repeated it."""
    given: dict[ResponseId, int] = {}
    for one in call.given:
        if isinstance(one, ResponseAudio):
            given[one.response_id] = given.get(one.response_id, 0) + len(one.pcm)
    resumed = Counter(one.response_id for one in call.trace.of(AgentResponseResumed))
    for name, sound in _heard(call).items():
        extra_ms = to_milliseconds((len(sound) - given.get(name, 0)) // 2, call.rate)
        if extra_ms > FRAME_MS + WORD_MS * resumed[name]:
            yield f"{extra_ms:.0f} ms more of {name} were heard than there are"


def _times(key: bytes, heard: dict[ResponseId, bytes], responses: set[ResponseId]) -> int:
    """How often a piece was heard, in these responses."""
    return sum(heard.get(one, b"").count(key) for one in responses)


def _lost(call: ReplayedCall) -> Iterator[str]:
    heard = _heard(call)
    given: dict[ResponseId, list[ResponseAudio]] = {}
    for one in _pieces(call):
        given.setdefault(one.response_id, []).append(one)
    for ended in call.trace.of(AgentResponseEnded):
        name = ended.response_id
        missing_ms = ended.generated_ms - ended.heard_ms
        if ended.outcome is ResponseOutcome.FAILED:
            yield f"{name} failed after {ended.heard_ms:.0f} ms were heard"
        elif ended.outcome is ResponseOutcome.HEARD:
            if missing_ms > FRAME_MS:
                yield f"{missing_ms:.0f} ms of {name} were not heard"
            if lost := _missing(given.get(name, []), heard.get(name, b"")):
                pieces = "piece" if lost == 1 else "pieces"
                yield f"{lost} {pieces} of {name} not heard"
    if call.metrics.lost_input_ms:
        yield f"{call.metrics.lost_input_ms:.0f} ms of the person's speech were lost"


def _missing(given: list[ResponseAudio], sound: bytes) -> int:
    """How many pieces are not in the sound, in their order."""
    missing = position = 0
    for one in given:
        found = sound.find(_key(one), position)
        if found < 0:
            missing += 1
        else:
            position = found + KEY_BYTES
    return missing


def _failures(call: ReplayedCall) -> Iterator[str]:
    for error in call.trace.of(ErrorOccurred):
        if error.is_fatal:
            yield f"a fatal error: {error.code}"
    for ended in call.trace.of(SessionEnded):
        if ended.reason == "failed":
            yield "the session failed"


def _key(piece: ResponseAudio) -> bytes:
    return piece.pcm[:KEY_BYTES]
