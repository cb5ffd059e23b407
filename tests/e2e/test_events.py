"""Events through a real engine by the command line: told once, routed with reasons, followed to their first cause."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.installation import Installation
from tests.e2e.terminal import Terminal

MAKER = """
quarterdeck: 1
workflow: maker
version: 1
title: Maker
inputs: {thing: {type: string}}
triggers:
  - event: shop.asked
    filter: event.data.count > 0
    dedupe: event.data.thing
    within: 1h
    with: {thing: "${event.data.thing}"}
  - {cron: "0 3 * * 1", zone: Europe/Berlin, missed: skip, with: {thing: weekly}}
steps:
  say: {emit: shop.made, subject: "${inputs.thing}", with: {thing: "${inputs.thing}"}}
"""
USER = """
quarterdeck: 1
workflow: user
version: 1
title: User
inputs: {thing: {type: string}}
triggers:
  - {manual: {roles: [data-lead]}}
  - {event: shop.made, correlate: event.data.thing, with: {thing: "${event.data.thing}"}}
steps:
  hold:
    wait: {event: shop.fetched, correlate: inputs.thing}
    timeout: 2d
    on_timeout: {raise: TooLate}
  say: {emit: shop.used, subject: "${inputs.thing}"}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    made = Installation(tmp_path_factory.mktemp("events") / "home")
    folder = made.home / "config"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "quarterdeck.yaml").write_text("environment: sandbox\n")
    assert made.run("engine", "start").returncode == 0
    for name, text in (("maker", MAKER), ("user", USER)):
        file = made.home / f"{name}.yaml"
        file.write_text(text)
        made.json("workflows", "register", str(file))
    yield made
    made.run("engine", "stop")


def until(true: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.1)
    return found


def told(home: Installation, name: str, count: int = 1) -> list[dict[str, Any]]:
    """So many events of a name, each seen to, newest first."""

    def seen() -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = home.json("events", "ls", "--event", name)["rows"]
        return rows if len(rows) >= count and all(row["delivered"] for row in rows) else []

    found: list[dict[str, Any]] = until(seen)
    return found


def test_a_thread_is_told_routed_explained_and_traced(home: Installation, tmp_path: Path) -> None:
    imagined = home.json("triggers", "explain", "shop.asked", "--data", "thing=cup", "--data", "count=2")
    assert [(word["rule"], word["outcome"]) for word in imagined["now"]] == [("maker:shop.asked", "open")]
    assert imagined["now"][0]["inputs"] == {"thing": "cup"}

    sent = {"specversion": "1.0", "id": "7", "source": "https://shop.example", "type": "dev.quarterdeck.qd.shop.v1"}
    file = tmp_path / "event.json"
    file.write_text(json.dumps({**sent, "type": "shop.asked", "data": {"thing": "cup", "count": 1}}))
    for _ in range(2):  # at least once is what others promise
        home.json("events", "emit", "--cloudevent", str(file))
    home.json("events", "emit", "shop.asked", "--data", "thing=cup", "--data", "count=0")
    home.json("events", "emit", "shop.asked", "--data", "thing=cup", "--data", "count=3")
    asked = told(home, "shop.asked", 3)
    assert len(asked) == 3
    outcomes = [row["fates"][0]["outcome"] for row in reversed(asked)]
    assert outcomes == ["opened", "ignored", "ignored"]
    assert asked[1]["fates"][0]["reason"] == "the filter says no: event.data.count > 0"
    assert "the same key opened run-" in asked[0]["fates"][0]["reason"]

    made = told(home, "shop.made")[0]
    assert (made["cause"], made["depth"], made["subject"]) == (asked[2]["seq"], 2, "cup")
    home.json("events", "emit", "shop.fetched", "--subject", "cup")
    used = told(home, "shop.used")[0]
    for name in (str(used["seq"]), str(made["seq"]), made["run"]):
        assert home.json("trace", name)["path"]
    whole = home.json("trace", made["run"])
    assert [(node["kind"], node["label"]) for node in whole["nodes"]] == [
        ("event", "shop.asked"),
        ("run", "maker"),
        ("event", "shop.made"),
        ("run", "user"),
        ("event", "shop.fetched"),  # of a thread of its own; the run took it and told the next
        ("event", "shop.used"),
    ]
    shown = home.json("runs", "show", made["run"])
    assert (shown["cause"]["seq"], shown["cause"]["event"], shown["told"]) == (asked[2]["seq"], "shop.asked", 1)
    text = home.run("trace", made["run"]).stdout
    assert "shop.made cup" in text and "<-- here" in text
    causes = home.json("trace", str(made["seq"]), "--causes")["nodes"]
    assert [node["label"] for node in causes] == ["shop.asked", "maker", "shop.made"]
    effects = home.json("trace", str(made["seq"]), "--effects")["nodes"]
    assert [(node["level"], node["label"]) for node in effects] == [
        (0, "shop.made"),
        (1, "user"),
        (2, "shop.fetched"),
        (3, "shop.used"),
    ]

    envelope = home.json("events", "show", str(made["seq"]))["envelope"]
    assert envelope["specversion"] == "1.0" and envelope["type"] == "shop.made"
    assert envelope["qdrun"] == made["run"] and envelope["qdcause"] == "https://shop.example/7"
    first = home.json("events", "show", str(asked[2]["seq"]))["envelope"]
    assert first["traceparent"].split("-")[1] == envelope["traceparent"].split("-")[1]
    assert first["id"] == "7" and first["source"] == "https://shop.example"

    why = home.run("triggers", "explain", str(asked[0]["seq"])).stdout
    assert "what became of it:" in why and "if it came now:" in why


