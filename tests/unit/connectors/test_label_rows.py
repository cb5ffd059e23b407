"""What is asked of people in Label Studio, what their answers mean, and what its and MLflow's webhooks say."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any
from xml.etree import ElementTree

import pytest

from connectors import labelstudio, mlflow
from connectors.labelstudio_rows import Annotation, Task, configuration, label
from engine.capabilities.ports import ActionError
from engine.capabilities.systems.ports import BadDelivery, BadSignature

NOW = 1_795_398_857.0


def test_a_schema_becomes_a_configuration_that_holds_hostile_words() -> None:
    hostile = '"/><Video value="$x'
    text = configuration("video", 10.0, {"outcome": ("ok", hostile)}, {"phase": ("a & b",)}, ["score"])
    root = ElementTree.fromstring(text)
    assert [one.tag for one in root] == ["Video", "Header", "Choices", "Header", "TimelineLabels", "Header", "Number"]
    assert [one.get("value") for one in root.iter("Choice")] == ["ok", hostile] and root[0].get("framerate") == "10"
    assert "Labels" in configuration("audio", 10.0, {}, {"phase": ("a",)}, [])
    for bad in (("video", {}, {}), ("text", {}, {"phase": ("a",)}), ("video", {"a": ("x",)}, {"a": ("x",)})):
        with pytest.raises(ActionError) as refused:
            configuration(bad[0], 10.0, bad[1], bad[2], [])  # type: ignore[arg-type]
        assert refused.value.error == "BadSchema"


def test_answers_of_every_kind_become_seconds_and_nonsense_is_left_out() -> None:
    task = Task(id=1, data={"quarterdeck_job": "L-1\x1b[2J"})
    result: list[dict[str, Any]] = [
        {"from_name": "outcome", "value": {"choices": ["success"]}},
        {"from_name": "score", "value": {"number": 2.5}},
        {"from_name": "phase", "value": {"timelinelabels": ["a"], "ranges": [{"start": 11, "end": 30}, {"start": "x"}, 7]}},
        {"from_name": "noise", "value": {"labels": ["hum"], "start": 0.5, "end": 1.25}},
        {"from_name": "odd", "value": {"labels": ["hum"], "start": True, "end": 1}},
        {"from_name": "odd", "value": "text"}, {"value": None}, {"from_name": "empty", "value": {"choices": []}},
    ]  # fmt: skip
    found = label(task, Annotation(id=7, result=result, updated_at="2026-11-23T17:07:49Z", lead_time=None), "ann", 10.0)
    assert found.choices == {"outcome": "success", "score": "2.5"} and "\x1b" not in found.job
    assert [(one.name, one.value, one.t0, one.t1) for one in found.spans] == [
        ("noise", "hum", 0.5, 1.25), ("phase", "a", 1.0, 3.0)
    ]  # fmt: skip
    assert found.at == 1_795_453_669.0 and found.lead_s == 0.0


def _signed(body: bytes, secret: str, at: int, delivery: str = "d-1") -> dict[str, str]:
    mac = hmac.new(secret.encode(), f"{delivery}.{at}.".encode() + body, hashlib.sha256).digest()
    return {
        "x-mlflow-delivery-id": delivery, "x-mlflow-timestamp": str(at),
        "x-mlflow-signature": f"v1,{base64.b64encode(mac).decode()}",
    }  # fmt: skip


def test_a_webhook_of_mlflow_is_proven_within_its_window_and_read() -> None:
    body = json.dumps(
        {"entity": "model_version_alias", "action": "created", "timestamp": "2026-11-23T01:54:17.170811+00:00",
         "data": {"name": "pick", "alias": "candidate", "version": "4"}}
    ).encode()  # fmt: skip
    (told,) = mlflow.connector.receive(_signed(body, "s", int(NOW)), body, "s", NOW)
    assert (told.event, told.subject, told.id) == ("qd.registry.model_version_alias.created", "pick@candidate", "d-1")
    assert told.data == {"model": "pick", "version": "4", "alias": "candidate"} and told.at == 1_795_398_857.170811
    for at, secret in ((int(NOW) - 301, "s"), (int(NOW) + 301, "s"), (int(NOW), "t")):
        with pytest.raises(BadSignature):
            mlflow.connector.receive(_signed(body, secret, at), body, "s", NOW)
    with pytest.raises(BadSignature):
        mlflow.connector.receive(_signed(body, "", int(NOW)), body, "", NOW)
    for bad in (
        b"[",
        b"{}",
        b'{"entity":"prompt","action":"created"}',
        b'{"entity":"model_version","action":"created"}',
    ):
        with pytest.raises(BadDelivery):
            mlflow.connector.receive(_signed(bad, "s", int(NOW)), bad, "s", NOW)


def test_a_webhook_of_label_studio_tells_of_each_annotation_and_a_repeat_is_the_same() -> None:
    task = {"id": 3, "data": {"quarterdeck_job": "L-7"}}
    one = {"id": 9, "task": 3, "updated_at": "2026-11-23T17:07:49Z", "was_cancelled": False}
    body = json.dumps({"action": "ANNOTATION_CREATED", "project": {"id": 1}, "task": task, "annotation": one}).encode()
    headers = {"x-quarterdeck-secret": "s"}
    (told,) = labelstudio.connector.receive(headers, body, "s", NOW)
    (again,) = labelstudio.connector.receive(headers, body, "s", NOW + 900)
    assert told == again and (told.event, told.subject) == ("qd.labelling.annotation.created", "L-7")
    later = json.dumps(
        {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "task": task, "annotation": one | {"updated_at": "2026-11-23T18:00:00Z"}}
    ).encode()  # fmt: skip
    assert labelstudio.connector.receive(headers, later, "s", NOW)[0].id != told.id
    several = json.dumps(
        {"action": "ANNOTATIONS_CREATED", "project": {"id": 1}, "task": [task], "annotation": [one, one | {"id": 10}]}
    ).encode()
    assert [each.data["annotation"] for each in labelstudio.connector.receive(headers, several, "s", NOW)] == [
        "9",
        "10",
    ]
    for given, secret in (({}, "s"), ({"x-quarterdeck-secret": "t"}, "s"), ({"x-quarterdeck-secret": ""}, "")):
        with pytest.raises(BadSignature):
            labelstudio.connector.receive(given, body, secret, NOW)
