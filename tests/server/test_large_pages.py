"""A server that takes its memory in large pages."""

import os
import subprocess
import sys

from beluga_voice.server.memory import with_large_pages

PROGRAM = """
import os, sys
from beluga_voice.server.memory import take_large_pages
print("begun", flush=True)
take_large_pages()
print(os.environ.get("PYTHONMALLOC"), os.environ.get("GLIBC_TUNABLES"), sys.argv[1:])
"""


def test_what_is_tuned_already_stays():
    """Large pages are added to the tunables that are there, once."""
    there = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2", "HOME": "/home"}
    taken = with_large_pages(there)
    assert taken == {
        "GLIBC_TUNABLES": "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1",
        "HOME": "/home",
        "PYTHONMALLOC": "malloc",
    }
    assert with_large_pages(taken) == taken


def test_a_program_begins_anew_once():
    """On Linux it runs again from its beginning with the same arguments; elsewhere it goes on."""
    taken = ("GLIBC_TUNABLES", "PYTHONMALLOC")
    environment = {name: value for name, value in os.environ.items() if name not in taken}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--port", "0"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    begun, pages = (
        (2, "malloc glibc.malloc.hugetlb=1") if sys.platform == "linux" else (1, "None None")
    )
    assert done.stdout.splitlines() == ["begun"] * begun + [f"{pages} ['--port', '0']"]
