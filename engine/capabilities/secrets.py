"""Secrets by name, from a keyring back-end that the settings name.

The back-end is never left to keyring's own choice: that depends on which packages happen to be installed and on the
environment (`PYTHON_KEYRING_BACKEND=…null` would store nothing and say so to nobody). Values are read when a connector
needs them and are not kept here. What the settings may say (`secrets:` in quarterdeck.yaml):

    backend: file | secret-service | kwallet | macos | windows | <module.Class>
    file: secrets.qdk              # for `file`: the sealed file, relative to the config folder
    key: file:secrets.key          # for `file`: credential:NAME, fd:N or file:PATH
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.capabilities.ports import ActionError, Json

SERVICE = "quarterdeck"
BACKENDS = {
    "file": "connectors.keyring_file.FileKeyring",
    "secret-service": "keyring.backends.SecretService.Keyring",
    "kwallet": "keyring.backends.kwallet.DBusKeyring",
    "macos": "keyring.backends.macOS.Keyring",
    "windows": "keyring.backends.Windows.WinVaultKeyring",
}
_USELESS = ("keyring.backends.null.", "keyring.backends.fail.", "keyring.backends.chainer.", "keyrings.alt.")


class Secrets:
    """Reads entries of the service `quarterdeck`. Opening is lazy: an engine that needs no secret needs no keyring."""

    def __init__(self, settings: Mapping[str, Json], config: Path) -> None:
        self._settings, self._config = dict(settings), config
        self._backend: Any = None

    @property
    def backend(self) -> str:
        """The name that stands (or is implied) in the settings."""
        return str(self._settings.get("backend", "file"))

    def get(self, name: str) -> str:
        """The secret's value. Raises ActionError `SecretMissing` or `KeyringUnusable`, never with a value in it."""
        try:
            value = self._opened().get_password(SERVICE, name)
        except ActionError:
            raise
        except Exception as error:
            raise self._unusable(f"{error.__class__.__name__}: {error}") from error
        if not value:
            raise ActionError(
                "SecretMissing",
                f"the keyring ({self.backend}) has no entry {name!r}; store it with: "
                f"python -m engine.secret set {name} --config {self._config}",
                kind="configuration",
                retryable=False,
            )
        return str(value)

    def set(self, name: str, value: str) -> None:
        """Stores a secret. Raises ActionError `KeyringUnusable`."""
        try:
            self._opened().set_password(SERVICE, name, value)
        except ActionError:
            raise
        except Exception as error:
            raise self._unusable(f"{error.__class__.__name__}: {error}") from error

    def delete(self, name: str) -> None:
        """Removes a secret. Raises ActionError `KeyringUnusable` also when there is none."""
        try:
            self._opened().delete_password(SERVICE, name)
        except ActionError:
            raise
        except Exception as error:
            raise self._unusable(f"{error.__class__.__name__}: {error}") from error

    def names(self) -> tuple[str, ...]:
        """Which entries there are, where the back-end can tell. Raises ActionError `KeyringUnusable`."""
        backend = self._opened()
        listed = getattr(backend, "names", None)
        if listed is None:
            raise self._unusable("it can't list its entries")
        try:
            return tuple(listed(SERVICE))
        except Exception as error:
            raise self._unusable(f"{error.__class__.__name__}: {error}") from error

    def prepare(self) -> None:
        """Makes the key file of the file keyring where none is. Raises ActionError `KeyringUnusable`."""
        backend = self._opened()
        kind, _, path = str(getattr(backend, "key", "")).partition(":")
        if self.backend == "file" and kind == "file":
            try:
                sys.modules[type(backend).__module__].create_key(Path(path))
            except OSError as error:
                raise self._unusable(f"{path} cannot be made: {error.strerror}") from error

    def _opened(self) -> Any:
        if self._backend is None:
            import keyring.core

            name = BACKENDS.get(self.backend, self.backend)
            if "." not in name or name.startswith(_USELESS):
                raise self._unusable(f"no usable back-end; choose one of {', '.join(BACKENDS)} or module.Class")
            try:
                backend = keyring.core.load_keyring(name)
            except Exception as error:
                raise self._unusable(f"{error.__class__.__name__}: {error}") from error
            if self.backend == "file":
                backend.file = str(self._config / str(self._settings.get("file", "secrets.qdk")))  # type: ignore[attr-defined]
                backend.key = self._key(str(self._settings.get("key", "file:secrets.key")))  # type: ignore[attr-defined]
            self._backend = backend
        return self._backend

    def _key(self, source: str) -> str:
        kind, _, rest = source.partition(":")
        return f"file:{self._config / rest}" if kind == "file" else source

    def _unusable(self, why: str) -> ActionError:
        return ActionError(
            "KeyringUnusable",
            f"the keyring back-end {self.backend!r} cannot be used: {why}",
            kind="configuration",
            retryable=False,
        )
