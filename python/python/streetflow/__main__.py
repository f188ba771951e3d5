"""The command `streetflow`: `python -m streetflow crawl --sandbox`."""

from __future__ import annotations

import sys

from ._core import run_command
from .exceptions import UsageError


def main() -> int:
    """Runs the command line of this process and returns the exit code."""
    try:
        # The command handles signals by itself.
        return run_command(["streetflow", *sys.argv[1:]])
    except UsageError as error:
        # A build without the command.
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
