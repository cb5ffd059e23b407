"""Secrets of an installation's keyring: `python -m engine.secret set NAME --config FOLDER`.

The value is asked for on the terminal without showing it, or read from standard input when that is a pipe; it is never
an argument (other users see those). With the project's own file keyring the key file is made at the first use, unless
the settings say that the key comes from elsewhere.
"""

from __future__ import annotations

import argparse
import getpass
import sys
from pathlib import Path

import msgspec

from engine.api.config import SettingsError, load
from engine.capabilities.ports import ActionError
from engine.capabilities.secrets import Secrets


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m engine.secret", description=(__doc__ or "").split("\n", maxsplit=1)[0]
    )
    parser.add_argument("verb", choices=("set", "check", "delete"))
    parser.add_argument("name", help="the entry that a connector's `secret:` names")
    parser.add_argument("--config", required=True, type=Path, help="the folder of quarterdeck.yaml")
    given = parser.parse_args(arguments)
    try:
        settings = load(given.config / "quarterdeck.yaml")
        secrets = Secrets(msgspec.to_builtins(settings.secrets), given.config.absolute())
        if given.verb == "set":
            value = getpass.getpass(f"{given.name}: ") if sys.stdin.isatty() else sys.stdin.read().rstrip("\r\n")
            if not value:
                parser.error("an empty secret was given; nothing was stored")
            secrets.prepare()
            secrets.set(given.name, value)
            sys.stderr.write(f"stored {given.name} in the keyring ({secrets.backend})\n")
        elif given.verb == "delete":
            secrets.delete(given.name)
            sys.stderr.write(f"deleted {given.name} from the keyring ({secrets.backend})\n")
        else:
            secrets.get(given.name)
            sys.stderr.write(f"{given.name} is in the keyring ({secrets.backend})\n")
    except (ActionError, SettingsError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
