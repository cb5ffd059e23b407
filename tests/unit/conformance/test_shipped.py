"""Every connector that is shipped keeps what an entry point promises, and says what it was tested against."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from typing import Any

import pytest

from engine.capabilities.systems import conformance
from screens.secret_words import means

SETTINGS: dict[str, dict[str, Any]] = {
    "alertmanager": {"url": "https://alerts.example"},
    "goosebit": {"url": "https://updates.example", "secret": "x"},
    "hawkbit": {"url": "https://updates.example", "secret": "x"},
    "mender": {"url": "https://updates.example", "secret": "x"},
    "prometheus": {"url": "https://metrics.example"},
    "roundup": {"url": "https://issues.example/fleet/", "secret": "x", "username": "qd"},
    "servicenow": {"url": "https://acme.service-now.com", "secret": "x", "username": "qd"},
    "github": {"url": "https://api.github.com", "secret": "x", "repository": "acme/robots"},
    "jira": {"url": "https://acme.atlassian.net", "secret": "x", "username": "qd@acme.example", "project": "OPS"},
    "mlflow": {"url": "https://models.example"},
    "labelstudio": {"url": "https://labels.example", "secret": "x"},
    "opa": {"url": "https://policy.example"},
    "s3": {"url": "https://objects.example"},
}
SHIPPED = [point for point in entry_points(group="quarterdeck.connectors") if point.value.startswith("connectors.")]


@pytest.mark.parametrize("point", SHIPPED, ids=lambda point: point.name)
def test_an_entry_point_keeps_its_promises(point: Any) -> None:
    entry = point.load()
    assert entry.kind == point.name
    assert entry.title and entry.docs
    ports = conformance.connector(entry, SETTINGS.get(point.name))
    for port in ports.values():
        assert all(len(why) > 10 for why in getattr(port, "traits", {}).values())
    secret = set(getattr(entry, "secrets", {})) | ({"secret"} & set(entry.fields))
    for name in secret:
        said = means(type("Field", (), {"description": entry.fields[name].description})())  # type: ignore[arg-type]
        assert said and "keyring" not in said, f"{point.name}.{name} would ask a person for {said!r}"


def test_what_can_not_be_had_here_says_so() -> None:
    for name in ("hawkbit", "mender", "jira", "servicenow", "github", "pagerduty"):
        docs = next(point for point in SHIPPED if point.name == name).load().docs.lower()
        assert (
            "contract server" in docs
            or "can't be had" in docs
            or "from its documents" in docs
            or "server built" in docs
        ), (name, docs)


def test_looking_at_all_kinds_loads_nothing_heavy() -> None:
    import subprocess

    code = (
        "import sys\nfrom importlib.metadata import entry_points\n"
        "[p.load() for p in entry_points(group='quarterdeck.connectors') if p.value.startswith('connectors.')]\n"
        "print([n for n in ('asyncssh','apprise','numpy','pyarrow','mcap','cryptography') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]", done.stdout
