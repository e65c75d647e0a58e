"""The emulated Nova Sonic is as strict about what it is sent as the service is."""

import asyncio
import json
import ssl
import sys
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aws_sdk_signers import AsyncEventSigner, AWSCredentialIdentity, SigV4SigningProperties
from hypothesis import given
from hypothesis import strategies as st
from smithy_aws_event_stream.events import EventHeaderEncoder, EventMessage

from beluga_voice.errors import MissingExtra
from beluga_voice.interfaces import S2sOptions
from beluga_voice.providers.s2s.nova_sonic import NovaSonic
from beluga_voice.testing.emulators.nova_sonic import NovaSonicEmulator, plain
from beluga_voice.testing.emulators.nova_sonic_frames import BadEvent, parse
from beluga_voice.testing.emulators.nova_sonic_order import NovaSonicOrder
from beluga_voice.testing.emulators.nova_sonic_signing import (
    STREAMING,
    BadFrame,
    BadSignature,
    Frames,
    Signed,
    frame,
    signed,
)
from beluga_voice.testing.emulators.speech import Calls
from beluga_voice.testing.loop import simulate
from providers.nova_sonic.nova_stage import HOST, PORT, URL

LPCM = {
    "mediaType": "audio/lpcm",
    "sampleRateHertz": 16000,
    "sampleSizeBits": 16,
    "channelCount": 1,
    "audioType": "SPEECH",
    "encoding": "base64",
}
TEXT: dict[str, Any] = {"mediaType": "text/plain"}
P = {"promptName": "p"}
SESSION: dict[str, Any] = {"sessionStart": {"inferenceConfiguration": {}}}
PROMPT: dict[str, Any] = {
    "promptStart": {
        **P,
        "textOutputConfiguration": TEXT,
        "audioOutputConfiguration": {**LPCM, "voiceId": "tiffany"},
    }
}


def block(name: str, role: str = "USER", *, interactive: bool = False) -> dict[str, Any]:
    """A block of text begins."""
    fields = {**P, "contentName": name, "type": "TEXT", "role": role, "interactive": interactive}
    return {"contentStart": {**fields, "textInputConfiguration": TEXT}}


def words(name: str, content: str = "x") -> dict[str, Any]:
    """Words in a block."""
    return {"textInput": {**P, "contentName": name, "content": content}}


def over(name: str) -> dict[str, Any]:
    """A block is over."""
    return {"contentEnd": {**P, "contentName": name}}


def whole(name: str, role: str = "USER", content: str = "x") -> list[dict[str, Any]]:
    """A whole block."""
    return [block(name, role), words(name, content), over(name)]


MIC: dict[str, Any] = {
    "contentStart": {
        **P,
        "contentName": "mic",
        "type": "AUDIO",
        "role": "USER",
        "interactive": True,
        "audioInputConfiguration": LPCM,
    }
}
SOUND = {"audioInput": {**P, "contentName": "mic", "content": "AAAA"}}
RESULT: dict[str, Any] = {
    "contentStart": {
        **P,
        "contentName": "r",
        "type": "TOOL",
        "role": "TOOL",
        "interactive": False,
        "toolResultInputConfiguration": {
            "toolUseId": "tool-use-1",
            "type": "TEXT",
            "textInputConfiguration": TEXT,
        },
    }
}
GIVEN = {"toolResult": {**P, "contentName": "r", "content": "{}"}}
END: list[dict[str, Any]] = [over("mic"), {"promptEnd": P}, {"sessionEnd": {}}]
BEGUN = [SESSION, PROMPT]


def take(*events: dict[str, Any]) -> None:
    """Say these to a service."""
    order = NovaSonicOrder()
    for event in events:
        order.take(parse(json.dumps({"event": event}))[0])


def test_what_is_right_is_taken() -> None:
    """All kinds of events in their order."""
    take(
        *BEGUN,
        *whole("s", "SYSTEM"),
        *whole("s2", "SYSTEM_SPEECH"),
        *whole("h1"),
        *whole("h2", "ASSISTANT"),
        MIC,
        SOUND,
        block("t", interactive=True),
        words("t"),
        over("t"),
        RESULT,
        GIVEN,
        over("r"),
        SOUND,
        *END,
    )


