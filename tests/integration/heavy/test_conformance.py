"""The public conformance suite (`qd connectors check NAME --write`) against the real servers."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from connectors import labelstudio, s3
from connectors.mlflow import connector as mlflow_connector
from engine.capabilities.systems import conformance
from tests.integration.connectors.ground import WallClock
from tests.services.heavy import LabelStudioServer, MlflowServer, S3Server

pytestmark = pytest.mark.service


async def kept(connector: Any, settings: dict[str, Any], secret: str, given: dict[str, str] | None = None) -> None:
    conformance.connector(connector, settings)
    ports = connector.build(settings, lambda name: secret, WallClock(), {})
    try:
        report = await conformance.check(ports, system="x", now=time.time, write=True, given=given or {})
        conformance.assert_kept(report)
        assert report.kept > 5
    finally:
        for port in {id(one): one for one in ports.values()}.values():
            await port.close()


async def test_mlflow(mlflow: MlflowServer) -> None:
    await kept(mlflow_connector, {"url": mlflow.url}, "")


async def test_label_studio(label_studio: LabelStudioServer) -> None:
    await kept(labelstudio.connector, {"url": label_studio.url, "secret": "x"}, label_studio.token)


async def test_s3(s3_server: S3Server) -> None:
    async with httpx.AsyncClient(trust_env=False) as http:
        (await http.put(f"{s3_server.url}/checks")).raise_for_status()
    settings = {"url": s3_server.url, "secret": "x", "access_key": s3_server.access_key, "mirror": "s3://checks/"}
    await kept(s3.connector, settings, s3_server.secret_key, {"uri": "s3://checks/"})
