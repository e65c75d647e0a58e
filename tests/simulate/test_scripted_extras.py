"""What scripted people and services can do besides behaving well."""

import asyncio

from beluga_voice.events import Transcription, UserSpeechEnded
from beluga_voice.testing.scripted import ScriptedStt, ScriptedTts
from beluga_voice.testing.speech import speech
from session.stage import LONG, play, stage


def frames_of(text):
    return [frame for word in speech(text) for frame in word.frames]


def test_of_two_who_speak_at_once_the_first_is_heard():
    """The other's words are heard where the first is silent, and where nobody else speaks."""

    async def scene():
        async with stage() as on:
            on.caller.mix(frames_of("one two"))
            on.caller.mix(frames_of("a b c d"))
            await asyncio.sleep(3)
            return on.user_words()

    assert play(scene) == ["one two c d"]


def test_an_unplugged_microphone_gives_nothing():
    """The words before it are answered once the line counts as dead."""

    async def scene():
        async with stage() as on:
            on.caller.begin("hello there my friend")
            await asyncio.sleep(0.5)
            on.caller.unplug()
            await asyncio.sleep(6)
            return on.user_words(), on.trace.at_ms(UserSpeechEnded)

    assert play(scene) == (["hello there"], 480 + 2000)


def test_a_recogniser_may_finalise_each_utterance_otherwise():
    """Late, twice, with other words, or not at all."""

    def finals(number, words):
        return {1: [(900, "late")], 2: [(0, words), (10, words)], 3: []}[number]

    async def scene():
        async with stage(stt=ScriptedStt(finals=finals)) as on:
            for _ in range(3):
                await on.caller.say("hello")
                await asyncio.sleep(5)
            said = [one.text for one in on.trace.of(Transcription) if one.is_final]
            return said, on.trace.at_ms(Transcription) - on.trace.at_ms(UserSpeechEnded)

    assert play(scene) == (["late", "hello"], 900)


def test_words_so_far_may_be_late():
    """Each comes so much after the word was whole."""

    async def scene():
        async with stage(stt=ScriptedStt(interim=True, interim_ms=150)) as on:
            await on.caller.say("hello")  # its last frame comes at 180 ms
            await asyncio.sleep(2)
            return on.trace.at_ms(Transcription)

    assert play(scene) == 180 + 150


def test_a_voice_may_make_words_as_fast_as_they_sound():
    """What is cut off in the middle was not all made; what is heard to its end has no gap."""

    async def scene():
        async with stage(tts=ScriptedTts(making_ms=200)) as on:
            await on.caller.say("hello")
            await asyncio.sleep(4)
            return on.caller.heard, len(on.caller.sounds_ms)

    assert play(scene) == (LONG, 1)
