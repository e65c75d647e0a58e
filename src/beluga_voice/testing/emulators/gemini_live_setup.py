"""What an emulated Gemini Live takes as a configuration."""

from beluga_voice.testing.emulators.gemini_live_frames import BadFrame, Setup

MODELS = frozenset(
    {
        "gemini-3.8-live",
        "gemini-3.8-live-extended-thinking",
        "gemini-3.1-flash-live-preview",
        "gemini-2.5-flash-native-audio-preview-12-2025",
    }
)
# fmt: off
VOICES = frozenset(
    {
        "Zephyr", "Puck", "Charon", "Kore", "Fenrir", "Leda", "Orus", "Aoede", "Callirrhoe",
        "Autonoe", "Enceladus", "Iapetus", "Umbriel", "Algieba", "Despina", "Erinome", "Algenib",
        "Rasalgethi", "Laomedeia", "Achernar", "Alnilam", "Schedar", "Gacrux", "Pulcherrima",
        "Achird", "Zubenelgenubi", "Vindemiatrix", "Sadachbia", "Sadaltager", "Sulafat",
    }
)
# fmt: on
INVALID_ARGUMENT = "Request contains an invalid argument."


def is_known(model: str) -> bool:
    """Whether there is a model of that name, with its prefix."""
    return model.startswith("models/") and model.removeprefix("models/") in MODELS


def do_tools_wait(model: str) -> bool:
    """Whether the model waits for a tool that does not say; the 3.8 models go on meanwhile.

    Read from how Pipecat 1.14.0 treats the models, on 2026-11-21.
    """
    return not model.startswith("models/gemini-3.8")


def check(setup: Setup) -> None:
    """Raise `BadFrame` for what the model does not take."""
    generation = setup.generation_config
    if generation.response_modalities != ("AUDIO",):
        raise BadFrame("Cannot extract voices from a non-audio request.")
    if generation.temperature is not None and not 0 <= generation.temperature <= 2:
        raise BadFrame(INVALID_ARGUMENT)
    thinks = generation.thinking_config is not None
    if thinks is not setup.model.endswith("thinking") and "gemini-3.8" in setup.model:
        raise BadFrame(f"Thinking level is {'not ' if thinks else ''}for this model.")
    speech = generation.speech_config
    if speech and speech.voice_config and speech.voice_config.prebuilt_voice_config:
        name = speech.voice_config.prebuilt_voice_config.voice_name
        if name not in VOICES:
            raise BadFrame(f"Requested voice api_name '{name}' is not available.")
