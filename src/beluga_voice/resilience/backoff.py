"""How long to wait before trying again.

Pure: chance is an argument.
"""

from dataclasses import dataclass

from beluga_voice.errors import ConfigurationError


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Waits that grow by a factor up to a limit, in milliseconds.

    `jitter`, 0 to 1, is the part of a wait that chance may take away, so that callers who failed
    together do not come back together. Raises `ConfigurationError` for what makes no sense.
    """

    first_ms: float = 200.0
    factor: float = 2.0
    max_ms: float = 5000.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.first_ms <= self.max_ms:
            raise ConfigurationError("first_ms is from 0 to max_ms", op="backoff")
        if self.factor < 1:
            raise ConfigurationError("factor is at least 1: waits do not shrink", op="backoff")
        if not 0 <= self.jitter <= 1:
            raise ConfigurationError("jitter is from 0 to 1", op="backoff")

    def delay_ms(
        self, attempt: int, random_unit: float, *, retry_after_seconds: float | None = None
    ) -> float:
        """The wait after attempt number `attempt`, counted from 1, has failed.

        `random_unit` is from 0, which gives the longest wait, up to 1. Where the service said when
        to come back, that is the wait, as long as it may be.
        """
        if retry_after_seconds is not None:
            return retry_after_seconds * 1000
        try:
            grown = self.first_ms * self.factor ** (attempt - 1)
        except OverflowError:
            grown = self.max_ms
        return min(grown, self.max_ms) * (1 - self.jitter * random_unit)
