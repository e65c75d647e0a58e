"""ElevenLabs' way to take recordings, emulated for an unmodified client.

They run on simulated connections as on real ones.

    async with ScribeFilesEmulator().serving("api.example.com", 80) as service:
        ...

Source: the types of the Python SDK `elevenlabs` 2.78.0 (`speech_to_text.convert`), read 2026-11-21.
"""

from collections.abc import Collection, Sequence
from typing import Any

from aiohttp import BodyPartReader, web

from beluga_voice.audio.wav import Sound
from beluga_voice.testing.emulators.elevenlabs_speech import KEY as KEY
from beluga_voice.testing.emulators.elevenlabs_speech import detail
from beluga_voice.testing.emulators.posted_files import FileServer, Posted, Refused, timed
from beluga_voice.testing.emulators.speech import Faults, Pace, transcript_of

MODELS = ("scribe_v1", "scribe_v2", "scribe_v3")
FIELDS = frozenset(
    {
        *("model_id", "language_code", "secondary_language_codes", "tag_audio_events"),
        *("timestamps_granularity", "diarize", "num_speakers", "file_format", "temperature"),
        *("seed", "no_verbatim", "keyterms", "webhook", "webhook_id", "webhook_metadata"),
        *("use_multi_channel", "multichannel_output_style", "additional_formats"),
        *("entity_detection", "entity_redaction", "numbers_format", "diarization_threshold"),
    }
)


class ScribeFilesEmulator(FileServer):
    """The service."""

    path = "/v1/speech-to-text"

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
        """In a header of its own."""
        return request.headers.get("xi-api-key", "")

    async def read(self, request: web.Request, posted: Posted) -> None:
        """A form with the settings and the file."""
        if not request.content_type.startswith("multipart/"):
            raise Refused(422, "invalid_request", "Expected a multipart form.")
        name = ""
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader):
                raise Refused(422, "invalid_request", "A form within a form.")
            if part.name == "file":
                posted.file, name = bytes(await part.read()), part.filename or "unnamed"
            elif part.name not in FIELDS:
                raise Refused(422, "invalid_request", f"Unknown field {part.name}.")
            else:
                posted.settings.setdefault(part.name, []).append(await part.text())
        if not name:
            raise Refused(422, "invalid_request", "Must provide a file.")
        self.check_model(posted.settings.get("model_id", [""])[0])
        if posted.settings.get("timestamps_granularity", ["word"])[0] not in (
            *("none", "word", "character"),
        ):
            raise Refused(422, "invalid_request", "Invalid timestamps_granularity.")

    def answer(self, posted: Posted, sound: Sound) -> dict[str, Any]:
        """The text, and words with the spaces between them."""
        rate, seconds = sound.format.rate, sound.duration_ms / 1000
        text = transcript_of(sound.to_pcm16(rate), rate)
        has_times = posted.settings.get("timestamps_granularity", ["word"]) != ["none"]
        words: list[dict[str, Any]] = []
        for word, start, end in timed(text, seconds):
            place = {"start": start, "end": end} if has_times else {}
            if words:
                words.append({"text": " ", "type": "spacing", "logprob": 0.0, **place})
            words.append({"text": word, "type": "word", "logprob": -0.1, **place})
        return {
            "language_code": posted.settings.get("language_code", ["en"])[0],
            "language_probability": 0.9,
            "text": text,
            "words": words,
            "transcription_id": f"transcription-{len(self.posted) + 1}",
            "audio_duration_secs": seconds,
        }

    def refusal(self, refused: Refused) -> dict[str, Any]:
        """A detail with a status and a message."""
        return detail(refused.code, str(refused))
