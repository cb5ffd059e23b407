"""The installation's settings: `config/quarterdeck.yaml`, read once at start, strictly.

An absent file means a production engine with no connectors. An unknown key or a wrong type stops the start and says
where: a setting that is silently ignored is found out at night.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml


class SettingsError(Exception):
    """The settings can't be used; the message names file, key and what to do."""


class ClockSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sandbox time: the engine's clock reads `sim0 + (wall - wall0) * speed`, in every process alike."""

    sim0: float
    wall0: float
    speed: float = 1.0


class ConnectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One remote system. `secret` is the name of a keyring entry, never a secret itself."""

    kind: str
    url: str = ""
    secret: str = ""
    options: dict[str, Any] = {}


class SocketSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`group` may connect beside the owner."""

    group: str = ""


class WorldSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the sandbox plays, for the header and the status."""

    scenario: str = ""
    seed: int = 0


class SecretsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which keyring holds the secrets (see `engine.capabilities.secrets`). No secret stands in the settings."""

    backend: str = "file"
    file: str = "secrets.qdk"
    key: str = "file:secrets.key"


class WebhookSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One system that may tell events. `secret` is the name of a keyring entry, never a secret itself."""

    secret: str


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    environment: Literal["production", "sandbox"] = "production"
    clock: ClockSettings | None = None
    connectors: dict[str, ConnectorSettings] = {}
    secrets: SecretsSettings = SecretsSettings()
    policy: dict[str, Any] = {}
    socket: SocketSettings = SocketSettings()
    world: WorldSettings = WorldSettings()
    webhooks: dict[str, WebhookSettings] = {}
    """source -> how it proves itself; served on loopback at `webhook_port`."""
    webhook_port: int = 0
    zone: str = ""
    """IANA zone of the site, for times shown to people; empty: that of the machine that shows them."""
    sync_s: float = 30.0
    """How often the fleet mirror is read again, in seconds of the engine's clock."""

    def __post_init__(self) -> None:
        if self.clock and self.environment != "sandbox":
            raise ValueError("clock: time runs faster than life in the sandbox only")
        if self.webhooks and not 0 < self.webhook_port < 65_536:
            raise ValueError("webhook_port: webhooks need a port to listen on (loopback)")


def load(path: Path) -> Settings:
    """Reads the settings. Raises `SettingsError`."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: can't be read: {error}") from error
    try:
        return msgspec.convert(yaml.safe_load(text) or {}, Settings, strict=True)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}: " if mark else ""
        raise SettingsError(f"{path}: {where}{getattr(error, 'problem', None) or error}") from error
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"{path}: {error}") from error
