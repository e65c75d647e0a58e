"""Deepgram's way to take recordings, emulated for an unmodified client.

They run on simulated connections as on real ones.

    async with DeepgramFilesEmulator().serving("api.example.com", 80) as service:
        ...

Source: the types of deepgram-sdk 7.17.0 (`listen/v1/media`), read 2026-11-21.
"""

from collections.abc import Collection, Sequence
from typing import Any

from aiohttp import web

from beluga_voice.audio.wav import Sound
from beluga_voice.testing.emulators import deepgram_session as session
from beluga_voice.testing.emulators.deepgram import KEY as KEY
from beluga_voice.testing.emulators.deepgram_session import READING_MODELS
from beluga_voice.testing.emulators.posted_files import FileServer, Posted, Refused, timed
from beluga_voice.testing.emulators.speech import Faults, Pace, transcript_of

MODELS = (
    *("nova-3", "nova-3-general", "nova-3-medical", "nova-2", "nova-2-general"),
    *READING_MODELS,
)
PARAMETERS = frozenset(
    {
        *("model", "language", "detect_language", "punctuate", "smart_format", "numerals"),
        *("profanity_filter", "keyterm", "keywords", "tag", "mip_opt_out", "diarize", "redact"),
        *(
            "alternatives",
            "utterances",
            "paragraphs",
            "multichannel",
            "filler_words",
            "dictation",
            "version",
        ),
    }
)


class DeepgramFilesEmulator(FileServer):
    """The service."""

    path = "/v1/listen"

    def __init__(
        self,
        *,
        pace: Pace | None = None,
        faults: Sequence[Faults] = (),
        keys: Collection[str] = (KEY,),
        models: Collection[str] = MODELS,
        answers: bytes | None = None,
    ) -> None:
        super().__init__(keys=keys, models=models, pace=pace, faults=faults, answers=answers)

    def key_of(self, request: web.Request) -> str:
        """After `Token`, or `Bearer`."""
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        return key if scheme in ("Token", "Bearer") else ""

    async def read(self, request: web.Request, posted: Posted) -> None:
        """Settings in the address, and the file as the body."""
        posted.settings = {name: request.query.getall(name) for name in request.query}
        for name in posted.settings:
            if name not in PARAMETERS:
                raise Refused(400, "Bad Request", f"unknown parameter {name}")
        model = posted.settings.get("model", ["base"])[0]
        self.check_model(model)
        if "keyterm" in posted.settings and not model.startswith("nova-3"):
            raise Refused(400, "Bad Request", "Keyterm is supported by Nova-3 only")
        try:
            session.check_readings(_readings(posted), model)
        except session.Refused as refused:
            raise Refused(400, "Bad Request", str(refused)) from refused
        posted.file = await request.read()

    def answer(self, posted: Posted, sound: Sound) -> dict[str, Any]:
        """One channel, and as many readings of it as are wanted."""
        rate, seconds = sound.format.rate, sound.duration_ms / 1000
        text = transcript_of(sound.to_pcm16(rate), rate)
        is_punctuated = posted.settings.get("punctuate") == ["true"]
        words = [
            {"word": word, "start": start, "end": end, "confidence": 0.9}
            | ({"punctuated_word": word} if is_punctuated else {})
            for word, start, end in timed(text, seconds)
        ]
        sure = 0.9 if text else 0.0
        best = {"transcript": text, "confidence": sure, "words": words}
        others: list[dict[str, Any]] = [
            {"transcript": one, "confidence": 0.5, "words": []}
            for one in session.readings_of(text, _readings(posted) or 1)[1:]
        ]
        channel: dict[str, Any] = {"alternatives": [best, *others]}
        if posted.settings.get("detect_language") == ["true"]:
            channel |= {"detected_language": "en", "language_confidence": 0.9}
        model = {"name": "emulated", "version": "1", "arch": "nova-3"}
        return {
            "metadata": {
                "transaction_key": "deprecated",
                "request_id": f"request-{len(self.posted) + 1}",
                "sha256": "0" * 64,
                "created": "2026-11-21T00:00:00.000Z",
                "duration": seconds,
                "channels": 1,
                "models": ["emulated"],
                "model_info": {"emulated": model},
            },
            "results": {"channels": [channel]},
        }

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """With a code and a message."""
        return {"err_code": refused.code, "err_msg": str(refused), "request_id": "refused"}


def _readings(posted: Posted) -> int | None:
    """How many are asked for."""
    asked = posted.settings.get("alternatives")
    return None if asked is None else int(asked[0])
