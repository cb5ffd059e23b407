"""`python -m connectors.sandbox.policy_train`: trains the small policy on a snapshot's episodes.

Behaviour cloning by stochastic gradient descent. It writes JSON Lines on standard output (progress, checkpoints, the
end), plain log lines on standard error, and a checkpoint every few epochs. SIGTERM is preemption: the state is saved, said
and the exit status is 75; `--resume` goes on from the newest checkpoint and ends at the same bytes as an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from connectors.sandbox.policy_model import (
    FEATURES,
    BadCheckpoint,
    Numbers,
    Policy,
    decode,
    digest_of,
    encode,
    features,
)

TOPIC = "/policy/step"
RECIPE: dict[str, Any] = {
    "line": "pick", "epochs": 24, "learning_rate": 0.05, "l2": 0.0001, "checkpoint_every": 3, "pace_s": 0.0,
    "freeze": [],
}  # fmt: skip
"""`freeze` names blocks of weights (`all`, `jammed`, a task) that stay as the base has them."""
PREEMPTED = 75
MAX_EPISODE_FRAMES = 100_000

Frame = tuple[str, list[tuple[int, float]], tuple[float, float], float]


class Refused(Exception):
    """Data or recipe that can't be used: `error` is its name, `status` the exit status."""

    def __init__(self, error: str, message: str, status: int = 3) -> None:
        super().__init__(message)
        self.error, self.status = error, status


