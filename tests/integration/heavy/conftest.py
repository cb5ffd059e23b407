"""The second stage: tests against servers that are large to install. They run with QD_HEAVY=1, as `.ci/run` does once the
servers are in its cache (`.ci/run --all` puts them there).
"""

from __future__ import annotations

import os

import pytest

from tests.services.heavy import label_studio, mlflow, ray, s3_server

__all__ = ["label_studio", "mlflow", "ray", "s3_server"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("QD_HEAVY"):
        return
    for item in items:
        if "/heavy/" in item.nodeid:
            item.add_marker(pytest.mark.skip(reason="MLflow, Label Studio, Ray and S3 are tested with QD_HEAVY=1"))
