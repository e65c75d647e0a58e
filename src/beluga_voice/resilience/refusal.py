"""The error of a wrapper that did not ask the service."""

from beluga_voice.errors import Overloaded


class Refused(Overloaded):
    """We did not ask the service, because it rests or because it has enough to do.

    The service is not to blame for it, so nobody counts it as a failure.
    """
