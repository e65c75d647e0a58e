"""`python -m beluga_voice.cli`."""

import sys

from beluga_voice.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
