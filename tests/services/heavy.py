"""Servers whose installation takes minutes and gigabytes: MLflow, Label Studio, Ray, and an S3 server. The second stage of
`.ci/run` starts them; they are installed once into $QD_SERVICES_HOME and kept there.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import msgspec
import pytest

from tests.services.fixtures import service

_COPIES = itertools.count(1)
INSTALL_S = 900.0


class S3Server(msgspec.Struct, frozen=True):
    """moto's server: everything in memory, signatures are not judged."""

    url: str
    region: str
    access_key: str
    secret_key: str
    reset_url: str


class MlflowServer(msgspec.Struct, frozen=True):
    url: str
    api: str


class LabelStudioServer(msgspec.Struct, frozen=True):
    url: str
    username: str
    password: str
    token: str


class RayServer(msgspec.Struct, frozen=True):
    url: str
    jobs_url: str


def _running(script: str) -> Iterator[dict[str, str]]:
    instance = f"test-heavy{next(_COPIES)}-{os.getpid()}"
    found = service(script, "start", instance=instance, timeout=INSTALL_S)
    try:
        yield found
    finally:
        service(script, "wipe", instance=instance)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    for found in _running("moto.sh"):
        yield msgspec.convert(found, S3Server)


@pytest.fixture(scope="session")
def mlflow() -> Iterator[MlflowServer]:
    for found in _running("mlflow.sh"):
        yield msgspec.convert(found, MlflowServer)


@pytest.fixture(scope="session")
def label_studio() -> Iterator[LabelStudioServer]:
    for found in _running("labelstudio.sh"):
        yield msgspec.convert(found, LabelStudioServer)


@pytest.fixture(scope="session")
def ray() -> Iterator[RayServer]:
    for found in _running("ray.sh"):
        yield msgspec.convert(found, RayServer)
