"""`qd`: without a word the console, else the command line. Nothing heavy is imported before it is known which."""

from __future__ import annotations

import sys


def main() -> int:
    arguments = sys.argv[1:]
    if not arguments:
        from app.opening import open_console

        return open_console()
    from app.cli import main as command_line

    try:
        status = command_line(arguments)
    except BrokenPipeError:  # `qd ... | head`: nobody reads any more, that is no failure of ours
        sys.stderr.close()
        return 0
    return int(status or 0)


if __name__ == "__main__":
    sys.exit(main())
