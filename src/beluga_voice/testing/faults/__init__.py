"""Faults as data, and a wrapper that lets them strike any provider.

    from beluga_voice.testing.faults import Faulty, Hang, Phase, When

    stt = Faulty(my_stt, Hang(when=When(phase=Phase.AWAITED, connections=1)), seed=7)

`catalogue` holds one of each, and which troubles of voice agents can be made with what.
"""

from beluga_voice.testing.faults.corrupt import Corrupt, Corruption
from beluga_voice.testing.faults.ends import Close, Complaint, Expiry, Refusal, Refused, Reset
from beluga_voice.testing.faults.fault import DOWN, UP, Fault, Kind, Struck
from beluga_voice.testing.faults.faulty import Faulty
from beluga_voice.testing.faults.finals import DuplicateFinals, NoFinal, StaleFinal
from beluga_voice.testing.faults.order import Duplicate, Loss, Reorder, Slicer, Truncate
from beluga_voice.testing.faults.pieces import Matter
from beluga_voice.testing.faults.sound import OnlySilence, WavHeader, WrongRate, ZeroAudio
from beluga_voice.testing.faults.timing import Brownout, Delay, Hang, Jitter
from beluga_voice.testing.faults.when import Phase, When

__all__ = [
    "DOWN",
    "UP",
    "Brownout",
    "Close",
    "Complaint",
    "Corrupt",
    "Corruption",
    "Delay",
    "Duplicate",
    "DuplicateFinals",
    "Expiry",
    "Fault",
    "Faulty",
    "Hang",
    "Jitter",
    "Kind",
    "Loss",
    "Matter",
    "NoFinal",
    "OnlySilence",
    "Phase",
    "Refusal",
    "Refused",
    "Reorder",
    "Reset",
    "Slicer",
    "StaleFinal",
    "Struck",
    "Truncate",
    "WavHeader",
    "When",
    "WrongRate",
    "ZeroAudio",
]
