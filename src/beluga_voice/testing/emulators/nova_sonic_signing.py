"""How AWS frames and signs an event stream, from the service's side.

A frame is a length, the length of its headers, a checksum of the two, headers, payload, and a
checksum of all. A frame of the client holds another one, and two headers: its date and a signature,
which covers the signature before it; the first covers that of the request. An empty one ends it.

Sources: https://docs.aws.amazon.com/transcribe/latest/dg/streaming-setting-up.html (frames and
their signatures), https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
(requests); read 2026-11-21.
"""

import hashlib
import hmac
import struct
from binascii import crc32
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote

STREAMING = "STREAMING-AWS4-HMAC-SHA256-EVENTS"
MAX_SKEW_SECONDS = 300
MAX_FRAME_BYTES = 17 * 1024 * 1024

_ALGORITHM = "AWS4-HMAC-SHA256"
_DATE = "%Y%m%dT%H%M%SZ"
_FIXED = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Sizes of header values by their type; 6 and 7, bytes and text, say theirs."""


class BadSignature(Exception):
    """A request or a frame that is not signed as it should be; `kind` is AWS's name for it."""

    def __init__(self, message: str, kind: str = "InvalidSignatureException") -> None:
        super().__init__(message)
        self.kind = kind


class BadFrame(Exception):
    """Bytes that are no event stream."""


# ── frames ──────────────────────────────────────────────────────────────────────────────────


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One frame whose headers are all text."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(data)) + data
        for name, data in ((name, value.encode()) for name, value in headers.items())
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack("!I", crc32(prelude)) + head + payload
    return body + struct.pack("!I", crc32(body))


class Frames:
    """Frames out of bytes that come in pieces of any size."""

    def __init__(self) -> None:
        self._waiting = bytearray()

    def feed(self, data: bytes) -> list[tuple[dict[str, bytes], bytes, bytes]]:
        """The frames that are whole: headers, payload, and the date header as it was written."""
        self._waiting += data
        found: list[tuple[dict[str, bytes], bytes, bytes]] = []
        while len(self._waiting) >= 12:
            total, size, checksum = struct.unpack_from("!III", self._waiting)
            if crc32(self._waiting[:8]) != checksum or not size + 16 <= total <= MAX_FRAME_BYTES:
                raise BadFrame("the prelude of a frame is broken")
            if len(self._waiting) < total:
                break
            whole = bytes(self._waiting[:total])
            del self._waiting[:total]
            if crc32(whole[:-4]) != struct.unpack("!I", whole[-4:])[0]:
                raise BadFrame("the checksum of a frame is wrong")
            headers, date = _headers(whole[12 : 12 + size])
            found.append((headers, whole[12 + size : -4], date))
        return found


def _headers(data: bytes) -> tuple[dict[str, bytes], bytes]:
    headers: dict[str, bytes] = {}
    date = b""
    at = 0
    try:
        while at < len(data):
            begin = at
            name = data[at + 1 : at + 1 + data[at]].decode()
            at += 1 + data[at]
            kind = data[at]
            at += 1
            if kind in (6, 7):
                size = struct.unpack_from("!H", data, at)[0]
                at += 2
            else:
                size = _FIXED[kind]
            headers[name] = data[at : at + size]
            at += size
            if name == ":date":
                date = data[begin:at]
    except (IndexError, KeyError, UnicodeError, struct.error) as error:
        raise BadFrame("the headers of a frame are broken") from error
    return headers, date


# ── signatures ──────────────────────────────────────────────────────────────────────────────


class Signed:
    """A request that is signed right, and the chain of signatures of its frames."""

    def __init__(self, scope: list[str], secret: str, signature: str) -> None:
        key = f"AWS4{secret}".encode()
        for part in scope:
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key
        self._scope = "/".join(scope)
        self._last = signature

    def sign(self, text: str) -> bytes:
        """The signature of a text."""
        return hmac.digest(self._key, text.encode(), "sha256")

    def check(self, headers: Mapping[str, bytes], payload: bytes, date: bytes) -> None:
        """Check the next frame; raises `BadSignature`."""
        try:
            moment = int.from_bytes(headers[":date"]) / 1000
            signature = headers[":chunk-signature"]
        except KeyError as error:
            raise BadSignature("a frame is not signed") from error
        text = "\n".join(
            [
                f"{_ALGORITHM}-PAYLOAD",
                datetime.fromtimestamp(moment, UTC).strftime(_DATE),
                self._scope,
                self._last,
                hashlib.sha256(date).hexdigest(),
                hashlib.sha256(payload).hexdigest(),
            ]
        )
        expected = self.sign(text)
        if not hmac.compare_digest(expected, signature):
            raise BadSignature("the signature of a frame does not match")
        self._last = expected.hex()


def signed(
    method: str,
    path: str,
    headers: Mapping[str, str],
    keys: Mapping[str, str],
    now: datetime,
) -> Signed:
    """Check the signature of a request; raises `BadSignature`. `path` is as it was on the wire."""
    kind, _, rest = headers.get("authorization", "").partition(" ")
    parts = (part.strip().partition("=") for part in rest.split(","))
    given = {name: value for name, _, value in parts}
    if kind != _ALGORITHM or not {"Credential", "SignedHeaders", "Signature"} <= given.keys():
        raise BadSignature("Missing Authentication Token", "MissingAuthenticationTokenException")
    access, *scope = given["Credential"].split("/")
    if access not in keys:
        message = "The security token included in the request is invalid."
        raise BadSignature(message, "UnrecognizedClientException")
    if len(scope) != 4 or scope[2:] != ["bedrock", "aws4_request"]:
        raise BadSignature("Credential should be scoped to a valid service: 'bedrock'.")
    date = headers.get("x-amz-date", "")
    try:
        moment = datetime.strptime(date, _DATE).replace(tzinfo=UTC)
    except ValueError as error:
        raise BadSignature("x-amz-date is missing") from error
    if abs((now - moment).total_seconds()) > MAX_SKEW_SECONDS:
        raise BadSignature("Signature expired.", "ExpiredTokenException")
    if headers.get("x-amz-content-sha256") != STREAMING:
        raise BadSignature(f"x-amz-content-sha256 is not {STREAMING}")
    names = given["SignedHeaders"].split(";")
    if not {"host", "x-amz-date"} <= set(names) or not set(names) <= headers.keys():
        raise BadSignature("not all headers are signed that should be")
    canonical = "\n".join(
        [
            method,
            # The path is encoded once more: all of AWS but S3 signs it so.
            quote(path, safe="/-_.~"),
            "",
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            given["SignedHeaders"],
            STREAMING,
        ]
    )
    text = "\n".join(
        [_ALGORITHM, date, "/".join(scope), hashlib.sha256(canonical.encode()).hexdigest()]
    )
    chain = Signed(scope, keys[access], given["Signature"])
    if not hmac.compare_digest(chain.sign(text).hex(), given["Signature"]):
        raise BadSignature(
            "The request signature we calculated does not match the signature you provided."
        )
    return chain
