"""LeRobot v3 data sets as the recorder leaves them: many episodes in one table and one film per camera
(huggingface/lerobot, codebase v3.0: meta/info.json, meta/tasks.parquet, meta/episodes, data, videos).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectors.sandbox.pictures import jpeg, mp4, scene
from connectors.sandbox.policy_model import demonstration

if TYPE_CHECKING:
    from connectors.sandbox.recordings import Plan

FPS = 10
CAMERA = "observation.images.front"
FILE = "chunk-000/file-000"
FAULTS = ("video_short", "nan", "wrong_total", "time_repeats", "old_version", "lost_file")


def write(folder: Path, plan: Plan, *, episodes: int, fault: str = "", frames: int = 0) -> Path:
    """A data set of one robot and task. `fault` breaks its second episode, or the whole. `frames` 0: one demonstration each,
    made at least four seconds long."""
    import pyarrow as pa
    from pyarrow import parquet

    rows: dict[str, list[Any]] = {
        name: []
        for name in ("observation.state", "action", "timestamp", "frame_index", "episode_index", "index", "task_index", "intervention")
    }  # fmt: skip
    told: list[dict[str, Any]] = []
    pictures: list[bytes] = []
    for episode in range(episodes):
        steps: list[dict[str, Any]] = []
        while len(steps) < (frames or 40):
            steps += demonstration(plan.task, plan.seed * 100 + 7000 + episode * 10 + len(steps) % 10, plan.skill)
        steps = steps[: frames or len(steps)]
        first = len(rows["index"])
        for number, step in enumerate(steps):
            time = number / FPS
            action = list(step["action"])
            if fault == "nan" and episode == 1 and number == 5:
                action[0] = float("nan")
            if fault == "time_repeats" and episode == 1 and number == 7:
                time = (number - 1) / FPS
            rows["observation.state"].append(step["observation"])
            rows["action"].append(action)
            rows["timestamp"].append(time)
            rows["frame_index"].append(number)
            rows["episode_index"].append(episode)
            rows["index"].append(first + number)
            rows["task_index"].append(0)
            rows["intervention"].append(step["phase"] == "intervention")
            if not (fault == "video_short" and episode == episodes - 1 and number >= len(steps) - 9):
                pictures.append(jpeg(scene(number, episode % 4)))
        told.append(
            {
                "episode_index": episode, "tasks": [plan.task], "length": len(steps),
                "data/chunk_index": 0, "data/file_index": 0, "dataset_from_index": first,
                "dataset_to_index": first + len(steps), f"videos/{CAMERA}/chunk_index": 0, f"videos/{CAMERA}/file_index": 0,
                f"videos/{CAMERA}/from_timestamp": first / FPS, f"videos/{CAMERA}/to_timestamp": (first + len(steps)) / FPS,
                "meta/episodes/chunk_index": 0, "meta/episodes/file_index": 0,
            }
        )  # fmt: skip
    total = len(rows["index"])
    table = pa.table(
        {
            "observation.state": pa.array(rows["observation.state"], pa.list_(pa.float32(), 5)), "action": pa.array(rows["action"], pa.list_(pa.float32(), 2)),
            "timestamp": pa.array(rows["timestamp"], pa.float32()),
            **{name: pa.array(rows[name], pa.int64()) for name in ("frame_index", "episode_index", "index", "task_index")},
            "intervention": pa.array(rows["intervention"], pa.bool_()),
        }
    )  # fmt: skip
    for place in (f"data/{FILE}", f"meta/episodes/{FILE}", f"videos/{CAMERA}/{FILE}"):
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, folder / f"data/{FILE}.parquet", compression="snappy")
    parquet.write_table(pa.Table.from_pylist(told), folder / f"meta/episodes/{FILE}.parquet")
    parquet.write_table(pa.table({"task": [plan.task], "task_index": [0]}), folder / "meta/tasks.parquet")
    (folder / f"videos/{CAMERA}/{FILE}.mp4").write_bytes(mp4(pictures, FPS))
    if fault == "lost_file":
        (folder / f"videos/{CAMERA}/{FILE}.mp4").unlink()
    (folder / "meta/info.json").write_text(json.dumps(_info(plan, episodes, total, fault), indent=4), encoding="utf-8")
    (folder / "meta/stats.json").write_text(json.dumps(_stats(rows)), encoding="utf-8")
    return folder


def _info(plan: Plan, episodes: int, total: int, fault: str) -> dict[str, Any]:
    scalar = {
        name: {"dtype": "int64", "shape": [1], "names": None}
        for name in ("frame_index", "episode_index", "index", "task_index")
    }
    return {
        "codebase_version": "v2.1" if fault == "old_version" else "v3.0",
        "robot_type": plan.variant, "robot": plan.robot, "serial": plan.serial, "site": plan.site, "region": plan.region,
        "total_episodes": episodes, "total_frames": total + (3 if fault == "wrong_total" else 0), "total_tasks": 1,
        "chunks_size": 1000, "data_files_size_in_mb": 100, "video_files_size_in_mb": 200, "fps": FPS,
        "splits": {"train": f"0:{episodes}"},
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
        "features": {
            "observation.state": {"dtype": "float32", "shape": [5], "names": ["dx", "dy", "vx", "vy", "jammed"]},
            "action": {"dtype": "float32", "shape": [2], "names": ["ax", "ay"]},
            CAMERA: {
                "dtype": "video", "shape": [48, 64, 3], "names": ["height", "width", "channels"],
                "info": {"video.fps": FPS, "video.codec": "mjpeg", "video.height": 48, "video.width": 64, "has_audio": False},
            },
            "timestamp": {"dtype": "float32", "shape": [1], "names": None}, **scalar,
            "intervention": {"dtype": "bool", "shape": [1], "names": None},
        },
    }  # fmt: skip


def _stats(rows: dict[str, list[Any]]) -> dict[str, Any]:
    found = {}
    for name in ("observation.state", "action"):
        columns = list(zip(*rows[name], strict=True))
        found[name] = {
            "min": [min(column) for column in columns], "max": [max(column) for column in columns],
            "mean": [sum(column) / len(column) for column in columns], "count": [len(rows[name])],
        }  # fmt: skip
    return found