@pytest.mark.parametrize(
    ("events", "words_of_it"),
    [
        ([PROMPT], "sessionStart is expected"),
        ([SESSION, SESSION], "already"),
        ([*BEGUN, PROMPT], "already"),
        ([SESSION, MIC], "prompt is expected"),
        ([*BEGUN, MIC, MIC], "not unique"),
        ([*BEGUN, *whole("a"), *whole("a", "ASSISTANT")], "not unique"),
        ([*BEGUN, SOUND], "no open AUDIO"),
        ([*BEGUN, block("a"), block("b")], "contentEnd is expected"),
        ([*BEGUN, block("a"), over("a")], "empty"),
        ([*BEGUN, over("a")], "no open content"),
        ([*BEGUN, words("a")], "no open TEXT"),
        ([*BEGUN, MIC, words("mic")], "no open TEXT"),
        ([*BEGUN, *whole("a", "ASSISTANT")], "alternate"),
        ([*BEGUN, *whole("a"), *whole("b")], "alternate"),
        ([*BEGUN, *whole("a"), *whole("b", "SYSTEM")], "system prompt"),
        ([*BEGUN, *whole("a", content="x" * 1025)], "1 KB"),
        ([*BEGUN, MIC, *whole("a")], "before streaming audio"),
        ([*BEGUN, MIC, block("a", interactive=True), SOUND], "before streaming audio"),
        ([*BEGUN, block("a", interactive=True)], "Interactive"),
        ([*BEGUN, MIC, block("a", "ASSISTANT", interactive=True)], "Interactive"),
        ([*BEGUN, MIC, RESULT, GIVEN, GIVEN], "One toolResult"),
        ([*BEGUN, MIC, {"promptEnd": P}], "before promptEnd"),
        ([*BEGUN, MIC, over("mic"), {"sessionEnd": {}}], "before sessionEnd"),
        ([*BEGUN, MIC, *END, SOUND], "after sessionEnd"),
        ([*BEGUN, {"promptEnd": {"promptName": "q"}}], "Unknown promptName"),
    ],
)
def test_what_comes_out_of_order_is_refused(events: list[dict[str, Any]], words_of_it: str) -> None:
    """Each rule of the order is kept, and told."""
    with pytest.raises(BadEvent, match=words_of_it):
        take(*events)


def test_a_history_that_is_too_long_is_refused() -> None:
    """No more than 40 KB may be told of what was said before."""
    pieces = [words("a", "x" * 1000) for _ in range(40)]
    take(*BEGUN, block("a"), *pieces)
    with pytest.raises(BadEvent, match="40 KB"):
        take(*BEGUN, block("a"), *pieces, words("a", "x" * 1000))


def test_a_voice_that_is_not_there_is_refused() -> None:
    """A voice has to be one of the model's."""
    configuration = {**LPCM, "voiceId": "caruso"}
    with pytest.raises(BadEvent, match="caruso"):
        take(
            SESSION,
            {"promptStart": {**PROMPT["promptStart"], "audioOutputConfiguration": configuration}},
        )


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"novelty": {}},
        {**SESSION, "sessionEnd": {}},
        {"sessionStart": {}},
        {"sessionStart": {"inferenceConfiguration": {"maxTokens": 0}}},
        {"sessionStart": {"inferenceConfiguration": {"temperature": 2}}},
        {"sessionStart": {"inferenceConfiguration": {"max_tokens": 5}}},
        {"contentStart": {**MIC["contentStart"], "textInputConfiguration": TEXT}},
        {"contentStart": {**MIC["contentStart"], "type": "TEXT"}},
        {"audioInput": {**P, "contentName": "mic", "content": 5}},
    ],
)
def test_an_event_of_another_shape_is_refused(event: dict[str, Any]) -> None:
    """Fields that are missing, unknown, or of another type."""
    with pytest.raises(BadEvent, match="Unable to parse"):
        parse(json.dumps({"event": event}))


def test_a_session_says_what_was_wrong_and_ends() -> None:
    """A second result for a call, or words it cannot read, come back as exceptions."""

    async def scene() -> list[str]:
        service = NovaSonicEmulator()
        async with service.serving(HOST, PORT), plain(URL)(S2sOptions()) as channel:
            for event in (*BEGUN, MIC, RESULT):
                await channel.send(json.dumps({"event": event}))
            said = [json.loads(message) async for message in channel]
        assert service.sessions[0].errors[0].message == said[-1]["exception"]["message"]
        return [next(iter(one)) for one in said]

    assert simulate(scene) == ["accepted", "exception"]


def test_a_broken_result_is_told_and_survived() -> None:
    """A result that is no JSON is a mistake that the conversation survives."""

    async def scene() -> list[Any]:
        service = NovaSonicEmulator(lambda _: Calls("f"))
        said: list[Any] = []
        async with service.serving(HOST, PORT), plain(URL)(S2sOptions()) as channel:

            async def send(*events: dict[str, Any]) -> None:
                for event in events:
                    await channel.send(json.dumps({"event": event}))

            await send(*BEGUN, MIC, block("t", interactive=True), words("t"), over("t"))
            async for message in channel:
                said.append(json.loads(message))
                if "toolUse" in said[-1].get("event", {}):
                    broken = {"toolResult": {**GIVEN["toolResult"], "content": "no"}}
                    await send(RESULT, broken, over("r"), *END)
        assert service.sessions[0].is_polite
        return [one["exception"] for one in said if "exception" in one]

    assert simulate(scene) == [
        {"type": "ValidationException", "message": "Tool Response parsing error"}
    ]


