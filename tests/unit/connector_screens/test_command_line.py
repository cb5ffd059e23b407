"""The pure parts of `qd connectors`: settings by their types, secrets by their order, reports as text."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import click
import pytest

from app.cli import connectors_add as adding
from app.cli import connectors_view as view
from engine.contract.dry import DryReport, WouldView
from engine.contract.systems import FieldView, KindView, SystemPage
from screens.secret_words import means, needed_first
from tests.fakes import BASE
from tests.unit.connector_screens.world import CALLS, JIRA, KINDS, OBJECTS, REPORT, REST, SIGNALS, UPDATES

FIELDS = {
    one.name: one
    for one in (
        FieldView(name="url", required=True), FieldView(name="rate", type="number"), FieldView(name="dry", type="boolean"),
        FieldView(name="sites", type="array"), FieldView(name="states", type="object"), FieldView(name="secret", secret=True),
    )
}  # fmt: skip
KIND = KindView(
    kind="desk",
    fields=(
        FieldView(name="proxy"), FieldView(name="proxy_secret", secret=True, description="keyring entry of the proxy's user:password"),
        FieldView(name="webhook_secret", secret=True), FieldView(name="secret", secret=True, required=True), FieldView(name="url", required=True),
    ),
)  # fmt: skip


def test_settings_have_the_types_of_their_fields() -> None:
    given = adding.options(
        FIELDS, "desk", ["rate=5", "dry=yes", "sites=HAM2, UTR1", 'states={"new": "open"}', "url=https://x?a=b"]
    )
    assert given == {
        "rate": 5,
        "dry": True,
        "sites": ["HAM2", "UTR1"],
        "states": {"new": "open"},
        "url": "https://x?a=b",
    }


@pytest.mark.parametrize(
    ("pair", "said"),
    [("rate=fast", "a number is needed"), ("dry=perhaps", "true or false"), ("rat=5", "did you mean rate"), ("rate", "name=value"),
     ("states=x", "a object is needed"), ("secret=hunter2", "others can read arguments")],
)  # fmt: skip
def test_a_setting_that_is_wrong_is_named(pair: str, said: str) -> None:
    with pytest.raises(click.UsageError) as wrong:
        adding.options(FIELDS, "desk", [pair])
    assert said in str(wrong.value) and "hunter2" not in str(wrong.value)


def piped(monkeypatch: pytest.MonkeyPatch, text: bytes, given: dict[str, Any]) -> dict[str, bytes]:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(text), isatty=lambda: False))
    return adding.secrets(KIND, "desk", given=given, from_stdin=True, files=(), stored=())


def test_secrets_come_in_the_order_in_which_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert piped(monkeypatch, b"main\nhook\n", {}) == {"secret": b"main", "webhook_secret": b"hook"}
    assert piped(monkeypatch, b"main\nuser:pw\nhook\n", {"proxy": "http://p"}) == {
        "secret": b"main",
        "proxy_secret": b"user:pw",
        "webhook_secret": b"hook",
    }
    assert piped(monkeypatch, b"main", {}) == {"secret": b"main"}
    with pytest.raises(click.UsageError, match="needs a secret for secret"):
        piped(monkeypatch, b"\n", {})


def test_a_key_of_several_lines_comes_from_a_file(tmp_path: Any) -> None:
    (tmp_path / "key").write_bytes(b"-----BEGIN\nx\n-----END\n")
    found = adding.secrets(KIND, "desk", given={}, from_stdin=False, files=(f"secret={tmp_path / 'key'}",), stored=())
    assert found == {"secret": b"-----BEGIN\nx\n-----END\n"}
    with pytest.raises(click.UsageError, match="FIELD=FILE"):
        adding.secrets(KIND, "desk", given={}, from_stdin=False, files=("nope=x",), stored=())


def test_entries_are_told_apart_by_system_and_field() -> None:
    assert (adding.entry("jira", "secret"), adding.entry("jira", "webhook_secret")) == ("jira", "jira.webhook_secret")


def test_what_is_needed_is_asked_for_first_and_in_words_for_people() -> None:
    assert [one.name for one in needed_first(KIND.fields)] == [
        "url",
        "secret",
        "proxy",
        "proxy_secret",
        "webhook_secret",
    ]
    for said, meant in (
        ("name of the keyring entry", "password or token"), ("keyring entry of a bearer token", "a bearer token"),
        ("name of the keyring entry that proves its webhooks", "what proves its webhooks"), ("name of the keyring entry: token or password", "token or password"),
        ("counter token", "counter token"),
    ):  # fmt: skip
        assert means(FieldView(name="secret", description=said)) == meant


def test_arguments_of_a_dry_call_nest_at_their_dots() -> None:
    assert view.nested(["new.title=left arm", "new.n=3", "id=7", 'robots=["a"]']) == {
        "new": {"title": "left arm", "n": 3},
        "id": 7,
        "robots": ["a"],
    }
    for wrong in ("title", ".x=1", "a..b=1"):
        with pytest.raises(click.UsageError):
            view.nested([wrong])
    with pytest.raises(click.UsageError, match="has a value already"):
        view.nested(["a=1", "a.b=2"])


def test_reports_read_well_and_hold_nothing_that_acts_on_a_terminal() -> None:
    page = SystemPage(systems=(JIRA, UPDATES, SIGNALS, REST), as_of=BASE)
    listed = view.listed(page)
    assert "FAILING" in listed and "suspended" in listed and "12s ago" not in listed.splitlines()[1]
    shown = view.shown(JIRA, BASE)
    assert "failing   for 23m 20s: 503" in shown and "MISSING: qd connectors secret jira webhook_secret" in shown
    assert "its clock is 4 s ahead" in view.shown(UPDATES, BASE)
    checked = view.checked(REPORT)
    assert (
        "FAIL  there is one report for each robot\n        amr-1 is reported twice" in checked
        and "nothing was written" in checked
    )
    assert view.calls(CALLS).splitlines()[-1].endswith("no answer within 20 s")
    assert "gone 1m ago" in view.objects(OBJECTS) and "210 more" in view.objects(OBJECTS)
    assert "can't be loaded" in view.available(KINDS.kinds) and "No module named 'ray'" in view.available(KINDS.kinds)
    would = DryReport(
        system="x",
        call="tickets.open",
        would=(WouldView(system="x", method="POST", url="https://x/\x1b[2J", body={"a": "\x1b"}),),
    )
    told = view.rehearsed(would)
    assert "POST https://x/" in told and "\x1b" not in told and "not sent" in told
