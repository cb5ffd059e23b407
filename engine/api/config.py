"""The installation's settings: `config/quarterdeck.yaml`, read once at start, strictly.

An absent file means a production engine with no connectors. An unknown key or a wrong type stops the start and says
where: a setting that is silently ignored is found out at night.
"""

from __future__ import annotations

import ipaddress
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
    """One remote system. `secret` is the name of a keyring entry, never a secret itself; `serves` the capabilities it is
    asked for (the one it is named after, or all it can)."""

    kind: str
    url: str = ""
    secret: str = ""
    options: dict[str, Any] = {}
    serves: tuple[str, ...] = ()


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
    """One system that may tell events. `secret` is the name of a keyring entry, never a secret itself; while it is
    exchanged, `old_secret` names the one before. `proof` is how it shows that it knows it (`engine.capabilities.hooks.proofs`;
    empty: a bearer or a signature of the body), `header` where, when that is not fixed; `window_s` how far a signed
    timestamp may lie from now (0: the policy `hooks` says).
    """

    secret: str
    proof: Literal["", "bearer", "basic", "header", "gitlab", "hmac", "pagerduty", "mlflow", "standard"] = ""
    header: str = ""
    window_s: float = 0.0
    old_secret: str = ""


class TlsSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Files of the listener's certificate (with its chain) and key, below the configuration folder or absolute."""

    certificate: str
    key: str


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    environment: Literal["production", "sandbox"] = "production"
    clock: ClockSettings | None = None
    connectors: dict[str, ConnectorSettings] = {}
    secrets: SecretsSettings = SecretsSettings()
    policy: dict[str, Any] = {}
    socket: SocketSettings = SocketSettings()
    world: WorldSettings = WorldSettings()
    webhooks: dict[str, WebhookSettings] = {}
    """source -> how it proves itself; served at `webhook_address` and `webhook_port`."""
    webhook_port: int = 0
    webhook_address: str = "127.0.0.1"
    """An IP address. One that other machines reach needs `webhook_tls`, or `webhook_plaintext` on a protected network."""
    webhook_tls: TlsSettings | None = None
    webhook_plaintext: bool = False
    zone: str = ""
    """IANA zone of the site, for times shown to people; empty: that of the machine that shows them."""
    sync_s: float = 30.0
    """How often the fleet mirror is read again, in seconds of the engine's clock."""

    def __post_init__(self) -> None:
        if self.clock and self.environment != "sandbox":
            raise ValueError("clock: time runs faster than life in the sandbox only")
        if self.webhooks and not 0 < self.webhook_port < 65_536:
            raise ValueError("webhook_port: webhooks need a port to listen on")
        if not 0 <= self.webhook_port < 65_536:
            raise ValueError("webhook_port: a port is a number below 65536")
        try:
            loopback = ipaddress.ip_address(self.webhook_address).is_loopback
        except ValueError:
            raise ValueError("webhook_address: an IP address such as 127.0.0.1 or 10.0.0.5") from None
        if not loopback and self.webhook_tls is None and not self.webhook_plaintext:
            raise ValueError(
                "webhook_address: other machines reach it, so it needs webhook_tls: {certificate: FILE, key: FILE}, "
                "or webhook_plaintext: true when a proxy in front of it does TLS"
            )


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
