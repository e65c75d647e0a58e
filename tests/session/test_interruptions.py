"""What stops the agent, and what only sounds as if."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.interruptions import (
    NEVER,
    InterruptionPolicy,
    InterruptionSettings,
    is_backchannel,
)
from beluga_voice.events import (
    AgentResponseEnded,
    AgentResponseResumed,
    BargedIn,
    DeadAir,
    Occasion,
    ResponseOutcome,
    Rung,
    SessionState,
    UserSpeechEnded,
)
from beluga_voice.interfaces import AgentTurn
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from session.stage import LONG, play, stage

FILL = EngineSettings(interruptions=InterruptionSettings(normal=InterruptionPolicy(min_words=1)))


def over_the_agent(what, *, rest=5.0, **settings):
    """The agent speaks two seconds from 860 ms on; at 2000 ms the person makes a sound."""

    async def scene():
        async with stage(**settings) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2.0 - asyncio.get_running_loop().time())
            if isinstance(what, int):
                await on.caller.noise(what)
            else:
                await on.caller.say(what)
            await asyncio.sleep(rest)
            return (
                on,
                on.caller.heard,
                on.caller.sounds_ms,
                on.user_words(),
                on.agent_words(),
                on.session.state,
            )

    return play(scene)


def test_noise_makes_the_agent_pause_and_go_on_with_the_word_that_was_due():
    """Half a second of noise costs a pause; no word is lost, and the cut one is said again."""
    on, heard, sounds, user, agent, state = over_the_agent(500)
    assert on.trace.at_ms(BargedIn) == 2280
    # 300 ms after the noise the words are asked for, and 50 ms later there are none.
    assert on.trace.at_ms(AgentResponseResumed) == 2480 + 300 + 50
    assert on.trace.of(AgentResponseResumed)[0].paused_ms == 550
    first, second = sounds
    assert first == (860, 2280)
    # Seven words of 200 ms had been heard, and 20 ms of the eighth.
    assert second == (2830, 2830 + 2000 - 1400)
    assert heard == LONG
    assert (user, agent) == (["hello"], [LONG])
    assert on.trace.of(UserSpeechEnded)[-1].was_ignored
    assert state is SessionState.IDLE
    ended = on.trace.of(AgentResponseEnded)
    assert [one.outcome for one in ended] == [ResponseOutcome.HEARD]
    assert (ended[0].generated_ms, ended[0].heard_ms) == (2000, 2000)


def test_without_word_times_it_goes_on_where_it_stopped():
    """No sample is lost or repeated."""
    on, _, sounds, *_ = over_the_agent(500, tts=ScriptedTts(delay_ms=30, has_word_times=False))
    assert sounds == [(860, 2280), (2830, 2830 + 2000 - 1420)]
    assert on.trace.of(AgentResponseEnded)[0].heard_ms == 2000


@pytest.mark.parametrize("lead_ms", [20, 100, 200])
def test_what_a_line_held_ahead_is_heard_after_the_pause(lead_ms):
    """A line with a buffer is emptied at the pause, and given the same sound again."""
    from beluga_voice.testing.caller import ScriptedCaller

    _, heard, sounds, *_ = over_the_agent(500, caller=ScriptedCaller(lead_ms=lead_ms))
    assert heard == LONG
    assert sounds == [(860, 2280), (2830, 3430)]


def test_a_backchannel_does_not_stop_the_agent():
    """After "mm-hm" the agent goes on, and nobody answers it."""
    on, heard, _, user, agent, _ = over_the_agent("mm-hm right")
    assert heard == LONG
    assert agent == [LONG]
    assert user == ["hello", "mm-hm right"]
    assert len(on.trace.of(AgentResponseResumed)) == 1


def test_words_that_say_something_stop_it_and_are_answered():
    """The response is cut where it paused, and the answer comes after the usual silence."""
    on, heard, sounds, user, agent, _state = over_the_agent("stop it now")
    assert user == ["hello", "stop it now"]
    assert agent == ["one two three four five six seven", LONG]
    assert heard == f"one two three four five six seven {LONG}"
    assert next(one.outcome for one in on.trace.of(AgentResponseEnded)) is ResponseOutcome.CUT
    # 600 ms of silence after 600 ms of words; the words were known before it was over.
    assert sounds[1][0] == 2580 + 600 + 30
    assert not on.trace.of(AgentResponseResumed)


def test_interim_words_settle_it_at_once():
    """A service that understands as it hears makes the pause an interruption while it is spoken."""
    on, *_ = over_the_agent("please stop it", stt=ScriptedStt(delay_ms=50, interim=True))
    # "please" was understood at 2180 (it was on the line whole): no pause is needed at 2280.
    assert on.trace.at_ms(BargedIn) == on.trace.at_ms(AgentResponseEnded) == 2280


def test_the_person_may_go_on_after_the_first_word():
    """A pause within the interruption makes no second turn, and nothing of it is lost."""

    async def scene():
        async with stage() as on:
            await on.caller.say("hello")
            await asyncio.sleep(2.0 - asyncio.get_running_loop().time())
            await on.caller.say("well actually")
            await asyncio.sleep(0.45)  # longer than until the words are asked for
            await on.caller.say("I want two")
            await asyncio.sleep(5)
            return on.user_words(), on.caller.heard, on.agent_words()

    user, heard, agent = play(scene)
    assert user == ["hello", "well actually", "I want two"]
    assert agent == ["one two three four five six seven", LONG]
    assert heard == " ".join(agent)


def test_noise_and_then_words_are_an_interruption():
    """What made the agent pause said nothing; what followed before it went on did."""

    async def scene():
        async with stage(stt=ScriptedStt(delay_ms=200)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(2.0 - asyncio.get_running_loop().time())
            await on.caller.noise(400)
            await asyncio.sleep(0.32)
            await on.caller.say("stop it now")
            await asyncio.sleep(5)
            return on.user_words(), on.agent_words(), on.trace

    user, agent, seen = play(scene)
    assert user == ["hello", "stop it now"]
    assert agent == ["one two three four five six", LONG]
    assert not seen.of(AgentResponseResumed)


def test_words_that_never_come_make_it_an_interruption():
    """A service that does not answer does not leave the agent paused for ever."""
    once = ScriptedStt(delay_ms=50, finals=lambda number, words: [(50, words)][: number == 1])
    on, *_ = over_the_agent(500, stt=once, rest=20)
    # 300 ms after the noise the words are asked for, and 1500 ms later nobody waits for them.
    assert on.trace.at_ms(AgentResponseEnded) == 2480 + 300 + 1500
    assert on.trace.of(AgentResponseEnded)[0].outcome is ResponseOutcome.CUT
    # What was said is awaited like the words of any turn.
    assert on.trace.at_ms(DeadAir) == 2480 + 300 + 1500 + 6000
    assert on.trace.of(DeadAir)[0].rung is Rung.SWAP


def test_a_policy_may_cut_at_once():
    """Without `resumes`, the voice alone decides."""
    on, heard, *_ = over_the_agent(500, interruptions=InterruptionPolicy(resumes=False))
    assert on.trace.at_ms(AgentResponseEnded) == on.trace.at_ms(BargedIn) == 2280
    assert heard == "one two three four five six seven"


# ── words wanted ────────────────────────────────────────────────────────────────────────────


def test_with_words_wanted_noise_costs_no_dead_air():
    """The agent speaks on through a noise of a second and a half."""
    on, heard, sounds, user, *_ = over_the_agent(
        1500, settings=FILL, stt=ScriptedStt(delay_ms=50, interim=True)
    )
    assert heard == LONG
    assert sounds == [(860, 2860)]
    assert user == ["hello"]
    assert not on.trace.of(BargedIn)


def test_with_words_wanted_a_backchannel_costs_no_dead_air():
    """Nor does "mm-hm"."""
    _, heard, sounds, _, agent, _ = over_the_agent(
        "mm-hm", settings=FILL, stt=ScriptedStt(delay_ms=50, interim=True)
    )
    assert (heard, agent) == (LONG, [LONG])
    assert sounds == [(860, 2860)]


def test_with_words_wanted_the_first_word_stops_it():
    """As soon as it is understood."""
    on, _, _, user, *_ = over_the_agent(
        "stop it", settings=FILL, stt=ScriptedStt(delay_ms=50, interim=True)
    )
    assert on.trace.at_ms(BargedIn) == 2180
    assert user == ["hello", "stop it"]


def test_with_words_wanted_and_no_interims_the_final_words_stop_it():
    """The agent speaks until the voice has ended and its words are known, and then answers."""
    on, heard, _, user, agent, _ = over_the_agent("stop", settings=FILL)
    # 200 ms of "stop", 200 ms until the voice counts as ended, 50 ms for its words.
    assert on.trace.at_ms(AgentResponseEnded) == 2430
    assert user == ["hello", "stop"]
    assert agent[1:] == [LONG]
    assert heard.endswith(LONG)


# ── occasions ───────────────────────────────────────────────────────────────────────────────


def test_a_notice_is_heard_to_its_end():
    """What is said over it is answered after it, and does not clip it."""

    async def scene():
        async with stage() as on:
            saying = on.session.say("this call is recorded", occasion=Occasion.NOTICE)
            await asyncio.sleep(0.3)
            await on.caller.say("wait what is that")
            outcome = await saying.wait()
            await asyncio.sleep(5)
            return outcome, on.caller.heard, on.user_words()

    outcome, heard, user = play(scene)
    assert outcome is ResponseOutcome.HEARD
    assert heard.startswith("this call is recorded")
    assert user == ["wait what is that"]


def test_each_occasion_has_its_policy():
    """A greeting may be made uninterruptible; the next response is not."""
    policies = InterruptionSettings(greeting=NEVER)

    async def scene():
        settings = EngineSettings(interruptions=policies)
        async with stage(settings=settings, greeting="welcome to the long greeting") as on:
            await asyncio.sleep(0.1)
            await on.caller.say("stop it")
            await asyncio.sleep(3)
            first = on.trace.of(AgentResponseEnded)[0]
            return first, on.trace.of(BargedIn)

    first, barged = play(scene)
    assert first.outcome is ResponseOutcome.HEARD
    assert first.heard_text == "welcome to the long greeting"
    assert barged == []


def test_while_a_tool_runs_its_policy_holds():
    """Words that keep the person company while a tool works may be protected."""

    async def lookup() -> str:
        """Look something up."""
        await asyncio.sleep(3)
        return "found"

    async def agent(turn: AgentTurn):
        yield "one moment please I look it up for you. "
        yield await turn.call_tool("lookup", "{}")

    async def scene():
        settings = EngineSettings(interruptions=InterruptionSettings(tool_running=NEVER))
        async with stage(agent, settings=settings, tools=[lookup]) as on:
            await on.caller.say("hello")
            await asyncio.sleep(1.2)
            await on.caller.noise(600)
            await asyncio.sleep(6)
            return on.trace.of(BargedIn), on.caller.heard

    barged, heard = play(scene)
    assert barged == []
    assert heard == "one moment please I look it up for you. found"


def early_voice(words, guard_ms):
    """A voice over the agent's first words, which are "one two three"."""

    async def scene():
        policy = InterruptionPolicy(guard_ms=guard_ms)
        async with stage(interruptions=policy) as on:
            await on.caller.say("hello")
            await asyncio.sleep(0.9 - asyncio.get_running_loop().time())
            await on.caller.say(words)
            await asyncio.sleep(5)
            return on.agent_words(), on.user_words(), len(on.trace.of(BargedIn))

    return play(scene)


def test_the_agents_own_words_come_back_from_the_line():
    """Where echo is reckoned with they neither stop it nor are they answered."""
    agent, _user, barged = early_voice("one two three", 500)
    assert agent == [LONG]
    assert barged == 0
    assert early_voice("one two three", 0)[2] == 1


def test_a_person_who_is_early_is_heard_all_the_same():
    """Other words than the agent's stop it once they are understood."""
    agent, user, _ = early_voice("no wait a moment", 500)
    assert user == ["hello", "no wait a moment"]
    assert len(agent) == 2
    assert agent[0] != LONG


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mm-hm", True),
        ("Okay. Right!", True),
        ("uh huh, I see", True),
        ("okay but wait", False),
        ("no", False),
        ("", False),
        ("...", False),
        ("sure I'd like that", False),
    ],
)
def test_backchannels_are_told_from_words(text, expected):
    """Only a text with nothing else in it is one."""
    assert is_backchannel(text) is expected
