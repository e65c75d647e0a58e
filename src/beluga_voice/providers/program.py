"""A Python program that fetches something, in a process of its own, where it can be stopped."""

import asyncio
import sys

from beluga_voice.errors import Unreachable


async def run_program(*arguments: str, failing: str, provider: str) -> None:
    """Run `python *arguments` to its end; cancelling kills it.

    Raises `Unreachable` if it fails: `failing`, and the last line that it wrote about why.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        lines = said.decode(errors="replace").split("\n")
        why = next((line for line in reversed(lines) if line.strip()), "no reason was given")
        raise Unreachable(f"{failing}: {why.strip()}", op="download", provider=provider)
