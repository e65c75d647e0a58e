"""What can be done about a service that says no: part of every message about it."""

from http import HTTPStatus

from beluga_voice.events import ErrorCategory
from beluga_voice.providers.mute import ELSEWHERE

SETTINGS = "check the model and the settings"
MONEY = "check the account's credit"
LATER = "come back later"


def key_advice(variable: str) -> str:
    """What to do about a key that is not taken, which comes from that variable."""
    return f"check the key and what it may do: {variable}, or api_key"


def advice_on(category: ErrorCategory, *, variable: str, status: int | None = None) -> str:
    """What to do about a failure of that kind, and of that HTTP status if it has one."""
    if status == HTTPStatus.PAYMENT_REQUIRED:
        return MONEY
    match category:
        case ErrorCategory.AUTH:
            return key_advice(variable)
        case ErrorCategory.RATE_LIMIT:
            return LATER
        case ErrorCategory.INVALID_REQUEST:
            return f"{SETTINGS}, and the endpoint" if status == HTTPStatus.NOT_FOUND else SETTINGS
        case _:
            return ELSEWHERE
