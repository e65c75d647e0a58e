"""The rate that sound really has, told by where its service says that words end.

Raw samples carry no rate. Sound at half the rate that was asked for plays twice as fast, and only
the service's own times, which are seconds, show that there is too little of it.
"""

from beluga_voice.audio.formats import RATES, to_milliseconds

MIN_SPOKEN_MS = 3000.0
"""Below this, a pause at the end could pass for another rate."""
SLACK = 0.06


def other_rate_of(samples: int, rate: int, *, spoken_ms: float) -> str:
    """What is wrong with sound of which the last word should end there; "" if nothing is."""
    if spoken_ms < MIN_SPOKEN_MS:
        return ""
    for other in RATES:
        expected_ms = spoken_ms * other / rate
        if other != rate and abs(to_milliseconds(samples, rate) / expected_ms - 1) < SLACK:
            return f"the sound of the service seems to have {other} Hz, not {rate}"
    return ""