def say(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def recipe_of(path: Path | None) -> dict[str, Any]:
    """The recipe with its defaults. Raises Refused for keys and values it does not know."""
    try:
        given = {} if path is None else json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise Refused("BadRecipe", f"the recipe can't be read: {error}", 2) from error
    if not isinstance(given, dict) or (unknown := sorted(set(given) - set(RECIPE))):
        raise Refused(
            "BadRecipe",
            f"the recipe knows {', '.join(RECIPE)}; not {unknown if isinstance(given, dict) else given!r}",
            2,
        )
    recipe = RECIPE | given
    numbers = ("epochs", "learning_rate", "l2", "checkpoint_every", "pace_s")
    if any(isinstance(recipe[n], bool) or not isinstance(recipe[n], int | float) or recipe[n] < 0 for n in numbers):
        raise Refused("BadRecipe", f"{', '.join(numbers)} are numbers that are not negative", 2)
    blocks = {name.rsplit(" ", 1)[0] for name in FEATURES}
    if not isinstance(recipe["freeze"], list) or not set(recipe["freeze"]) <= blocks:
        raise Refused("BadRecipe", f"freeze is a list of {', '.join(sorted(blocks))}", 2)
    if not 1 <= recipe["epochs"] <= 10_000 or not 0 < recipe["learning_rate"] <= 1:
        raise Refused("BadRecipe", "epochs is 1..10000 and learning_rate over 0 and at most 1", 2)
    return recipe


def recipe_digest(recipe: dict[str, Any]) -> str:
    """Names what is learnt how; how fast it is shown (`pace_s`) is no part of it."""
    named = {key: value for key, value in recipe.items() if key != "pace_s"}
    return digest_of(json.dumps(named, sort_keys=True, separators=(",", ":")).encode())


def load(folder: Path) -> tuple[list[Frame], list[Frame], int]:
    """Frames to learn from, frames to look at, and the number of episodes. Raises Refused."""
    train: list[Frame] = []
    val: list[Frame] = []
    episodes = 0
    try:
        lines = (folder / "episodes.jsonl").read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Refused("BadData", f"{folder}/episodes.jsonl can't be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            episode = json.loads(line)
            split = episode["split"]
            if split not in ("train", "val"):
                continue  # what is kept for testing is never opened here
            frames = list(_frames(folder, episode))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise Refused("BadData", f"episodes.jsonl, line {number}: {error.__class__.__name__}: {error}") from error
        (train if split == "train" else val).extend(frames)
        episodes += split == "train"
    if not train:
        raise Refused("NoEpisodes", "no episode of the split `train` holds a step to learn from")
    return train, val, episodes


def _frames(folder: Path, episode: dict[str, Any]) -> Iterator[Frame]:
    task, weight = str(episode["task"]), float(episode.get("weight", 1.0))
    steps = episode["steps"] if "steps" in episode else steps_of(folder / str(episode["file"]), episode)
    for count, step in enumerate(steps):
        if count >= MAX_EPISODE_FRAMES:
            raise ValueError(f"an episode of more than {MAX_EPISODE_FRAMES} steps")
        seen, act = step["observation"], step["action"]
        if len(seen) != 5 or len(act) != 2:
            raise ValueError(f"a step has {len(seen)} observations and {len(act)} actions; expected 5 and 2")
        name = str(step.get("task", task))
        yield name, features(name, seen), (float(act[0]), float(act[1])), weight


def steps_of(path: Path, episode: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The steps of a recording, told by its first bytes what it is kept in: names say nothing."""
    with path.open("rb") as opened:
        head = opened.read(8)
    if head.startswith(b"\x89MCAP0"):
        from mcap.reader import make_reader

        start, end = episode.get("start_s"), episode.get("end_s")
        with path.open("rb") as stream:
            first: int | None = None
            for _, _, message in make_reader(stream).iter_messages(topics=[TOPIC]):
                first = message.log_time if first is None else first
                at = (message.log_time - first) / 1e9
                if (start is None or at >= start) and (end is None or at <= end):
                    yield json.loads(message.data)
    elif head.startswith(b"PAR1"):
        from pyarrow import parquet  # type: ignore[import-untyped, unused-ignore]

        table = parquet.read_table(path)
        wanted = episode.get("episode_index")
        columns = {name: table.column(name).to_pylist() for name in table.column_names}
        for row in range(table.num_rows):
            if wanted is None or columns["episode_index"][row] == wanted:
                yield {"observation": columns["observation.state"][row], "action": columns["action"][row]}
    else:
        with path.open(encoding="utf-8") as text:
            for line in text:
                if line.strip():
                    yield json.loads(line)


def loss_of(policy: Policy, frames: list[Frame]) -> float:
    """Mean squared error of the accelerations, (m/s²)²; 0 without frames."""
    total = 0.0
    for _, present, act, _ in frames:
        for row, wanted in zip(policy.weights, act, strict=True):
            total += (sum(row[i] * value for i, value in present) - wanted) ** 2
    return total / (2 * len(frames)) if frames else 0.0


def one_epoch(policy: Policy, frames: list[Frame], recipe: dict[str, Any], seed: int, epoch: int) -> None:
    """One pass in an order of its own; the step shrinks as it goes on."""
    rate = recipe["learning_rate"] / (1.0 + epoch / 2.0)
    decay = 1.0 - rate * recipe["l2"]
    frozen = {i for i, name in enumerate(FEATURES) if name.rsplit(" ", 1)[0] in recipe["freeze"]}
    for at in Numbers("order", seed, epoch).shuffled(len(frames)):
        _, present, act, weight = frames[at]
        for row, wanted in zip(policy.weights, act, strict=True):
            wrong = sum(row[i] * value for i, value in present) - wanted
            step = rate * weight * max(-4.0, min(4.0, wrong))
            for i, value in present:
                if i not in frozen:
                    row[i] = row[i] * decay - step * value


def _base(path: str) -> Policy | None:
    """The checkpoint to begin from: its weights and the tasks it knows, none of its history. Raises Refused."""
    if not path:
        return None
    try:
        found = decode(Path(path).read_bytes())
    except (OSError, BadCheckpoint) as error:
        raise Refused("BadBase", f"the checkpoint to begin from can't be used: {error}", 2) from error
    return Policy(weights=found.weights, header={"tasks": found.header.get("tasks", [])})


def _newest(folder: Path) -> Policy | None:
    for path in sorted(folder.glob("epoch-*.qdp"), reverse=True):
        try:
            return decode(path.read_bytes())
        except BadCheckpoint as error:
            sys.stderr.write(f"{path.name} is left out: {error}\n")
    return None


def _save(folder: Path, name: str, policy: Policy) -> dict[str, Any]:
    """Whole or not at all: a run that dies while it saves leaves the last one."""
    data = encode(policy)
    path, fresh = folder / name, folder / f".{name}.fresh"
    with fresh.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(fresh, path)
    return {"path": str(path), "digest": digest_of(data), "size": len(data), "epoch": policy.header["epoch"]}


def train(options: argparse.Namespace) -> int:
    recipe = recipe_of(options.recipe)
    frames, val, episodes = load(options.data)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    digest = recipe_digest(recipe)
    base = _base(options.base)
    known = set(base.header["tasks"]) if base else set()
    resumed = _newest(folder) if options.resume else None
    policy = resumed or base or Policy()
    if resumed and (policy.header.get("recipe_digest"), policy.header.get("seed")) != (digest, options.seed):
        raise Refused("BadRecipe", "the checkpoint to resume from was made by another recipe or seed", 2)
    policy.header |= {
        "line": recipe["line"], "seed": options.seed, "snapshot": options.snapshot, "recipe_digest": digest,
        "tasks": sorted(known | {name for name, _, _, _ in frames}), "epoch": int(policy.header.get("epoch", 0)),
    }  # fmt: skip
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: stop.append(number))
    epochs = int(recipe["epochs"])
    say("started", episodes=episodes, frames=len(frames), epochs=epochs, epoch=policy.header["epoch"])
    while policy.header["epoch"] < epochs:
        epoch = policy.header["epoch"]
        one_epoch(policy, frames, recipe, options.seed, epoch)
        if not all(abs(value) < 1e6 for row in policy.weights for value in row):
            raise Refused("Diverged", f"the weights ran away in epoch {epoch + 1}: a smaller learning_rate is needed")
        policy.header |= {
            "epoch": epoch + 1, "loss": round(loss_of(policy, frames), 9), "val_loss": round(loss_of(policy, val), 9),
        }  # fmt: skip
        about = {"loss": policy.header["loss"], "val_loss": policy.header["val_loss"]}
        say("progress", done=epoch + 1, of=epochs, unit="epochs", what="training", **about)
        due = (epoch + 1) % max(1, int(recipe["checkpoint_every"])) == 0
        if stop or due:
            saved = _save(folder, f"epoch-{epoch + 1:04d}.qdp", policy)
            say("checkpoint", **saved)
            if stop and epoch + 1 < epochs:
                say("preempted", checkpoint=saved)
                return PREEMPTED
        if recipe["pace_s"]:
            time.sleep(recipe["pace_s"])
    saved = _save(folder, "model.qdp", policy)
    metrics = {
        "loss": policy.header["loss"],
        "val_loss": policy.header["val_loss"],
        "frames": len(frames),
        "episodes": episodes,
    }
    say("completed", checkpoint=saved, metrics=metrics, recipe_digest=digest)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="policy_train", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--data", required=True, type=Path, help="a folder with episodes.jsonl")
    parser.add_argument("--recipe", type=Path, help="JSON; defaults where it says nothing")
    parser.add_argument("--out", required=True, type=Path, help="the folder of the checkpoints")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--base", default="", help="a checkpoint to begin from; empty: from nothing")
    parser.add_argument("--snapshot", default="", help="root digest of what is learnt from; stands in the header")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint")
    try:
        return train(parser.parse_args())
    except Refused as error:
        say("error", error=error.error, message=str(error))
        return error.status


if __name__ == "__main__":
    sys.exit(main())
