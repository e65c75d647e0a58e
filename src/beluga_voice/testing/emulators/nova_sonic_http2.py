"""The wire of an emulated Bedrock: HTTP/2 over TLS, event streams, signatures.

How it works. One connection carries one request or several; each request is a stream of its own,
with a session behind it. It is answered with 200 only once the session takes its first event.
Needs the extra `emulators`.
"""

import asyncio
import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import unquote

import msgspec
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import ProtocolError

from beluga_voice.testing.emulators.nova_sonic_said import Accept, End, Raise, Said, Stall
from beluga_voice.testing.emulators.nova_sonic_signing import (
    BadFrame,
    BadSignature,
    Frames,
    Signed,
    frame,
    signed,
)

PATH = re.compile(r"/model/([^/]+)/invoke-with-bidirectional-stream")
STATUS = {
    "AccessDeniedException": 403,
    "ExpiredTokenException": 403,
    "InvalidSignatureException": 403,
    "MissingAuthenticationTokenException": 403,
    "UnrecognizedClientException": 403,
    "InternalServerException": 500,
    "ModelErrorException": 424,
    "ModelNotReadyException": 429,
    "ModelStreamErrorException": 424,
    "ModelTimeoutException": 408,
    "ResourceNotFoundException": 404,
    "ServiceQuotaExceededException": 400,
    "ServiceUnavailableException": 503,
    "ThrottlingException": 429,
    "ValidationException": 400,
}
"""By which HTTP status an exception comes, before the stream has begun."""

_IN_STREAM = {
    "InternalServerException",
    "ModelStreamErrorException",
    "ModelTimeoutException",
    "ServiceUnavailableException",
    "ThrottlingException",
    "ValidationException",
}
"""Those that the stream has a kind of event for."""


class Session(Protocol):
    """What is behind a request."""

    def take(self, message: str | bytes) -> None:
        """Take one message of the client."""
        ...

    def end(self) -> None:
        """The stream is gone."""
        ...


type Open = Callable[[str, Callable[[Said], None]], Session | Raise]
"""Gives the session for a model, which says things by the function, or what refuses it."""


