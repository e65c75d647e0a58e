"""The scenes, each with the story that every provider tells of it."""

import asyncio
import json

from beluga_voice.events import ToolSpec
from beluga_voice.interfaces import Faithfulness, Tool, TurnOwner
from beluga_voice.testing.conformance import Peer
from beluga_voice.testing.emulators.speech import Asked, Calls, Deed, Faults, Pace, Speaks
from scenarios.play import Play, Scene

LONG = "we do as he is so go on to us"
"""Words as short as they sound: at the pace of speech, three characters for a word of 200 ms.

Services that write a sentence down before it sounds are reckoned by that pace.
"""
CALLED = 'tool look{"at":"moon"}'
GAVE = "tool gave: only cheese"
CLOUDY = "the tool 'look' failed: ValueError"
AS_IT_SOUNDS = Pace(word_ms=200)
"""A service that makes its words no faster than they sound."""
SLOW = Pace(thinking_ms=1500)


def brain(asked: Asked) -> Deed:
    """Answers what the scenes ask."""
    if asked.results:
        return Speaks(f"it says {asked.results[-1].output}")
    words = asked.text + asked.instructions
    if "greet" in words:
        return Speaks("greetings to you")
    if "stop" in asked.text:
        return Speaks("as you like")
    if "count" in asked.text:
        return Speaks(LONG)
    if "look" in asked.text:
        return Calls("look", '{"at":"moon"}')
    return Speaks(f"so {asked.text}")


def peer(pace: Pace = Pace(), faults: Faults = Faults()):  # noqa: B008, they are frozen
    """A maker of the peer of a scene."""
    return lambda: Peer(brain=brain, pace=pace, faults=faults)


def tool(function):
    """The tool that the scenes know."""
    parameters = {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]}
    spec = ToolSpec(name="look", description="Looks.", parameters=json.dumps(parameters))
    return (Tool(spec=spec, function=function),)


async def three_turns(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("he is in")
    await on.is_done(1)
    await on.caller.say("count please")
    await on.hears(4 + 3)
    await on.caller.say("stop it")
    await on.is_done(3)


async def barge_in(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("count please")
    await on.hears(3)
    await on.caller.say("stop it")
    await on.is_done(2)


async def barge_in_before_sound(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("count please")
    await asyncio.sleep(1.5)
    await on.caller.say("stop it")
    await on.is_done(1)


async def one_question(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("look there")
    await on.is_done(1)


async def talk_while_it_looks(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("look there")
    await asyncio.sleep(2)
    await on.caller.say("stop it")
    await asyncio.sleep(10)


async def typed(on: Play) -> None:
    await asyncio.sleep(1)
    on.caller.type("it is on")
    await on.is_done(1)


async def greeted(on: Play) -> None:
    await on.is_done(1)


async def lost(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("count please")
    await asyncio.sleep(8)
    await on.caller.say("stop it")
    await on.is_done(2)


async def hung_up(on: Play) -> None:
    await asyncio.sleep(1)
    await on.caller.say("count please")
    await on.hears(3)
    on.caller.hang_up()
    await on.session.wait_closed()


async def sees(at: str) -> str:
    return "only cheese"


async def sees_slowly(at: str) -> str:
    await asyncio.sleep(4)
    return "only cheese"


async def sees_nothing(at: str) -> str:
    raise ValueError("it is cloudy")


SCENES = [
    Scene(
        "three turns, with a barge-in while generating",
        peer(AS_IT_SOUNDS),
        three_turns,
        lambda can: [
            *can.turn("he is in"),
            *can.answer("so he is in"),
            *can.turn("count please"),
            *can.barge_in("we do as", "stop it", meanwhile="he is"),
            *can.answer("as you like"),
        ],
    ),
    Scene(
        "barge-in after generating",
        peer(),
        barge_in,
        lambda can: [
            *can.turn("count please"),
            *can.barge_in("we do as", "stop it"),
            *can.answer("as you like"),
        ],
        # A duplex model that is done speaking has not been interrupted.
        needs=lambda capabilities: TurnOwner.DUPLEX not in capabilities.turn_owners,
    ),
    Scene(
        "barge-in before the first sound",
        peer(SLOW),
        barge_in_before_sound,
        lambda can: [
            *can.turn("count please"),
            *can.turn("stop it"),
            *can.answer("as you like"),
        ],
    ),
    Scene(
        "tool",
        peer(),
        one_question,
        lambda can: [
            *can.turn("look there", CALLED, GAVE),
            *can.answer("it says only cheese"),
        ],
        tools=tool(sees),
        needs=lambda capabilities: capabilities.has_tools,
    ),
    Scene(
        "slow tool while talking",
        peer(),
        talk_while_it_looks,
        lambda can: [
            *can.turn("look there", CALLED),
            *can.turn("stop it"),
            *can.answer("as you like"),
            GAVE,
            "agent speaks",
            "agent heard: it says only cheese",
        ],
        tools=tool(sees_slowly),
        needs=lambda capabilities: capabilities.has_tools,
    ),
    Scene(
        "tool raises",
        peer(),
        one_question,
        lambda can: [
            *can.turn("look there", CALLED, f"tool failed: {CLOUDY}"),
            *can.answer(f"it says {CLOUDY}"),
        ],
        tools=tool(sees_nothing),
        needs=lambda capabilities: capabilities.has_tools,
    ),
    Scene(
        "typed text",
        peer(),
        typed,
        lambda can: ["user: it is on", *can.answer("so it is on")],
        needs=lambda capabilities: capabilities.has_text_input,
    ),
    Scene(
        "greeting",
        peer(),
        greeted,
        lambda can: ["agent speaks", "agent heard: greetings to you"],
        greeting="greetings to you",
        needs=lambda capabilities: capabilities.say is not Faithfulness.NONE,
    ),
    Scene(
        "connection lost in mid-response",
        peer(AS_IT_SOUNDS, Faults(drop_after_audio_ms=800)),
        lost,
        lambda can: [
            *can.turn("count please"),
            "turn measured",
            "agent speaks",
            "error provider_error",
            "reconnecting",
            "reconnected",
            "agent failed: we do as he",
            *can.turn("stop it"),
            *can.answer("as you like"),
        ],
    ),
    Scene(
        "hang-up",
        peer(AS_IT_SOUNDS),
        hung_up,
        lambda can: [
            *can.turn("count please"),
            *can.answer("we do as", outcome="cut"),
        ],
        ended="hung_up",
    ),
]
