"""`python -m connectors.sandbox.golden_robot --job JOB.json`: lab robots with two slots, real files and a real way back.

A robot is a folder: `slots/a` and `slots/b`, a file that names the active one, and a floor below which its boot loader
refuses versions. It believes nobody: digest, signature and target are checked on the robot before a byte is unpacked.
Answers are JSON Lines: {"event": "step", robot, step, ok, says, ...}. A job lists its steps, done in order until one fails.

    {bench, robot, variant, public_key, steps: [{"do": "provision|install|boot|trial|rollback|report", ...}]}
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shutil
import sys
import tarfile
from pathlib import Path
from typing import Any

from connectors.sandbox.policy_model import SIMULATOR, BadCheckpoint, decode, trial
from connectors.sandbox.policy_train import say

MAX_UNPACKED_B = 1 << 30
MAX_MEMBERS = 10_000


class Refused(Exception):
    """The robot does not do that; the text says why."""


def pae(kind: str, payload: bytes) -> bytes:
    """The bytes a DSSE signature is over (secure-systems-lab/dsse, protocol.md)."""
    name = kind.encode()
    return b"DSSEv1 %d %s %d %s" % (len(name), name, len(payload), payload)


class Robot:
    """One lab robot in its folder."""

    def __init__(self, bench: Path, name: str, variant: str) -> None:
        if not name or "/" in name or name.startswith("."):
            raise Refused(f"{name!r} is no robot's name")
        self.home, self.name, self.variant = bench / name, name, variant

    @property
    def active(self) -> str:
        return (self.home / "active").read_text("utf-8").strip()

    @property
    def other(self) -> str:
        return "b" if self.active == "a" else "a"

    def slot(self, which: str) -> Path:
        return self.home / "slots" / which

    def switch(self, which: str) -> None:
        fresh = self.home / ".active"
        fresh.write_text(which, "utf-8")
        os.replace(fresh, self.home / "active")

    @property
    def floor(self) -> int:
        found = self.home / "floor"
        return int(found.read_text("utf-8")) if found.exists() else 0

    def provision(self, step: dict[str, Any], key: str) -> dict[str, Any]:
        """As it left the factory: what it runs before is in slot a. Done once."""
        if not (self.home / "active").exists():
            for which in "ab":
                self.slot(which).mkdir(parents=True, exist_ok=True)
            about = {
                "version": step.get("version") or "factory",
                "anti_rollback_index": 0,
                "targets": [self.variant],
                "entry": "",
            }
            (self.slot("a") / "manifest.json").write_text(json.dumps(about), "utf-8")
            self.switch("a")
        return self.report(step, key)

    def report(self, step: dict[str, Any], key: str) -> dict[str, Any]:
        manifest = json.loads((self.slot(self.active) / "manifest.json").read_text("utf-8"))
        return {
            "version": manifest["version"],
            "slot": self.active,
            "says": f"runs {manifest['version']} from slot {self.active}",
        }

    def install(self, step: dict[str, Any], key: str) -> dict[str, Any]:
        path, digest = Path(step["artifact"]), str(step["digest"])
        if "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            raise Refused("the file is not what its digest says")
        _verify(step["signature"], key, digest)
        if step.get("fault") == "install":
            raise Refused("flash write failed at block 118")
        slot = self.slot(self.other)
        shutil.rmtree(slot, ignore_errors=True)
        slot.mkdir(parents=True)
        _unpack(path, slot)
        manifest = json.loads((slot / "manifest.json").read_text("utf-8"))
        if self.variant not in manifest["targets"]:
            raise Refused(f"made for {', '.join(manifest['targets'])}; this is a {self.variant}")
        if int(manifest["anti_rollback_index"]) < self.floor:
            raise Refused(
                f"the boot loader wants index {self.floor} or more, this has {manifest['anti_rollback_index']}"
            )
        return {
            "version": manifest["version"],
            "slot": self.other,
            "says": f"unpacked into slot {self.other}, signature good",
        }

    def boot(self, step: dict[str, Any], key: str) -> dict[str, Any]:
        """Into the other slot; a self-test that fails boots back at once, as A/B loaders do."""
        before, after = self.active, self.other
        self.switch(after)
        try:
            manifest = json.loads((self.slot(after) / "manifest.json").read_text("utf-8"))
            if step.get("fault") == "boot":
                raise Refused("watchdog: no sign of life 30 s after boot")
            if manifest["entry"]:
                policy = decode((self.slot(after) / manifest["entry"]).read_bytes())
                for i in range(10):
                    policy.act("", [0.1 * i, 0.0, 0.0, 0.0, 0.0])
        except (Refused, BadCheckpoint, OSError, KeyError, ValueError) as error:
            self.switch(before)
            raise Refused(f"self-test failed, booted back into slot {before}: {error}") from error
        return {
            "version": manifest["version"],
            "slot": after,
            "says": f"booted slot {after}, self-test of 10 periods passed",
        }

    def trial(self, step: dict[str, Any], key: str) -> dict[str, Any]:
        """The smoke cases on what is installed, not on the file it came from."""
        manifest = json.loads((self.slot(self.active) / "manifest.json").read_text("utf-8"))
        policy = decode((self.slot(self.active) / manifest["entry"]).read_bytes())
        outcomes = []
        for case in step["cases"]:
            found = trial(case["task"], int(case["seed"]), policy.act, case.get("init"))
            outcomes.append(
                {
                    "task": case["task"], "seed": case["seed"], "outcome": "success" if found.success else "failure",
                    "rubric": found.rubric, "causal": sum(1 for one in found.safety_events if one["causal"]),
                }
            )  # fmt: skip
        passed = sum(1 for one in outcomes if one["outcome"] == "success")
        return {"outcomes": outcomes, "simulator": SIMULATOR, "says": f"{passed} of {len(outcomes)} smoke cases"}

    def rollback(self, step: dict[str, Any], key: str) -> dict[str, Any]:
        """Back into the slot that ran before, and a report from there."""
        target = self.slot(self.other) / "manifest.json"
        if not target.exists():
            raise Refused("the other slot is empty: there is no way back")
        manifest = json.loads(target.read_text("utf-8"))
        if int(manifest["anti_rollback_index"]) < self.floor:
            raise Refused(f"the boot loader refuses index {manifest['anti_rollback_index']}: its floor is {self.floor}")
        if step.get("fault") == "rollback":
            raise Refused("the old slot does not boot: root hash differs")
        self.switch(self.other)
        told = self.report(step, key)
        wanted = step.get("version")
        if wanted and told["version"] != wanted:
            raise Refused(f"went back to {told['version']}, expected {wanted}")
        return told | {"says": f"back on {told['version']} in slot {told['slot']}"}


def _verify(envelope: dict[str, Any], key: str, digest: str) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    payload = base64.b64decode(envelope["payload"])
    try:
        public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key))
        public.verify(base64.b64decode(envelope["signatures"][0]["sig"]), pae(envelope["payloadType"], payload))
    except (InvalidSignature, ValueError, KeyError, IndexError) as error:
        raise Refused("the signature is not by the key this robot trusts") from error
    subjects = [f"sha256:{one['digest']['sha256']}" for one in json.loads(payload)["subject"]]
    if digest not in subjects:
        raise Refused("the signature is over something else")


def _unpack(path: Path, slot: Path) -> None:
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        if len(members) > MAX_MEMBERS or sum(one.size for one in members) > MAX_UNPACKED_B:
            raise Refused("too much to unpack")
        archive.extractall(slot, filter="data")  # refuses links and names that lead out of the slot


def main() -> int:
    parser = argparse.ArgumentParser(prog="golden_robot", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--job", required=True, type=Path)
    try:
        job = json.loads(parser.parse_args().job.read_text("utf-8"))
        robot = Robot(Path(job["bench"]), job["robot"], job["variant"])
        kinds = {"provision", "install", "boot", "trial", "rollback", "report"}
        for step in job["steps"]:
            if step["do"] not in kinds:
                raise ValueError(f"a robot does not know {step['do']!r}")
            try:
                done = getattr(robot, step["do"])(step, job.get("public_key", ""))
            except Refused as error:
                say("step", robot=robot.name, step=step["do"], ok=False, says=str(error))
                return 1
            say("step", robot=robot.name, step=step["do"], ok=True, **done)
    except Refused as error:
        say("error", error="BadJob", message=str(error))
        return 2
    except (OSError, ValueError, KeyError, TypeError, tarfile.TarError) as error:
        say("error", error="BadJob", message=f"{error.__class__.__name__}: {error}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