class Http2Server:
    """The server's side of one TCP connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        open_session: Open,
        keys: Mapping[str, str],
        session_token: str | None,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._open = open_session
        self._keys = keys
        self._session_token = session_token
        self._http = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._streams: dict[int, _Stream] = {}

    async def run(self) -> None:
        """Talk until either side ends it."""
        try:
            self._http.initiate_connection()
            self.flush()
            while data := await self._reader.read(65536):
                for event in self._http.receive_data(data):
                    self._take(event)
                self.flush()
        except (ConnectionError, ProtocolError):
            pass  # the client went, or speaks something else
        finally:
            for stream in self._streams.values():
                stream.gone()
            self._writer.transport.abort()

    def _take(self, event: Event) -> None:
        match event:
            case RequestReceived():
                headers = {str(name): str(value) for name, value in event.headers}
                stream = _Stream(self, event.stream_id)
                self._streams[event.stream_id] = stream
                self._admit(stream, headers)
            case DataReceived():
                self._http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                if (known := self._streams.get(event.stream_id)) is not None:
                    known.take(event.data)
            case StreamEnded() | StreamReset():
                known = self._streams.get(event.stream_id)
                if known is not None and (isinstance(event, StreamReset) or not known.is_open):
                    known.gone()
            case WindowUpdated():
                for one in self._streams.values():
                    self.send(one)
            case ConnectionTerminated():
                raise ConnectionResetError
            case _:
                pass

    def _admit(self, stream: "_Stream", headers: dict[str, str]) -> None:
        path = headers[":path"].partition("?")[0]
        headers.setdefault("host", headers.get(":authority", ""))
        found = PATH.fullmatch(path)
        if found is None or headers[":method"] != "POST":
            stream.say(Raise("UnknownOperationException"))
            return
        try:
            now = datetime.now(UTC)
            stream.chain = signed(headers[":method"], path, headers, self._keys, now)
        except BadSignature as error:
            stream.say(Raise(error.kind, str(error)))
            return
        if headers.get("x-amz-security-token") != self._session_token:
            message = "The security token included in the request is invalid."
            stream.say(Raise("UnrecognizedClientException", message))
            return
        opened = self._open(unquote(found[1]), stream.say)
        if isinstance(opened, Raise):
            stream.say(opened)
        else:
            stream.session = opened

    # ── for a stream ────────────────────────────────────────────────────────────────────────

    def head(self, stream: "_Stream", status: int, kind: str, error: Raise | None = None) -> None:
        """The head of the answer."""
        headers = [(":status", str(status)), ("content-type", kind)]
        if error is not None:
            headers.append(("x-amzn-errortype", error.kind))
            if error.retry_after is not None:
                headers.append(("x-amz-retry-after", str(round(error.retry_after * 1000))))
        self._http.send_headers(stream.number, headers)

    def reset(self, stream: "_Stream", code: int) -> None:
        """End a stream with that error code of HTTP/2."""
        stream.is_done = True
        self._http.reset_stream(stream.number, code)

    def send(self, stream: "_Stream") -> None:
        """As much of the answer as the client takes now."""
        while stream.waiting and not stream.is_done:
            window = self._http.local_flow_control_window(stream.number)
            size = min(window, self._http.max_outbound_frame_size, len(stream.waiting))
            if size <= 0:
                return
            self._http.send_data(stream.number, bytes(stream.waiting[:size]))
            del stream.waiting[:size]
        if stream.is_ending and not stream.is_done:
            stream.is_done = True
            self._http.end_stream(stream.number)
            if not stream.is_open:
                self._http.reset_stream(stream.number, ErrorCodes.NO_ERROR)

    def flush(self) -> None:
        """Let go out what HTTP/2 has to say."""
        if data := self._http.data_to_send():
            self._writer.write(data)

    def abort(self) -> None:
        """Break the connection without a word."""
        self._writer.transport.abort()


class _Stream:
    """One request and its answer."""

    def __init__(self, server: Http2Server, number: int) -> None:
        self._server = server
        self.number = number
        self.chain: Signed | None = None
        self.session: Session | None = None
        self.waiting = bytearray()
        self.is_open = True
        self.is_ending = False
        self.is_done = False
        self._is_accepted = False
        self._is_stalled = False
        self._frames = Frames()

    def take(self, data: bytes) -> None:
        """More of the request's body."""
        if self.session is None or self.chain is None:
            return
        try:
            for headers, payload, date in self._frames.feed(data):
                self.chain.check(headers, payload, date)
                if payload:
                    self._message(payload)
                else:
                    self.session.end()
                    self.say(End())
        except BadSignature as error:
            self.say(Raise(error.kind, str(error)))
            self.say(End())
        except (BadFrame, msgspec.MsgspecError, ValueError) as error:
            self.say(Raise("ValidationException", f"Unable to parse the stream: {error}"))
            self.say(End())

    def _message(self, payload: bytes) -> None:
        """One event, in a frame within the frame."""
        assert self.session is not None
        for headers, inner, _ in Frames().feed(payload):
            if headers.get(":event-type") != b"chunk":
                raise BadFrame("the event is no chunk")
            held = msgspec.json.decode(inner, type=dict[str, str])
            self.session.take(base64.b64decode(held["bytes"], validate=True))

    def gone(self) -> None:
        """The client has ended it."""
        self.is_done = True
        if self.session is not None:
            self.session.end()

    def say(self, said: Said) -> None:
        """What the session says, on the wire."""
        if self.is_done or self.is_ending or self._is_stalled:
            return
        match said:
            case Accept():
                self._is_accepted = True
                self._server.head(self, 200, "application/vnd.amazon.eventstream")
            case bytes():
                payload = msgspec.json.encode({"bytes": base64.b64encode(said).decode()})
                self._event({":message-type": "event", ":event-type": "chunk"}, payload)
            case Raise() if self._is_accepted:
                self._exception(said)
            case Raise():
                status = STATUS.get(said.kind, 400)
                self._server.head(self, status, "application/json", said)
                self.waiting += msgspec.json.encode({"message": said.message})
                self.is_ending = True
                self.is_open = False
            case Stall():
                self._is_stalled = True
            case End(is_broken=True, code=None):
                self._server.abort()
                return
            case End(is_broken=True, code=int() as code):
                self._server.send(self)
                self._server.reset(self, code)
            case End():
                self.is_ending = True
                self.is_open = False
                if not self._is_accepted:
                    self._is_accepted = True
                    self._server.head(self, 200, "application/vnd.amazon.eventstream")
        self._server.send(self)
        self._server.flush()

    def _event(self, headers: dict[str, str], payload: bytes) -> None:
        self.waiting += frame({**headers, ":content-type": "application/json"}, payload)

    def _exception(self, error: Raise) -> None:
        if error.kind not in _IN_STREAM:
            headers = {
                ":message-type": "error",
                ":error-code": error.kind,
                ":error-message": error.message,
            }
            self.waiting += frame(headers, b"")
            return
        member = error.kind[0].lower() + error.kind[1:]
        headers = {":message-type": "exception", ":exception-type": member}
        self._event(headers, msgspec.json.encode({"message": error.message}))
