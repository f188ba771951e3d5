"""The command `streetflow`: `python -m streetflow crawl --sandbox`."""

from __future__ import annotations

import sys

from ._core import run_command


def main() -> int:
    """Runs the command line of this process and returns the exit code."""
    # The command handles signals by itself.
    return run_command(["streetflow", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
