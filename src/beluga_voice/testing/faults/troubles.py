"""What is known to trouble voice agents, and with what each trouble can be made in a test.

Forty-six groups of faults and bad inputs, from incident reports and issue trackers of this field.
Where a part of a group cannot be made with this kit, `missing` says which part, and why.
"""

from dataclasses import dataclass
from enum import StrEnum


class By(StrEnum):
    """What makes it happen."""

    FAULTY = "`Faulty`"
    """Around any provider: `beluga_voice.testing.faults`."""
    NETWORK = "network"
    """Conditions and faults of the simulated network: `beluga_voice.testing.network`."""
    EMULATOR = "emulator"
    """A service's own wire, with `Faults`: `beluga_voice.testing.emulators`."""
    SCRIPT = "script"
    """`ScriptedProvider`: an async function is the service, event by event."""
    CALLER = "caller"
    """`ScriptedCaller`, or any line of your own: the person's side."""
    PROGRAM = "program"
    """Your own tools, agent and settings, which a test gives the session."""
    CLIENT = "client"
    """Any websocket or HTTP client, at the server of the page, also in the simulation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """A group of faults or bad inputs."""

    number: int
    text: str
    by: tuple[By, ...] = ()
    """None where nothing here can make it."""
    recipes: tuple[str, ...] = ()
    """Names in the catalogue."""
    how: str = ""
    """How, where no recipe says it."""
    missing: str = ""
    """What of it cannot be made here, and why."""


NO_PHONE = "there is no telephone line in this package"
NOT_OURS = "it is about the application's own storage and policy"

TROUBLES: tuple[Trouble, ...] = (
    # ── services ────────────────────────────────────────────────────────────────────────────
    Trouble(
        number=1,
        text="No connection at the start: refused, unknown name, expired certificate",
        by=(By.FAULTY, By.NETWORK),
        recipes=("unreachable", "denied"),
        how="`network.refuse`, `black_hole`, `hide_name`",
        missing="a TLS handshake as such: the simulation has none; the error is the same",
    ),
    Trouble(
        number=2,
        text="The handshake is accepted, and the first event never comes",
        by=(By.FAULTY, By.EMULATOR),
        recipes=("hang",),
        how="at `open`, or at `connecting` for a handshake that hangs; `is_mute`",
    ),
    Trouble(
        number=3,
        text="The link breaks in mid-sentence, or is closed with a code of any kind",
        by=(By.FAULTY, By.EMULATOR, By.NETWORK),
        recipes=("reset", "close_1000", "close_1011", "close_1013", "close_4000"),
        how="`drop_after_audio_ms`, `close_code`; `network.reset`",
    ),
    Trouble(
        number=4,
        text="A stream opens with success and brings nothing of use; an empty answer",
        by=(By.FAULTY,),
        recipes=("hang", "empty_answer"),
        how="at `awaited`",
    ),
    Trouble(
        number=5,
        text="Speech succeeds with zero audio, in the first or the fifth sentence",
        by=(By.FAULTY,),
        recipes=("zero_audio",),
        how="`When(occurrence=5, phase=Phase.AWAITED)`",
    ),
    Trouble(
        number=6,
        text="Only silence, a wrong rate, or a file header inside the sound",
        by=(By.FAULTY,),
        recipes=("only_silence", "wrong_rate", "wav_header"),
    ),
    Trouble(
        number=7,
        text="Never a final transcript; finals twice, or after the next turn began; a recogniser "
        "that goes quiet while sound flows",
        by=(By.FAULTY,),
        recipes=("no_final", "duplicate_finals", "stale_final", "hang"),
        how="`hang` at `hearing`",
    ),
    Trouble(
        number=8,
        text="Too many requests, with or without a time to come back; a quota that is used up",
        by=(By.FAULTY, By.EMULATOR),
        recipes=("overloaded", "overloaded_for_long", "rejected", "complaint"),
        how="`refuse_status`, `retry_after`",
    ),
    Trouble(
        number=9,
        text="A brownout: answers take seconds instead of milliseconds, without an error",
        by=(By.FAULTY, By.NETWORK),
        recipes=("brownout", "flaky_brownout"),
        how="`Conditions(brownouts=...)`",
    ),
    Trouble(
        number=10,
        text="A service that flaps: every third call fails",
        by=(By.FAULTY,),
        recipes=("flapping",),
        how="`When(every=3)`, for any fault",
    ),
    Trouble(
        number=11,
        text="A connection expires: during a tool call, an interruption, the agent's speech",
        by=(By.FAULTY, By.EMULATOR),
        recipes=("expiry", "sudden_expiry"),
        how="at `tool`, `interrupted`, `answering`; `expire_after_ms`",
    ),
    Trouble(
        number=12,
        text="A pong that is late, a half-open connection, a slow close, writes of one byte",
        by=(By.NETWORK, By.FAULTY),
        recipes=("hang", "blackout", "slicer"),
        how="`network.stall`, `Conditions(slice_bytes=1)`",
        missing="a change of the address under an open connection: there is no NAT in between",
    ),
    Trouble(
        number=13,
        text="A cancellation or truncation is rejected; nothing to cancel; two active responses",
        by=(By.FAULTY, By.SCRIPT),
        recipes=("complaint",),
        how="at `interrupted`; two responses at once by script",
    ),
    Trouble(
        number=14,
        text="A tool never returns, raises, returns after the call or the interruption, or returns "
        "5 MB or no JSON; arguments that are no JSON",
        by=(By.PROGRAM, By.FAULTY),
        recipes=("broken_arguments",),
        how="a tool of the test does that",
    ),
    Trouble(
        number=15,
        text="A delegation that is unknown, stale, doubled or too early; an answer while "
        "reconnecting",
        by=(By.SCRIPT, By.FAULTY),
        recipes=("reset",),
        how="by script; `reset` while our agent thinks",
    ),
    Trouble(
        number=16,
        text="Every service and every stand-in is down",
        by=(By.FAULTY,),
        recipes=("unreachable",),
        how="around each of them",
    ),
    # ── the session ─────────────────────────────────────────────────────────────────────────
    Trouble(
        number=17,
        text="An interruption at the first or the last moment of sound, before it, during a tool, "
        "twice in 100 ms",
        by=(By.CALLER,),
        how="`caller.begin` at that millisecond",
    ),
    Trouble(
        number=18,
        text="Coughs, other voices, echo, whispers, an hour of silence, keys while speaking",
        by=(By.CALLER,),
        how="`caller.noise`; recorded sound by a line of your own",
        missing="what a real detector makes of real rooms: that needs recordings, not faults",
    ),
    Trouble(
        number=19,
        text="A false interruption, also while a service is being replaced",
        by=(By.CALLER, By.FAULTY),
        recipes=("reset",),
        how="`caller.noise`, with `reset` at `interrupted`",
    ),
    Trouble(
        number=20,
        text="Ten minutes without a pause; one word; spelling with pauses",
        by=(By.CALLER,),
        how="`caller.say`, with pauses between",
    ),
    Trouble(
        number=21,
        text="Races at the end: a clipped goodbye, hanging up while speech waits, a second call",
        by=(By.CALLER, By.CLIENT),
        how="`caller.hang_up` at that millisecond; a client that opens two calls",
        missing=f"a mark that is never acknowledged: {NO_PHONE}",
    ),
    Trouble(
        number=22,
        text="A prompt for an absent person, while the agent thinks or a tool runs",
        by=(By.PROGRAM, By.FAULTY),
        recipes=("brownout",),
        how="an agent or tool that takes long",
    ),
    Trouble(
        number=23,
        text="History after an interruption or a replaced service holds more than was heard",
        by=(By.CALLER, By.FAULTY),
        recipes=("reset", "lost_words"),
        how="interrupt, then look at `session.history`",
    ),
    # ── transports ──────────────────────────────────────────────────────────────────────────
    Trouble(
        number=24,
        text="Odd bytes, tiny, huge or empty pieces of sound, clipping, other rates and "
        "channels, a clock that drifts",
        by=(By.FAULTY, By.CALLER, By.CLIENT),
        recipes=("half_samples", "slicer", "slicer_up", "wrong_rate", "noise"),
        how="frames of any size from a line or a client of your own",
        missing="loss inside an Opus stream: no line here carries Opus",
    ),
    Trouble(
        number=25,
        text="Messages out of order, doubled or missing; broken encodings; starts and stops twice",
        by=(By.FAULTY, By.NETWORK, By.CLIENT),
        recipes=("reorder", "duplicate", "loss", "loss_up"),
        how="`Conditions(corrupt_share=...)`; a client that says so",
        missing="order on a TCP stream: the network numbers its bytes, so nothing can reorder them",
    ),
    Trouble(
        number=26,
        text="A caller who reads too slowly",
        by=(By.NETWORK,),
        how="`Conditions(bytes_per_second=1000)`, or a client that stops reading",
    ),
    Trouble(
        number=27,
        text="The caller's network changes, or is gone for 8 s",
        by=(By.NETWORK, By.FAULTY),
        recipes=("blackout",),
        how="`network.stall` and `resume`",
        missing="ICE and TURN: no line here is WebRTC",
    ),
    Trouble(
        number=28,
        text="Webhooks: wrong signatures, replays, forged callbacks, floods",
        missing=f"{NO_PHONE}, and so no webhook",
    ),
    Trouble(
        number=29,
        text="Telephony: early media, hold, keys in the sound, voicemail, transfers that fail",
        missing=NO_PHONE,
    ),
    # ── servers ─────────────────────────────────────────────────────────────────────────────
    Trouble(
        number=30,
        text="A server ends with calls on it: asked, asked twice, or killed",
        by=(By.CLIENT,),
        how="signals to a process that serves; `tests/cli/test_signals.py` does",
        missing="the loss of a whole machine: that is a test of an installation",
    ),
    Trouble(
        number=31,
        text="The event loop is blocked for 500 ms",
        by=(By.PROGRAM,),
        how="a tool that computes, on a real loop",
        missing="in simulated time nothing blocks: no time passes while a program runs",
    ),
    Trouble(
        number=32,
        text="Memory, file descriptors or the disk run out; a leaked task for each call; slow "
        "helpers such as databases",
        by=(By.PROGRAM, By.NETWORK),
        how="`simulate` fails on leaks; `network.stall` for a database; a `path` that is full, "
        "such as `/dev/full`, for recordings",
        missing="memory that is out: the system kills the process, and nothing is left to test",
    ),
    Trouble(
        number=33,
        text="Twice the capacity arrives within seconds",
        by=(By.CLIENT, By.PROGRAM),
        how="many callers in one simulation; `Limited` says how many may be in",
    ),
    Trouble(
        number=34,
        text="The clock jumps; daylight saving; a machine that was suspended",
        by=(By.PROGRAM,),
        how="all time is the loop's, which is monotonic",
        missing="a jump of the wall clock: nothing that decides here reads it",
    ),
    Trouble(
        number=35,
        text="A configuration with an unknown name, a bad key or a missing package",
        by=(By.PROGRAM, By.FAULTY),
        recipes=("denied",),
        how="settings of the test; `Denied` for the key",
    ),
    # ── security ────────────────────────────────────────────────────────────────────────────
    Trouble(
        number=36,
        text="Access tokens that are missing, expired, for something else, or oversized",
        by=(By.CLIENT,),
        how="a client that says so",
    ),
    Trouble(
        number=37,
        text="A page of another origin opens a websocket; a server that is open by default",
        by=(By.CLIENT,),
        how="a client with that `Origin`",
    ),
    Trouble(
        number=38,
        text="Guessing the ids of others; one tenant's memory in another's call",
        by=(By.CLIENT, By.PROGRAM),
        how="two sessions with different keys",
    ),
    Trouble(
        number=39,
        text="Instructions that are spoken, or hidden in tool results and documents",
        by=(By.CALLER, By.PROGRAM),
        how="say it, or let a tool return it",
        missing="whether a model obeys: that is found out with the model, not with a fault",
    ),
    Trouble(
        number=40,
        text="Tool arguments with addresses inside, or numbers that cost money",
        by=(By.SCRIPT,),
        how="a scripted service calls the tool with them",
    ),
    Trouble(
        number=41,
        text="Secrets and card numbers in logs, errors, traces and recordings",
        by=(By.FAULTY, By.CALLER),
        recipes=("fatal_complaint",),
        how="`Complaint(message=...)` with a secret in it; say a number",
    ),
    Trouble(
        number=42,
        text="What is to be deleted stays somewhere",
        missing=NOT_OURS,
    ),
    Trouble(
        number=43,
        text="Compression bombs, floods of fragments and pings, idle sockets, slow handshakes",
        by=(By.CLIENT, By.NETWORK),
        how="a client; `Conditions(bytes_per_second=...)` for slow ones",
    ),
    Trouble(
        number=44,
        text="An endpoint that returns too much, redirects for ever, or trickles",
        by=(By.NETWORK, By.PROGRAM),
        how="a server of the test, with `bytes_per_second`",
    ),
    Trouble(
        number=45,
        text="A plugin that does harm when it is imported",
        missing="code that runs in the process can do all that the process can",
    ),
    Trouble(
        number=46,
        text="A recording without consent, or a machine that does not say that it is one",
        missing=NOT_OURS,
    ),
)
