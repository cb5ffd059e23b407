"""Each real server is cut off in the middle of a run: the run waits, says why, and goes on; nothing twice, nothing lost.

The cut comes in the worst moment, after the server has acted and before its answer is passed on. It lasts some seconds
here; `QD_PARTITION_S=60` makes it the full minute.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.connectors.engine_room import serving
from tests.integration.connectors.fault_proxy import FaultProxy
from tests.integration.connectors.partition import Cut, Way, room_of, seen_through, started
from tests.services.fixtures import PrometheusServer, prometheus
from tests.services.roundup import RoundupServer, roundup
from tests.unit.connectors.depot import KEY, Depot

__all__ = ["prometheus", "room_of", "roundup"]
pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("nth", "how"), [(2, "drop"), (3, "refuse")])
async def test_a_tracker_that_is_cut_off(roundup: RoundupServer, room_of: Any, nth: int, how: Way) -> None:
    word, cut = f"part-{uuid.uuid4().hex[:10]}", Cut(nth, how)
    async with FaultProxy(roundup.url, answered=cut.answered) as cut.proxy:
        room = await room_of({"tracker": {**roundup.settings(), "url": cut.proxy.url}}, {"roundup": roundup.password})
        said = [f"{word} {n}" for n in ("first", "second")]
        steps: dict[str, Any] = {"open": {"action": "ticket.open", "with": {"title": word, "body": "b"}}}
        for number, text in enumerate(said):
            steps[f"say{number}"] = {
                "action": "ticket.comment", "with": {"ticket": "${steps.open.output.ticket}", "text": text},
            }  # fmt: skip
        run = await started(room, word, steps)
        await seen_through(room, run, cut, "Roundup")
    assert roundup.count("issue", title=word) == 1
    with roundup.client() as http:
        id = http.get("/issue", params={"title": word}).json()["data"]["collection"][0]["id"]
        about = http.get(f"/issue/{id}").json()["data"]["attributes"]
        texts = [http.get(f"/msg/{m['id']}/content").json()["data"]["data"] for m in about["messages"]]
    assert [sum(text in one for one in texts) for text in said] == [1, 1]


async def test_an_alertmanager_that_is_cut_off(prometheus: PrometheusServer, room_of: Any) -> None:
    word, cut = f"part-{uuid.uuid4().hex[:10]}", Cut(1, "drop")
    async with FaultProxy(prometheus.alertmanager_url, answered=cut.answered) as cut.proxy:
        room = await room_of({"alertmanager": {"kind": "alertmanager", "url": cut.proxy.url}}, {})
        given = {"matchers": {"robot": word}, "seconds": 3600, "comment": "works in the hall"}
        run = await started(room, word, {"mute": {"action": "alert.silence", "with": given}})
        await seen_through(room, run, cut, "Alertmanager")
    async with httpx.AsyncClient(trust_env=False, timeout=10) as http:
        rows = (await http.get(f"{prometheus.alertmanager_url}/api/v2/silences")).json()
    assert sum(any(m["value"] == word for m in one["matchers"]) for one in rows) == 1


async def test_a_declared_system_that_is_cut_off(room_of: Any) -> None:
    word, cut, depot = f"part-{uuid.uuid4().hex[:10]}", Cut(2, "drop"), Depot()
    options = {"definition": str(Path(__file__).parents[2] / "unit" / "connectors" / "depot.yaml"), "project": "fleet"}
    async with serving(depot.app) as url, FaultProxy(url, answered=cut.answered) as cut.proxy:
        system = {"kind": "http", "url": cut.proxy.url, "secret": "depot", "options": options}
        room = await room_of({"depot": system}, {"depot": KEY})
        ticket = "${steps.open.output.ticket}"
        run = await started(
            room, word,
            {
                "open": {"action": "ticket.open", "with": {"title": word, "body": "b"}},
                "say": {"action": "ticket.comment", "with": {"ticket": ticket, "text": word}},
                "rename": {"action": "ticket.update", "with": {"ticket": ticket, "title": "done"}},
            },
        )  # fmt: skip
        await seen_through(room, run, cut, "Depot desk")
    assert sorted(depot.writes) == ["comment", "create", "update"]
