"""What models need of the world, on this machine: a bench of programs and a signer with the installation's keyring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.capabilities.models.runner import Programs
from engine.capabilities.models.signing import KeyringSigner
from engine.capabilities.models.smoking import Lab

if TYPE_CHECKING:
    from engine.capabilities.subjects import Home


def embedded(home: Home) -> dict[str, Any]:
    return {
        "evaluation": Programs(home.state / "bench"),
        "signing": KeyringSigner(home.secrets),
        "lab": Lab(home.state / "lab"),
    }
