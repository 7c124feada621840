# SPDX-License-Identifier: BSD-3-Clause
"""How a bench ends."""
import sys


def run(main, failed):
    """Exits with the status that main() returns; with 1 and a line if the bench cannot go on and raises `failed`."""
    try:
        sys.exit(main())
    except failed as why:
        print(f"run.py: {why}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        sys.exit(130)