def test_rules_are_listed_with_what_they_did(home: Installation) -> None:
    rules = {rule["name"]: rule for rule in home.json("triggers", "ls")}
    assert rules["maker:shop.asked"]["within_s"] == 3600.0
    weekly = rules["maker:cron 0 3 * * 1 Europe/Berlin"]
    assert time.gmtime(weekly["next_at"]).tm_wday in (0,) and weekly["missed"] == "skip"
    assert rules["fleet-hotfix:qd.artifact.revoked"]["must"] is True
    assert home.run("triggers", "ls").returncode == 0
    near = home.run("triggers", "explain", "shop.askt").stdout
    assert "near: shop.asked" in near


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("events", "emit", "no dots and spaces"), "event"),
        (("events", "emit", "x.y", "--as", "eve"), "may not tell an event"),
        (("trace", "nothing-of-the-kind"), "nothing-of-the-kind"),
        (("triggers", "explain", "999999999"), "no event 999999999"),
        (("events", "show", "abc"), "abc"),
        (("runs", "start", "user", "--input", "thing=x", "--as", "ana"), "started by hand by data-lead"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(home: Installation, words: tuple[str, ...], said: str) -> None:
    done = home.run(*words)
    assert done.returncode == 1, done.stdout
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"source": "/quarterdeck/runs/run-1"}, "the engine's own"),
        ({"id": ""}, "id:"),
        ({"type": "a b"}, "type:"),
        ({"Data-Ref": "x"}, "attribute names"),
        ({"data_base64": "AAAA"}, "data_base64"),
        ({"subject": "a\nb"}, "subject:"),
    ],
)
def test_what_is_no_cloudevent_is_refused(
    home: Installation, change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "event.json"
    file.write_text(json.dumps({"specversion": "1.0", "id": "1", "source": "s", "type": "a.b", "data": {}, **change}))
    done = home.run("events", "emit", "--cloudevent", str(file))
    assert done.returncode == 1
    assert said in done.stderr


def test_told_events_are_followed_as_cloudevents(home: Installation) -> None:
    words = [sys.executable, "-m", "app", "events", "follow", "--cloudevents"]
    environment = {**os.environ, **home.environment, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        for number in range(200):
            home.json("events", "emit", "qd.test.hello", "--subject", f"r{number}")
            import select

            if select.select([process.stdout], [], [], 0.2)[0]:
                break
        line = json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
    assert line["type"] == "dev.quarterdeck.qd.test.hello.v1" and line["subject"].startswith("r")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_an_operator_starts_a_workflow_with_a_form_and_walks_its_thread(home: Installation) -> None:
    terminal = Terminal([sys.executable, "-m", "app"], environment=home.environment)
    try:
        terminal.wait("live", 30)
        terminal.type(":workflows maker")
        terminal.press("Enter")
        terminal.wait("shop.asked")
        time.sleep(2)  # the filter's row is chosen a moment after the list is narrowed
        terminal.press("+")
        terminal.wait("Start Maker", 40)
        terminal.type("bowl")
        terminal.press("C-s")
        terminal.wait(r"run-\d+ . completed", 30)
        terminal.press("h")
        screen = terminal.wait(r"took it: run-\d+ user|run-\d+ user", 30)
        assert "shop.made" in screen and "bowl" in screen
        terminal.press("Right", "e")
        terminal.wait("What became of it")
        terminal.press("Escape", "Escape", "Escape", "F4")
        terminal.wait(r"\d+ events?, \d+ runs? opened")
        terminal.press("o")
        terminal.wait("STARTS")
    finally:
        terminal.close()
