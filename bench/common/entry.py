# SPDX-License-Identifier: BSD-3-Clause
"""How a bench ends."""
import sys


def run(main, failed):
    """Exit status: what main() says; 1 and a line for `failed`, the exception of a bench that cannot go on."""
    try:
        sys.exit(main())
    except failed as why:
        print(f"run.py: {why}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print("run.py: interrupted", file=sys.stderr)
        sys.exit(130)
