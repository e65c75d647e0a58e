"""In what order a client may say things to Nova Sonic.

    sessionStart, promptStart, blocks, promptEnd, sessionEnd

A block is `contentStart`, pieces of its kind, `contentEnd`. Instructions come first, then what was
said before, by turns and the person first; both end when the sound begins. While a block of text or
a result is open, there is no sound.
"""

from beluga_voice.testing.emulators.nova_sonic_frames import (
    MAX_HISTORY_BYTES,
    MAX_TEXT_BYTES,
    VOICES,
    BadEvent,
    ClientEvent,
    Content,
    ContentStart,
    PromptStart,
)

_TOO_LATE = "Chat history should be sent completely before streaming audio"


class NovaSonicOrder:
    """What has come so far on one stream; raises `BadEvent` for what may not come next."""

    def __init__(self) -> None:
        self._has_session = False
        self._prompt: str | None = None
        self._is_prompt_over = False
        self._is_over = False
        self._open: dict[str, ContentStart] = {}
        self._names: set[str] = set()
        self._has_sound = False
        self._last_role = ""
        self._history_bytes = 0
        self._pieces: dict[str, int] = {}

    def take(self, event: ClientEvent) -> None:
        """Check the next event."""
        if self._is_over:
            raise BadEvent("No events are expected after sessionEnd.")
        if event.session_start is not None:
            if self._has_session:
                raise BadEvent("sessionStart was sent already.")
            self._has_session = True
            return
        if not self._has_session:
            raise BadEvent("sessionStart is expected first.")
        if event.session_end is not None:
            if self._prompt is not None and not self._is_prompt_over:
                raise BadEvent("promptEnd is expected before sessionEnd.")
            self._is_over = True
        elif event.prompt_start is not None:
            self._prompt_starts(event.prompt_start)
        else:
            self._in_prompt(event)

    def block(self, name: str) -> ContentStart:
        """The open block of that name."""
        return self._open[name]

    def _prompt_starts(self, start: PromptStart) -> None:
        if self._prompt is not None:
            raise BadEvent("promptStart was sent already.")
        if start.audio_output_configuration.voice_id not in VOICES:
            raise BadEvent(f"Invalid voiceId: {start.audio_output_configuration.voice_id}")
        if start.tool_configuration and start.tool_use_output_configuration is None:
            raise BadEvent("toolUseOutputConfiguration is expected with tools.")
        self._prompt = start.prompt_name

    def _in_prompt(self, event: ClientEvent) -> None:
        one = (
            event.content_start
            or event.text_input
            or event.audio_input
            or event.tool_result
            or event.content_end
            or event.prompt_end
        )
        if one is None or self._prompt is None or self._is_prompt_over:
            raise BadEvent("A prompt is expected to be open.")
        if one.prompt_name != self._prompt:
            raise BadEvent(f"Unknown promptName: {one.prompt_name}")
        if event.content_start is not None:
            self._begins(event.content_start)
        elif event.content_end is not None:
            start = self._open.pop(event.content_end.content_name, None)
            if start is None:
                raise BadEvent("contentEnd is for no open content.")
            if start.type != "AUDIO" and not self._pieces.get(start.content_name):
                raise BadEvent("The content is empty.")
        elif event.prompt_end is not None:
            if self._open:
                raise BadEvent("contentEnd is expected before promptEnd.")
            self._is_prompt_over = True
        elif event.text_input is not None:
            self._piece(event.text_input, "TEXT")
            self._text(event.text_input)
        elif event.audio_input is not None:
            self._piece(event.audio_input, "AUDIO")
            if len(self._open) > 1:
                raise BadEvent(_TOO_LATE)
        elif event.tool_result is not None:
            self._piece(event.tool_result, "TOOL")
            if self._pieces[event.tool_result.content_name] > 1:
                raise BadEvent("One toolResult is expected.")

    def _begins(self, start: ContentStart) -> None:
        if start.content_name in self._names:
            raise BadEvent(f"contentName is not unique: {start.content_name}")
        if any(one.type != "AUDIO" for one in self._open.values()):
            raise BadEvent("contentEnd is expected before the next contentStart.")
        self._names.add(start.content_name)
        match start.type:
            case "AUDIO":
                if self._has_sound or start.role != "USER" or not start.interactive:
                    raise BadEvent("One interactive AUDIO content of the USER is expected.")
                self._has_sound = True
            case "TOOL":
                if start.role != "TOOL" or start.interactive:
                    raise BadEvent("A result has the role TOOL.")
            case _:
                self._text_begins(start)
        self._open[start.content_name] = start

    def _text_begins(self, start: ContentStart) -> None:
        if start.interactive:
            if start.role != "USER" or not self._has_sound:
                raise BadEvent("Interactive text comes from the USER while audio is streamed.")
            return
        if self._has_sound:
            raise BadEvent(_TOO_LATE)
        if start.role in ("SYSTEM", "SYSTEM_SPEECH"):
            if self._last_role not in ("", "SYSTEM"):
                raise BadEvent("The system prompt is expected first.")
        elif start.role == self._last_role or (
            start.role == "ASSISTANT" and self._last_role in ("", "SYSTEM", "SYSTEM_SPEECH")
        ):
            raise BadEvent("Roles must alternate, and the first message must be from the USER.")
        self._last_role = start.role

    def _piece(self, piece: Content, kind: str) -> None:
        start = self._open.get(piece.content_name)
        if start is None or start.type != kind:
            raise BadEvent(f"There is no open {kind} content {piece.content_name}.")
        self._pieces[piece.content_name] = self._pieces.get(piece.content_name, 0) + 1

    def _text(self, text: Content) -> None:
        size = len(text.content.encode())
        if size > MAX_TEXT_BYTES:
            raise BadEvent("textInput is larger than 1 KB.")
        if self._open[text.content_name].role in ("USER", "ASSISTANT") and not self._has_sound:
            self._history_bytes += size
            if self._history_bytes > MAX_HISTORY_BYTES:
                raise BadEvent("Chat history is larger than 40 KB.")
