"""A turn ends once, however many things end it at one moment."""

import asyncio

import pytest

from beluga_voice.engine.engine import EngineSettings
from beluga_voice.engine.voice import VoiceStarted
from beluga_voice.events import EndOfTurnLikely, TalkKey, UserSpeechEnded
from beluga_voice.interfaces import Capabilities, TurnOwner
from engine.desk import Desk
from session.stage import play, stage


@pytest.mark.parametrize("owner", [TurnOwner.DUPLEX, TurnOwner.PROVIDER])
def test_a_stalled_line_ends_the_turn_once(owner):
    """The voice began, and then the line brought nothing for two seconds."""
    desk = Desk(owner=owner, capabilities=Capabilities(), settings=EngineSettings())
    desk.give(VoiceStarted(ago_ms=60))
    desk.wait(2.0, is_line_alive=False)
    assert len([one for one in desk.emitted if isinstance(one, UserSpeechEnded)]) == 1


def test_a_key_that_is_let_go_ends_a_decided_turn_once():
    """The recogniser has decided that the turn is over, and the key says so, too."""

    async def scene():
        async with stage() as on:
            on.session.receive(TalkKey(is_down=True))
            await asyncio.sleep(0.2)
            on.stt.links[-1].tell(EndOfTurnLikely(probability=0.9))
            on.session.receive(TalkKey(is_down=False))
            await asyncio.sleep(5)
            return len(on.trace.of(UserSpeechEnded)), on.stt.utterances

    assert play(scene) == (1, 1)
