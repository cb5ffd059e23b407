"""What Roundup answers: the parts of its REST API, version 1, that are read. Responses lie under `data`."""

from __future__ import annotations

from msgspec import Struct, field


class Ref(Struct):
    id: str = ""
    name: str = ""
    username: str = ""


class Issue(Struct):
    """An issue, alone (under `attributes`) or as a row of a list."""

    id: str = ""
    title: str | None = None
    status: Ref | None = None
    priority: Ref | None = None
    assignedto: Ref | None = None
    activity: str | None = None
    messages: list[Ref] = field(default_factory=list)
    files: list[Ref] = field(default_factory=list)


class One(Struct, rename={"etag": "@etag"}):
    id: str = ""
    attributes: Issue = field(default_factory=Issue)
    etag: str = ""


class OneAnswer(Struct):
    data: One


class Rows(Struct, rename={"total": "@total_size"}):
    collection: list[Issue] = field(default_factory=list)
    total: int = 0


class RowsAnswer(Struct):
    data: Rows


class Refs(Struct, rename={"total": "@total_size"}):
    collection: list[Ref] = field(default_factory=list)
    total: int = 0


class RefsAnswer(Struct):
    data: Refs


class Message(Struct):
    author: Ref | None = None
    date: str | None = None
    messageid: str | None = None


class MessageOne(Struct):
    attributes: Message = field(default_factory=Message)


class MessageAnswer(Struct):
    data: MessageOne


class Text(Struct):
    data: str = ""


class TextAnswer(Struct):
    data: Text


class MadeAnswer(Struct):
    data: Ref


class Once(Struct):
    link: str


class OnceAnswer(Struct):
    data: Once


class Api(Struct):
    default_version: int | str = "?"


class ApiAnswer(Struct):
    data: Api
