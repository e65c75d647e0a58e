"""Sound in which there is nothing to hear.

A service that is asked to speak may send as much sound as it should, and digital silence in it. A
voice has noise, so what is silent to the last bit was not spoken.
"""

from beluga_voice.audio.formats import Encoding, is_digital_silence

ELSEWHERE = "connect again, or use another service"
"""What can be done about a service that has gone quiet without saying so."""
NOTHING_SPOKEN = "the service spoke nothing but silence; check the voice, or use another service"


def is_mute(sound: bytes, encoding: Encoding) -> bool:
    """Whether there is digital silence in it, or nothing at all."""
    return is_digital_silence(sound, encoding)
