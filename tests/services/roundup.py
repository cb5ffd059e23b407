"""The real Roundup tracker for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from tests.services.fixtures import _instance, service

PEOPLE = ("kay", "mara")


class RoundupServer(msgspec.Struct, frozen=True):
    """A running tracker with two more accounts."""

    url: str
    username: str
    password: str
    tracker: str = ""

    def tells(self, url: str, secret: str) -> None:
        """From now on each change of an issue is told there."""
        Path(self.tracker, "webhook.json").write_text(json.dumps({"url": url, "secret": secret}), "utf-8")

    def silent(self) -> None:
        Path(self.tracker, "webhook.json").unlink(missing_ok=True)

    def settings(self, **options: Any) -> dict[str, Any]:
        return {
            "kind": "roundup",
            "url": self.url,
            "secret": "roundup",
            "options": {"username": self.username, **options},
        }

    def client(self) -> httpx.Client:
        """For setting things up and counting on the server's side (tests of the product use its connector)."""
        parts = urlsplit(self.url)
        guard = {
            "origin": f"{parts.scheme}://{parts.netloc}",
            "referer": self.url + "/",
            "x-requested-with": "rest",
        }
        return httpx.Client(
            base_url=self.url + "/rest/data",
            auth=(self.username, self.password),
            headers=guard,
            timeout=30,
            trust_env=False,
        )

    def set(self, issue: str, **fields: Any) -> None:
        """Somebody changes an issue there."""
        with self.client() as http:
            etag = http.get(f"/issue/{issue}").raise_for_status().headers["etag"]
            http.patch(f"/issue/{issue}", json=fields, headers={"if-match": etag}).raise_for_status()

    def say(self, issue: str, text: str, author: str = "kay") -> None:
        """Somebody comments on an issue there."""
        with self.client() as http:
            given = {"content": text, "author": author, "date": "."}
            message = http.post("/msg", json=given).raise_for_status().json()["data"]["id"]
            found = http.get(f"/issue/{issue}").raise_for_status()
            about = found.json()["data"]["attributes"]
            ids = [one["id"] for one in about["messages"]] + [message]
            sent = {"messages": ids, "status": about["status"]["id"]}
            http.patch(f"/issue/{issue}", json=sent, headers={"if-match": found.headers["etag"]}).raise_for_status()

    def retire(self, issue: str) -> None:
        with self.client() as http:
            etag = http.get(f"/issue/{issue}").raise_for_status().headers["etag"]
            http.delete(f"/issue/{issue}", headers={"if-match": etag}).raise_for_status()

    def count(self, kind: str = "issue", **where: str) -> int:
        with self.client() as http:
            return int(http.get(f"/{kind}", params=where).raise_for_status().json()["data"]["@total_size"])


@pytest.fixture(scope="session")
def roundup() -> Iterator[RoundupServer]:
    """Real Roundup, empty but for two people."""
    instance = _instance()
    found = service("roundup.sh", "start", instance=instance)
    password = Path(found["password_file"]).read_text("utf-8").strip()
    server = RoundupServer(found["url"].rstrip("/"), found["username"], password, found["tracker"])
    try:
        with server.client() as http:
            for name in PEOPLE:
                about = {"username": name, "address": f"{name}@quarterdeck.test", "roles": "User"}
                http.post("/user", json=about).raise_for_status()
        yield server
    finally:
        service("roundup.sh", "wipe", instance=instance)
