"""The history of a home, verified without its engine: the one that can't start because of it is when this is asked most."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from app.attach import engine_environment
from app.home import Home
from engine.contract.system import VerifyReport

LIMIT_S = 600.0


def verify(home: Home, timeout: float = LIMIT_S) -> VerifyReport:
    """Re-computes the whole chain in a process of its own, which only reads. Safe beside a running engine."""
    command = [sys.executable, "-m", "engine", *home.engine_arguments(), "--verify"]
    try:
        done = subprocess.run(
            command,
            env=engine_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return msgspec.json.decode(done.stdout, type=VerifyReport)
    except subprocess.TimeoutExpired:
        problem = f"the verification did not end within {timeout:.0f} s"
    except (OSError, msgspec.DecodeError) as error:
        problem = f"the verification failed: {error}"
    return VerifyReport(ok=False, events=0, head="", seconds=0.0, problem=problem)
