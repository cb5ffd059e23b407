"""Label Studio (labelling by people). Written against 1.23.2, Community edition.

What the server does, and what follows:

- It has no idempotency keys, and importing a task twice makes two. A job's id stands in its task's data and the key of the
  step that made a project in the project's description; both are looked for before anything is sent.
- A list of tasks has no annotations without `fields=all`; a page behind the last one is 404.
- New organisations give out tokens that are exchanged for short ones (`/api/token/refresh`); older ones a fixed one. Which
  it is shows in its form.
- Webhooks are not signed: a header that both know is all there is, and a delivery has no id of its own. A repeat is known
  by what it says; an annotation that was changed says something else.
- An annotation by the API is its token's owner's; people's own answers carry their own account.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import NoneType
from typing import Any

import msgspec
from msgspec import Struct

from connectors import labelstudio_rows as rows
from connectors import paging
from connectors.http import HttpClient
from connectors.labelstudio_rows import Imported, Project, Projects, Task, Tasks, User
from connectors.labelstudio_webhook import received
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.ports import ActionError, Clock, Json, Param
from engine.capabilities.systems.ports import Feed, Incoming, LabelJob, Pulled, RemoteLabel, RemoteObject, Right

PAGE, IMPORT = 500, 200
TITLE = 50  # the server's own limit
SETTLE_S = 2.0
"""How long after a lost answer something may still come to light before the same is sent again."""
OVERLAP_S = 60.0
"""Asked again beyond what was seen last: a commit on the server's side may be later than its time says."""
NEEDED = {
    "projects.create": "labels.push",
    "tasks.create": "labels.push",
    "tasks.view": "the mirror of tasks",
    "annotations.view": "labels.pull",
}
_CURSOR = {"project": re.compile(r"\d{0,9}"), "task": re.compile(r"(\d{1,12}/\d{1,9})?")}
_INCLUDE = "id,title,description,task_number,finished_task_number,num_tasks_with_annotations,updated_at,created_at,is_published"


class _Access(Struct):
    access: str


class Token:
    """The token of an account: fixed, or (three parts with dots) exchanged for one that lives five minutes."""

    def __init__(self, http: HttpClient, secret: Callable[[], str]) -> None:
        self._http, self._secret, self._shown = http, secret, ""
        self._lock = asyncio.Lock()

    async def headers(self) -> dict[str, str]:
        async with self._lock:
            if not self._shown:
                token = (await asyncio.to_thread(self._secret)).strip()
                if token.count(".") == 2:
                    found = await self._http.send(
                        "POST", "/api/token/refresh", _Access, json={"refresh": token}, safe=True, reads=True, authenticated=False
                    )  # fmt: skip
                    self._shown = f"Bearer {found.access}"
                else:
                    self._shown = f"Token {token}"
        return {"authorization": self._shown}

    async def rejected(self) -> bool:
        """Short ones end, and either may have been replaced: asked for once more."""
        self._shown = ""
        return True


