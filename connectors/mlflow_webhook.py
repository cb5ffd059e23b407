"""MLflow's webhooks: HMAC-SHA256 over `DELIVERY_ID.TIMESTAMP.BODY`, in base64 after `v1,` (as Standard Webhooks has it).

An event is `qd.registry.<entity>.<action>` with model, version and alias as MLflow named them; its id is the delivery's, so
that a repeat is the same event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct, field

from connectors.remote_text import clean
from engine.capabilities.hooks import proofs
from engine.capabilities.systems.ports import BadDelivery, BadSignature, Incoming

ENTITIES = ("registered_model", "model_version", "model_version_tag", "model_version_alias")
ACTIONS = ("created", "updated", "deleted", "set")
MOST_TEXT = 300


class _Delivery(Struct):
    entity: str
    action: str
    timestamp: str = ""
    data: dict[str, Any] = field(default_factory=dict)


def received(headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
    """Raises BadSignature, BadDelivery."""
    if not secret:
        raise BadSignature("no secret is known for it")
    proofs.mlflow(headers, body, secret, now)
    try:
        said = msgspec.json.decode(body, type=_Delivery)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadDelivery(f"not a webhook of MLflow: {clean(error, 200)}") from error
    entity, action = said.entity.lower(), said.action.lower()
    if entity not in ENTITIES or action not in ACTIONS:
        raise BadDelivery(f"{clean(said.entity, 40)} {clean(said.action, 40)} is not followed here")
    name = clean(said.data.get("name", ""), 200)
    if not name:
        raise BadDelivery("it names no model")
    version, alias = clean(said.data.get("version", ""), 20), clean(said.data.get("alias", ""), 120)
    data: dict[str, Any] = {"model": name, "version": version, "alias": alias}
    for word in ("key", "value", "source", "run_id", "description"):
        if isinstance(said.data.get(word), str):
            data[word] = clean(said.data[word], MOST_TEXT)
    if isinstance(tags := said.data.get("tags"), dict):
        data["tags"] = {clean(k, 120): clean(v, MOST_TEXT) for k, v in list(tags.items())[:100]}
    subject = f"{name}@{alias}" if alias else f"{name}/{version}" if version else name
    return [
        Incoming(
            event=f"qd.registry.{entity}.{action}", id=clean(headers.get("x-mlflow-delivery-id", ""), 80), subject=subject, at=_time(said.timestamp), data=data
        )
    ]  # fmt: skip


def _time(text: str) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
