"""The sandbox's training program: it learns, it is the same everywhere, it goes on where it was stopped, it believes no file."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from connectors.sandbox.policy_model import BadCheckpoint, decode, demonstration, digest_of, encode, expert, trial
from tests.unit.models.conftest import NAMES, trained


def data(folder: Path, *, episodes: int = 6, tasks: tuple[str, ...] = NAMES[:2]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        json.dumps(
            {
                "episode": f"{task}-{n}",
                "split": "val" if n == 0 else "train",
                "task": task,
                "steps": demonstration(task, n),
            }
        )
        for task in tasks
        for n in range(episodes)
    ]
    (folder / "episodes.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


def argv(folder: Path, out: str, *more: str, **recipe: Any) -> list[str]:
    (folder / f"{out}.json").write_text(json.dumps(recipe), "utf-8")
    return [
        sys.executable, "-m", "connectors.sandbox.policy_train", "--data", str(folder), "--recipe", str(folder / f"{out}.json"),
        "--out", str(folder / out), "--seed", "5", *more,
    ]  # fmt: skip


def run(folder: Path, out: str, *more: str, **recipe: Any) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(argv(folder, out, *more, **recipe), capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_what_it_was_shown_decides_what_it_can_do(models: dict[str, bytes]) -> None:
    rates = {
        name: sum(trial("jam-recovery", seed, decode(models[name]).act).success for seed in range(60))
        for name in ("today", "better")
    }
    assert rates["today"] == 0 and rates["better"] >= 45
    assert sum(trial("tote-stack", seed, expert).success for seed in range(60)) >= 52
    careless = sum(trial("tote-stack", seed, decode(models["careless"]).act).success for seed in range(60))
    assert careless <= 15


def test_it_says_how_far_it_is_and_ends_with_a_checkpoint(tmp_path: Path) -> None:
    status, said = run(data(tmp_path), "out", epochs=4, checkpoint_every=2)
    assert status == 0 and [one["event"] for one in said] == [
        "started", "progress", "progress", "checkpoint", "progress", "progress", "checkpoint", "completed",
    ]  # fmt: skip
    assert said[1]["done"] == 1 and said[1]["of"] == 4 and said[-2]["epoch"] == 4
    kept = Path(said[-1]["checkpoint"]["path"]).read_bytes()
    assert digest_of(kept) == said[-1]["checkpoint"]["digest"]
    assert decode(kept).header["recipe_digest"] == said[-1]["recipe_digest"]


def test_preempted_and_resumed_it_ends_at_the_same_bytes(tmp_path: Path) -> None:
    folder = data(tmp_path)
    whole = run(folder, "whole", epochs=12)[1][-1]["checkpoint"]["digest"]
    process = subprocess.Popen(argv(folder, "cut", epochs=12, pace_s=0.15), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["event"] == "progress":
            process.send_signal(signal.SIGTERM)
            break
    last = [json.loads(line) for line in process.stdout][-1]
    assert process.wait(30) == 75 and last["event"] == "preempted" and 0 < last["checkpoint"]["epoch"] < 12
    status, said = run(folder, "cut", "--resume", epochs=12)
    assert status == 0 and said[0]["epoch"] == last["checkpoint"]["epoch"]
    assert said[-1]["checkpoint"]["digest"] == whole


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "NoEpisodes"),
        ("not json", "BadData"),
        (json.dumps({"episode": "e", "split": "train", "task": "x", "file": "../../etc/none.mcap"}), "BadData"),
        (
            json.dumps(
                {"episode": "e", "split": "train", "task": "x", "steps": [{"observation": [1], "action": [1, 2]}]}
            ),
            "BadData",
        ),
        (json.dumps({"episode": "e", "split": "test", "task": "x", "steps": [{}]}), "NoEpisodes"),
    ],
)
def test_data_that_is_none_is_refused_by_name(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "episodes.jsonl").write_text(text, "utf-8")
    status, said = run(tmp_path, "out", epochs=1)
    assert status == 3 and said[-1]["error"] == error


@pytest.mark.parametrize("recipe", [{"epochz": 3}, {"epochs": 0}, {"epochs": True}, {"learning_rate": 0}])
def test_a_recipe_it_does_not_know_is_refused(tmp_path: Path, recipe: dict[str, Any]) -> None:
    status, said = run(data(tmp_path), "out", **recipe)
    assert status == 2 and said[-1]["error"] == "BadRecipe"


def test_recordings_are_known_by_their_bytes_and_the_rest_of_their_topics_ignored(tmp_path: Path) -> None:
    from mcap.writer import Writer

    with (tmp_path / "no-suffix").open("wb") as stream:
        writer = Writer(stream)
        writer.start()
        schema = writer.register_schema(name="step", encoding="jsonschema", data=b"{}")
        topics = [
            writer.register_channel(topic=t, message_encoding="json", schema_id=schema)
            for t in ("/policy/step", "/other")
        ]
        for at, step in enumerate(demonstration("tote-stack", 1)):
            for topic in topics:
                body = step if topic == topics[0] else {"noise": 1}
                writer.add_message(topic, log_time=at * 100_000_000, publish_time=0, data=json.dumps(body).encode())
        writer.finish()
    line = {"episode": "e", "split": "train", "task": "tote-stack", "file": "no-suffix", "start_s": 0.5, "end_s": 1.4}
    (tmp_path / "episodes.jsonl").write_text(json.dumps(line), "utf-8")
    status, said = run(tmp_path, "out", epochs=1)
    assert status == 0 and said[0]["frames"] == 10


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"PK\x03\x04",
        b"QDPM1\n",
        b"QDPM1\n{}\n",
        encode(decode(trained(NAMES[:1])))[:-3],
        trained(NAMES[:1]) + b"x",
    ],
)
def test_a_file_that_is_no_whole_checkpoint_is_refused(broken: bytes) -> None:
    with pytest.raises(BadCheckpoint):
        decode(broken)


def test_equal_training_gives_equal_bytes_and_precision_other_bytes(models: dict[str, bytes]) -> None:
    assert trained() == models["better"]
    small = encode(decode(models["better"]), "f16")
    assert len(small) < len(models["better"]) and decode(small).header["precision"] == "f16"