class LabelStudio:
    """Implements the port Labels; a Source of `project` and `task` (those of projects made from here)."""

    traits: dict[str, str] = {
        "spans": "times are frames of the rate the project was made with; a video of another rate has other times",
        "webhooks": "webhooks are not signed: a shared header proves them",
        "delete": "projects and tasks are never deleted from here",
        "media": "people's browsers fetch the recording themselves: it has to lie where they can reach it",
    }
    feeds = (
        Feed(kind="project", title="labelling projects", every_s=120.0, full_every_s=0.0, stale_s=600.0),
        Feed(kind="task", title="labelling tasks", every_s=120.0, full_every_s=0.0, stale_s=600.0),
    )

    def __init__(
        self,
        http: HttpClient,
        clock: Clock,
        *,
        player: str = "video",
        fps: float = 25.0,
        sleep: Callable[[float], Any] = asyncio.sleep,
    ) -> None:
        self._http, self._clock, self._player, self._fps, self._sleep = http, clock, player, fps, sleep
        self._writing = asyncio.Lock()
        self._people: dict[int, str] = {}

    async def close(self) -> None:
        await self._http.close()

    async def check(self) -> str:
        class _Version(Struct):
            release: str = ""

        await self._me()  # proves the token, which the version does not ask for
        found = await self._http.get("/api/version", _Version)
        return f"Label Studio {clean(found.release, 40)}"

    async def rights(self) -> Sequence[Right]:
        has = set((await self._me()).permissions)
        return [Right(name=name, has=(name in has) if has else None, needed_for=why) for name, why in NEEDED.items()]

    # -- writing ------------------------------------------------------------------------------------------------------

    async def project(
        self,
        title: str,
        schema: Mapping[str, Sequence[str]],
        *,
        spans: Mapping[str, Sequence[str]] | None = None,
        numbers: Sequence[str] = (),
        key: str,
        in_doubt: bool = False,
    ) -> str:
        """Raises ActionError `BadSchema`; InDoubt."""
        mark = rows.marker(key)
        body = {
            "title": title[:TITLE], "description": f"Labels asked for by Quarterdeck. {mark}",
            "label_config": rows.configuration(self._player, self._fps, schema, spans or {}, numbers),
        }  # fmt: skip
        async with self._writing:
            for _ in range(2 if in_doubt else 1):
                async for one in self._projects():
                    if mark in (one.description or ""):
                        return str(one.id)
                if in_doubt:
                    await self._sleep(SETTLE_S)
            made = await self._http.send("POST", "/api/projects/", Project, json=body, safe=False)
            return str(made.id)

    async def push(self, project: str, jobs: Sequence[LabelJob], *, key: str, in_doubt: bool = False) -> int:
        """Raises ActionError `NoSuchProject`; InDoubt. What another run handed over already stays as it is."""
        _id(project)
        async with self._writing:
            if in_doubt:
                await self._sleep(SETTLE_S)
            there = {one.job async for one in self._tasks(project)}
            missing = [one for one in {job.id: job for job in jobs}.values() if one.id not in there]
            for at in range(0, len(missing), IMPORT):
                batch = [
                    {"data": {**one.data, "media": one.media, rows.JOB: one.id}} for one in missing[at : at + IMPORT]
                ]
                await self._http.send("POST", f"/api/projects/{project}/import", Imported, json=batch, safe=False)
            now = {one.job async for one in self._tasks(project)} if missing else there
        return len({job.id for job in jobs} & now)

    async def discard(self, kind: str, id: str) -> None:
        """Takes away a project that a check of this connector made, and nothing else."""
        if kind == "project":
            async for one in self._projects():
                if str(one.id) == id and rows.ours(one) and one.title.startswith("Quarterdeck check"):
                    await self._http.send("DELETE", f"/api/projects/{_id(id)}/", NoneType, safe=True)
                    return
        raise ActionError(
            "NotOurs", f"{clean(kind, 20)} {clean(id, 20)} was not made by a check: it is not deleted", retryable=False
        )

    # -- reading ------------------------------------------------------------------------------------------------------

    async def labels(self, project: str, since: float = 0.0) -> Sequence[RemoteLabel]:
        """Every answer to a job of ours, or those given or changed since. Raises ActionError `NoSuchProject`."""
        found: list[RemoteLabel] = []
        params = {"fields": "all"}
        if since > 0:
            iso = datetime.fromtimestamp(max(0.0, since - OVERLAP_S), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            item = {"filter": "filter:tasks:updated_at", "operator": "greater", "type": "Datetime", "value": iso}
            params["query"] = msgspec.json.encode({"filters": {"conjunction": "and", "items": [item]}}).decode()
        async for task in self._tasks(project, **params):
            for one in task.annotations if task.job else ():
                if rows.time_of(one.updated_at) > since:
                    found.append(rows.label(task, one, await self._who(one.completed_by), self._fps))
        return sorted(found, key=lambda each: (each.at, each.id))

    async def pull(self, feed: str, cursor: str) -> Pulled:
        """Everything, page by page: tasks project by project (`project/page`). Raises `CursorLost`."""
        if not _CURSOR[feed].fullmatch(cursor):
            raise ActionError("CursorLost", "no page of Label Studio's: everything is listed anew", kind="conflict")
        if feed == "project":
            page = int(cursor or 1)
            params = {"page": str(page), "page_size": str(PAGE), "include": _INCLUDE}
            try:
                answer = await self._http.send_full("GET", "/api/projects/", Projects, params=params, safe=True)
            except ActionError as error:
                if error.error == "NotFound" and page > 1:  # they became fewer meanwhile
                    return Pulled(full=True)
                raise
            more = page * PAGE < answer.value.count
            objects = tuple(rows.mirrored_project(one, self._http.url) for one in answer.value.results)
            return Pulled(
                objects=objects, cursor=str(page + 1) if more else "", more=more, full=True, owner_now=answer.owner_now
            )
        return await self._pull_tasks(cursor)

    async def _pull_tasks(self, cursor: str) -> Pulled:
        """Projects in the order of their ids, so that one that comes or goes meanwhile moves no other."""
        mine = sorted([one.id async for one in self._projects() if rows.ours(one)])
        at, _, number = cursor.partition("/")
        here = next((one for one in mine if one >= int(at or 0)), None)
        if here is None:
            return Pulled(full=True)
        page = int(number or 1) if str(here) == at else 1
        params = {"project": str(here), "page": str(page), "page_size": str(PAGE)}
        objects: tuple[RemoteObject, ...] = ()
        more_here = False
        try:
            found = await self._http.get("/api/tasks", Tasks, params=params)
        except ActionError as error:
            if error.error != "NotFound":  # it shrank meanwhile: nothing is behind its last page
                raise
        else:
            objects = tuple(rows.mirrored_task(one, str(here), self._http.url) for one in found.tasks)
            more_here = page * PAGE < found.total
        more = more_here or here != mine[-1]
        goes_on = f"{here}/{page + 1}" if more_here else f"{here + 1}/1"
        return Pulled(objects=objects, cursor=goes_on if more else "", more=more, full=True)

    # -- inside -------------------------------------------------------------------------------------------------------

    async def _projects(self) -> AsyncIterator[Project]:
        async for page in paging.by_page(
            self._http, "/api/projects/", Projects, lambda p: len(p.results), per_page="page_size", size=PAGE,
            total=lambda p: p.count, params={"include": _INCLUDE},
        ):  # fmt: skip
            for one in page.value.results:
                yield one

    async def _tasks(self, project: str, **params: str) -> AsyncIterator[Task]:
        try:
            async for page in paging.by_page(
                self._http, "/api/tasks", Tasks, lambda p: len(p.tasks), per_page="page_size", size=PAGE,
                total=lambda p: p.total, params={"project": _id(project), **params},
            ):  # fmt: skip
                for one in page.value.tasks:
                    yield one
        except ActionError as error:
            if error.error == "NotFound":
                what = f"Label Studio has no project {clean(project, 20)}"
                raise ActionError("NoSuchProject", what, kind="validation", retryable=False) from error
            raise

    async def _me(self) -> User:
        return await self._http.get("/api/current-user/whoami", User)

    async def _who(self, number: int | None) -> str:
        """The account of a person, asked for once; its number when the server no longer knows it."""
        if number is None:
            return ""
        if number not in self._people:
            self._people |= {
                one.id: clean(one.email or one.username or str(one.id), 120)
                for one in await self._http.get("/api/users/", list[User])
            }
        return self._people.get(number, f"user {number}")


def _id(project: str) -> str:
    if not project.isdigit():
        raise ActionError("NoSuchProject", f"{clean(project, 20)!r} is no project", kind="validation", retryable=False)
    return project


class LabelStudioConnector:
    """Settings: `url`, `secret` (an account's token), `media` and `fps` of what is labelled."""

    kind = "labelstudio"
    title = "Label Studio"
    docs = "REST API and webhooks of Label Studio 1.23 (Community); tested against the real server 1.23.2"
    capabilities = ("labels",)
    needs: tuple[str, ...] = ()
    secrets = {**SECRETS, "webhook_secret": "labelstudio-webhook"}
    fields: dict[str, Param] = {
        **FIELDS,
        "secret": Param(type="string", description="name of the keyring entry of an account's token"),
        "webhook_secret": Param(
            type="string",
            required=False,
            description="keyring entry of what its webhooks carry in X-Quarterdeck-Secret",
        ),
        "media": Param(type="string", required=False, description="what people see: video, audio or text (video)"),
        "fps": Param(type="number", required=False, description="frames a second of the videos (25)"),
    }

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        player, fps, entry = str(config.get("media", "video")), float(config.get("fps", 25.0)), str(config["secret"])
        if player not in rows.PLAYERS or not 0 < fps <= 1000:
            what = f"labelstudio: media is one of {', '.join(rows.PLAYERS)}, and fps lies over 0"
            raise ActionError("NotConfigured", what, kind="configuration", retryable=False)
        http = client(config, secret, name="Label Studio")
        http.use(Token(http, lambda: secret(entry)))
        return {"labels": LabelStudio(http, clock, player=player, fps=fps)}

    def receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        return received(headers, body, secret, now or time.time())


connector = LabelStudioConnector()
__all__ = ["LabelStudio", "LabelStudioConnector", "Token", "connector"]
