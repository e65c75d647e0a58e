"""A conversation on this machine: Whisper hears, an agent answers, Piper speaks."""

import asyncio

from beluga_voice.events import (
    EndUserTurn,
    InputTranscript,
    Interrupt,
    LinkClosed,
    ResponseAudio,
    ResponseDone,
    ResponseStarted,
    ResponseStatus,
    SendAudio,
    StartUserTurn,
)
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.cascade import Cascade
from providers.piper.hand_built_piper import RATE, letters_in
from providers.piper.hand_built_piper import build as build_voice
from providers.piper.piper_stage import NATIVE_FORMAT, VOICE, piper
from providers.whisper.hand_built_whisper import build as build_model
from providers.whisper.hand_built_whisper import tones_of
from providers.whisper.whisper_stage import whisper
from providers.worker_stage import stage


class Echo:
    """Says what it heard; of a whale, it goes on until it is stopped."""

    async def respond(self, turn):
        yield f"you said {turn.text}. "
        while "whale" in turn.text:
            yield "and on it goes. "
            await asyncio.sleep(1)


async def speak(link, text: str) -> None:
    """Take a turn, in the time that it takes."""
    link.send(StartUserTurn())
    pcm = tones_of(text)
    for at in range(0, len(pcm), 640):
        link.send(SendAudio(pcm=pcm[at : at + 640]))
        await asyncio.sleep(0.02)
    link.send(EndUserTurn())


class Record:
    """What a link says, as it comes."""

    def __init__(self, link) -> None:
        self.events = []
        link.attach(self.events.append)

    def of(self, kind, begin: int = 0) -> list:
        return [event for event in self.events[begin:] if isinstance(event, kind)]

    async def until(self, kind, count: int) -> None:
        while len(self.of(kind)) < count:
            assert not self.of(LinkClosed)
            await asyncio.sleep(0.02)

    def sound_of(self, response_id) -> bytes:
        return b"".join(
            event.pcm for event in self.of(ResponseAudio) if event.response_id == response_id
        )


def test_three_turns_of_which_one_is_cut_off(tmp_path):
    """Each turn is understood and answered to the letter, also after one that was interrupted."""
    cascade = Cascade(
        whisper(build_model(tmp_path / "model")),
        Echo(),
        piper(tmp_path / "voices", voice=str(build_voice(tmp_path / "voices", VOICE))),
    )

    async def scene():
        async with cascade.connect(S2sOptions(output_format=NATIVE_FORMAT)) as link:
            record = Record(link)
            await speak(link, "hello there")
            await record.until(ResponseDone, 1)
            await speak(link, "forget whale")
            await record.until(ResponseStarted, 2)
            begun = len(record.of(ResponseAudio))
            await record.until(ResponseAudio, begun + 1)
            cut_off = record.of(ResponseStarted)[1].response_id
            link.send(Interrupt(response_id=cut_off, heard_samples=RATE // 10, heard_text="you"))
            after = len(record.events)
            await speak(link, "see you soon")
            await record.until(ResponseDone, 3)
            late = [e for e in record.of(ResponseAudio, after) if e.response_id == cut_off]
        return record, late

    with stage(cascade) as run:
        record, late = run(scene())
    finals = [event.text for event in record.of(InputTranscript) if event.is_final]
    assert finals == ["hello there", "forget whale", "see you soon"]
    first, cut_off, last = record.of(ResponseDone)
    assert [each.status for each in (first, cut_off, last)] == [
        ResponseStatus.COMPLETED,
        ResponseStatus.CANCELLED,
        ResponseStatus.COMPLETED,
    ]
    assert letters_in(record.sound_of(first.response_id), RATE) == "^you said hello there.$"
    assert letters_in(record.sound_of(last.response_id), RATE) == "^you said see you soon.$"
    assert late == []
