"""Every error of every map is one that the vendor's own SDK takes as such."""

import asyncio
from dataclasses import replace

import pytest

from emulators.error_maps import EACH
from emulators.sdks import NOVA_TLS, SDKS

SECONDS = 30
"""More than a busy machine needs; nothing here waits for time."""
MODELED = {
    *("InternalServerException", "ModelStreamErrorException", "ModelTimeoutException"),
    *("ServiceUnavailableException", "ThrottlingException", "ValidationException"),
}
"""The exceptions that the stream of Nova has a shape for; others have a name only."""


@pytest.mark.parametrize(
    ("name", "row"),
    [(name, row) for name, row in EACH if not row.needs_backend],
    ids=[f"{name}: {row.name}" for name, row in EACH if not row.needs_backend],
)
def test_the_sdk_of_the_vendor_sees_the_error(name, row, tmp_path, monkeypatch):
    """By its type, code, close or exception, as the service would tell it."""
    (tmp_path / "issuer.pem").write_bytes(NOVA_TLS[1])
    if name == "nova_sonic":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "issuer.pem"))

    is_expiring = row.faults.expire_after_ms is not None
    faults = replace(row.faults, expire_after_ms=100) if is_expiring else row.faults

    async def scene():
        async with asyncio.timeout(SECONDS):
            return await SDKS[name](faults)

    seen = asyncio.run(scene())
    match name:
        case "openai_realtime" | "grok" | "openai_live" if faults.close_code is not None:
            assert (seen["close"], seen["reason"]) == (faults.close_code, faults.close_reason)
        case "openai_live" if is_expiring:
            assert (seen["parsed"], seen["reason"]) == ("SessionClosedEvent", row.name)
        case "openai_realtime" | "grok" | "openai_live":
            usual = "internal_error" if name == "grok" else "server_error"
            assert seen["parsed"].endswith("ErrorEvent")
            assert seen["type"] == (faults.error_type or usual)
            assert seen["code"] == faults.error_code
        case "gemini_live":
            assert seen["close"] == faults.close_code
            assert (faults.error_code or faults.close_reason) in seen["reason"]
        case "nova_sonic" if faults.error_code in MODELED:
            assert seen["raised"] == faults.error_code
            assert (faults.error_message or "The model failed.") in seen["text"]
        case "nova_sonic":
            assert faults.error_code in seen["text"]
        case _ if not row.is_end:
            assert seen["heard"]
        case _:
            reason = faults.close_reason or faults.error_message
            assert seen["reason"] == reason
            assert seen["close"] == (faults.close_code or seen["close"])
