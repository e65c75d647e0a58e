"""The eSpeak NG library, by ctypes, in a worker process.

Synchronous mode: `espeak_Synth` returns when everything was spoken, and calls back with some 60 ms
of sound at a time and the words that begin in it. The library is one state for the whole process
and must not be called from two threads.

Layouts and constants are those of `speak_lib.h`, eSpeak NG 1.52.
"""

import ctypes
from collections.abc import Callable
from importlib import import_module
from typing import override

_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_RATE, _PITCH = 1, 3
_LIST_END, _WORD = 0, 1
_CALLBACK_MILLISECONDS = 60
_SEED = 1

type OnSound = Callable[[bytes, list[tuple[int, int]]], bool]
"""Given 16-bit sound and the (position in the text, sample) of words that begin; False stops."""


class _Event(ctypes.Structure):
    class _Id(ctypes.Union):
        _fields_ = (
            ("number", ctypes.c_int),
            ("name", ctypes.c_char_p),
            ("string", ctypes.c_char * 8),
        )

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Library:
    """One loaded library: `rate` is that of its sound, in hertz."""

    def __init__(self) -> None:
        # The package is untyped.
        carrier = import_module("espeakng_loader")
        self._library = ctypes.CDLL(carrier.get_library_path())
        self.rate: int = self._library.espeak_Initialize(
            _SYNCHRONOUS, _CALLBACK_MILLISECONDS, carrier.get_data_path().encode(), _DO_NOT_EXIT
        )
        if self.rate <= 0:
            raise OSError("eSpeak NG did not find its data")
        # Its breath is noise, begun by the time of day: so a new worker speaks as the last one did.
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(_SEED))
        self._on_sound: OnSound = lambda _sound, _words: False
        self._error: BaseException | None = None
        # Kept, because the library does not: a collected callback is a crash.
        self._callback = _Callback(self._called)
        self._library.espeak_SetSynthCallback(self._callback)

    @override
    def __repr__(self) -> str:
        return f"Library(rate={self.rate})"

    def set_voice(self, name: str, *, words_per_minute: int, pitch: int) -> bool:
        """Take a voice, or say that there is none of that name."""
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            return False
        self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        return True

    def speak(self, text: str, on_sound: OnSound) -> None:
        """Speak plain text; what `on_sound` raises stops it and comes out here."""
        self._on_sound = on_sound
        self._error = None
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, len(data), 0, 0, 0, _UTF8, None, None)
        if self._error is not None:
            raise self._error

    def _called(
        self,
        sound: "ctypes._Pointer[ctypes.c_short]",  # pyright: ignore[reportPrivateUsage]  (no other name)
        count: int,
        events: "ctypes._Pointer[_Event]",  # pyright: ignore[reportPrivateUsage]  (no other name)
    ) -> int:
        if not sound:
            return 0
        words: list[tuple[int, int]] = []
        at = 0
        while (event := events[at]).type != _LIST_END:
            if event.type == _WORD:
                words.append((event.text_position - 1, event.sample))
            at += 1
        try:
            goes_on = self._on_sound(ctypes.string_at(sound, 2 * count), words)
        except BaseException as error:
            # An exception cannot pass through the library's own frames.
            self._error = error
            return 1
        return 0 if goes_on else 1