# ── frames and signatures ───────────────────────────────────────────────────────────────────


@given(
    st.lists(st.tuples(st.dictionaries(st.sampled_from("abc"), st.text()), st.binary())),
    st.integers(1, 50),
)
def test_frames_come_through_in_pieces(sent: list[tuple[dict[str, str], bytes]], size: int) -> None:
    """However the bytes are cut, the same frames come out."""
    data = b"".join(frame(headers, payload) for headers, payload in sent)
    frames = Frames()
    found = [one for at in range(0, len(data), size) for one in frames.feed(data[at : at + size])]
    assert [
        ({name: value.decode() for name, value in headers.items()}, payload)
        for headers, payload, _ in found
    ] == sent


@given(st.data())
def test_a_broken_frame_is_found(data: st.DataObject) -> None:
    """Wherever a byte is changed, a checksum tells."""
    whole_frame = bytearray(frame({"name": "value"}, b"payload"))
    at = data.draw(st.integers(0, len(whole_frame) - 1))
    whole_frame[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BadFrame):
        Frames().feed(bytes(whole_frame))


HEADERS = {
    "host": "example.com",
    "x-amz-date": "20261121T120000Z",
    "x-amz-content-sha256": STREAMING,
    "authorization": (
        "AWS4-HMAC-SHA256 Credential=AK/20261121/us-east-1/bedrock/aws4_request, "
        "SignedHeaders=host;x-amz-date, Signature=00"
    ),
}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("change", "late", "kind"),
    [
        ({"authorization": "Bearer x"}, 0, "MissingAuthenticationTokenException"),
        ({"authorization": ""}, 0, "MissingAuthenticationTokenException"),
        (
            {"authorization": HEADERS["authorization"].replace("AK/", "OTHER/")},
            0,
            "UnrecognizedClientException",
        ),
        (
            {"authorization": HEADERS["authorization"].replace("bedrock", "s3")},
            0,
            "InvalidSignatureException",
        ),
        ({}, 301, "ExpiredTokenException"),
        ({"x-amz-date": "now"}, 0, "InvalidSignatureException"),
        ({"x-amz-content-sha256": "UNSIGNED-PAYLOAD"}, 0, "InvalidSignatureException"),
        ({}, 0, "InvalidSignatureException"),
    ],
)
def test_a_request_that_is_not_signed_right(change: dict[str, str], late: float, kind: str) -> None:
    """Each way of being wrong has AWS's name."""
    now = NOON + timedelta(seconds=late)
    with pytest.raises(BadSignature) as caught:
        signed("POST", "/model/x", {**HEADERS, **change}, {"AK": "secret"}, now)
    assert caught.value.kind == kind


async def chain_of(*payloads: bytes) -> list[bytes]:
    """Frames that the SDK's own signer signed, after a request with the signature `00`."""
    signer = AsyncEventSigner(initial_signature=b"00", event_encoder_cls=EventHeaderEncoder)
    identity = AWSCredentialIdentity(access_key_id="AK", secret_access_key="secret")
    properties = SigV4SigningProperties(region="us-east-1", service="bedrock")
    made: list[bytes] = []
    for payload in payloads:
        inner = EventMessage(payload=payload)
        event = await signer.sign(event=inner, identity=identity, properties=properties)
        made.append(event.encode())
    return made


@pytest.mark.parametrize(
    ("order", "secret", "is_right"),
    [
        ((0, 1, 2), "secret", True),
        ((0, 2), "secret", False),
        ((1, 0), "secret", False),
        ((0, 0), "secret", False),
        ((0,), "guessed", False),
    ],
)
def test_the_chain_of_signatures(order: tuple[int, ...], secret: str, is_right: bool) -> None:
    """A frame that is left out, repeated, moved, or signed by another is found."""
    made = asyncio.run(chain_of(b"one", b"two", b"three"))
    today = datetime.now(UTC).strftime("%Y%m%d")
    chain = Signed([today, "us-east-1", "bedrock", "aws4_request"], secret, "00")
    with nullcontext() if is_right else pytest.raises(BadSignature):
        for number in order:
            ((headers, payload, date),) = Frames().feed(made[number])
            chain.check(headers, payload, date)


def test_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """HTTP/2 without its library names the extra; the plain wire needs none."""
    monkeypatch.delitem(
        sys.modules, "beluga_voice.testing.emulators.nova_sonic_http2", raising=False
    )
    monkeypatch.setitem(sys.modules, "h2.config", None)

    async def scene() -> None:
        service = NovaSonicEmulator()
        with pytest.raises(MissingExtra) as caught:
            async with service.serving(ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)):
                pass
        assert caught.value.extra == "emulators"
        async with service.serving(), asyncio.timeout(5):
            made = NovaSonic(open_channel=plain(service.url))
            async with made.connect(S2sOptions()):
                pass

    asyncio.run(scene())
