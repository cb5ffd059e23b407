"""Connectors declared in YAML: a team adds an in-house system over HTTP without code.

A file `connectors/NAME.yaml` in the configuration folder is a kind of its own (`qd connectors add NAME ...`); the kind
`http` takes a definition in its options instead. The grammar stands in `connectors.declared_grammar`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from connectors.credentials import ApiKey, Auth, Basic, Bearer, ClientCredentials
from connectors.http import HttpClient
from connectors.remote_text import clean
from connectors.settings import FIELDS, SECRETS, client
from engine.capabilities.ports import ActionError, Clock, Connector, Json, Param
from engine.capabilities.systems.ports import BadDelivery, BadSignature, Incoming

PARTS = ("tickets", "notify", "alerts", "feeds")
WINDOW_S = 300.0
MOST_EVENTS = 1000


class Declared:
    """The connector that a definition makes. `kind` is its name here."""

    needs: tuple[str, ...] = ()

    def __init__(self, kind: str, definition: Mapping[str, Json], extra: Mapping[str, Param] | None = None) -> None:
        self.kind, self._definition = kind, definition
        self.title = str(definition["title"])
        self.docs = str(definition.get("docs", "declared in YAML; not tested by this project"))
        self.capabilities = tuple(part for part in PARTS if part in definition)
        own = {
            name: Param(type=each.get("type", "string"), required=each.get("required", False), description=each["description"])
            for name, each in definition.get("options", {}).items()
        }  # fmt: skip
        url = FIELDS["url"] if "base" not in definition else _optional(FIELDS["url"])
        self.fields: dict[str, Param] = {**FIELDS, "url": url, **own, **(extra or {})}
        self.secrets = dict(SECRETS)
        if "auth" in definition:
            self.fields["secret"] = Param(type="string", description="name of the keyring entry")
        if "webhook" in definition:
            said = "name of the keyring entry that proves its webhooks"
            self.fields["webhook_secret"] = Param(type="string", required=False, description=said)
            self.secrets["webhook_secret"] = said
            self.receive = self._receive  # only a system that is told of has it

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        from connectors.declared_calls import Caller
        from connectors.declared_feeds import Feeds
        from connectors.declared_ports import DeclaredAlerts, DeclaredNotify, DeclaredTickets

        given = {**config, "url": config.get("url") or self._definition.get("base", "")}
        known = {
            k: v for k, v in given.items() if k in self.fields and k not in ("secret", *self.secrets, "definition")
        }
        for name, each in self._definition.get("options", {}).items():
            known.setdefault(name, {"array": [], "object": {}}.get(each.get("type", ""), ""))
        http = client(
            given,
            secret,
            name=self.title,
            idempotency_header=self._definition.get("idempotency_header", "idempotency-key"),
        )
        caller = Caller(http, known, self.title)
        http.headers({k: str(caller.filled(v, {})) for k, v in self._definition.get("headers", {}).items()})
        if (auth := self._auth(caller, given, secret)) is not None:
            http.use(auth)
        check, traits = self._definition["check"], self._definition.get("traits", {})
        made: dict[str, Any] = {}
        if spec := self._definition.get("tickets"):
            made["tickets"] = DeclaredTickets(caller, spec, check, traits)
        if spec := self._definition.get("notify"):
            made["notify"] = DeclaredNotify(caller, spec, check, traits)
        if spec := self._definition.get("alerts"):
            made["alerts"] = DeclaredAlerts(caller, spec, check, traits, clock.now)
        if spec := self._definition.get("feeds"):
            made["feeds"] = Feeds(caller, spec, check)
        return made

    def _auth(self, caller: Any, config: Mapping[str, Json], secret: Callable[[str], str]) -> Auth | None:
        auth, entry = self._definition.get("auth"), str(config.get("secret", ""))
        if auth is None or not entry:
            return None

        def read() -> str:
            return secret(entry)

        if "bearer" in auth:
            return Bearer(read, auth["bearer"].get("scheme", "Bearer"))
        if "basic" in auth:
            return Basic(str(caller.filled(auth["basic"]["username"], {})), read)
        if "header" in auth:
            return ApiKey(auth["header"]["name"], read, auth["header"].get("prefix", ""))
        told = {k: str(caller.filled(v, {})) for k, v in auth["oauth2"].items()}
        token = urlsplit(told["token"])
        plain, path = {**config}, token.path or "/"
        if token.netloc:
            plain["url"] = f"{token.scheme}://{token.netloc}"
        tokens: HttpClient = client(plain, secret, name=f"{self.title} (tokens)")
        style = told.get("style", "basic")
        return ClientCredentials(
            tokens,
            path,
            told["client_id"],
            read,
            scope=told.get("scope", ""),
            style="form" if style == "form" else "basic",
        )

    # -- webhooks -----------------------------------------------------------------------------------------------------

    def _receive(self, headers: Mapping[str, str], body: bytes, secret: str, now: float) -> Sequence[Incoming]:
        """See `engine.capabilities.systems.ports.Receiver`."""
        from connectors.declared_calls import Caller

        spec = self._definition["webhook"]
        _prove(spec["proof"], headers, body, secret, now)
        caller = Caller(_nobody(self.title), {}, self.title)
        try:
            told = msgspec.json.decode(body)
            items = caller.value(spec["items"], {"it": told}) if "items" in spec else [told]
            if not isinstance(items, list) or len(items) > MOST_EVENTS:
                raise BadDelivery(f"{spec.get('items', 'the body')} is no list of at most {MOST_EVENTS}")
            return [self._incoming(caller, spec, item, headers) for item in items]
        except msgspec.DecodeError as error:
            raise BadDelivery(f"this is no JSON: {clean(error, 100)}") from error
        except ActionError as error:
            raise BadDelivery(error.message) from error

    def _incoming(self, caller: Any, spec: Mapping[str, Json], item: Json, headers: Mapping[str, str]) -> Incoming:
        known = {"it": item, "headers": dict(headers)}
        return Incoming(
            event=clean(caller.filled(spec["event"], known), 120),
            id=caller.id(spec["id"], known),
            subject=caller.text(spec.get("subject"), known, 200),
            at=caller.time(spec.get("at"), known),
            data=caller.plain(spec.get("data", {}), known),
        )


def _prove(proof: Mapping[str, Json], headers: Mapping[str, str], body: bytes, secret: str, now: float) -> None:
    """Raises BadSignature. Without a secret nothing is proven."""
    if not secret:
        raise BadSignature("there is no secret to prove it with")
    if "bearer" in proof:
        given, wanted = headers.get("authorization", ""), f"Bearer {secret}"
    elif "header" in proof:
        given, wanted = headers.get(proof["header"].lower(), ""), secret
    else:
        way = proof["hmac"]
        stamp, id = (headers.get(way[k].lower(), "") if k in way else "" for k in ("timestamp", "id"))
        if "timestamp" in way:
            try:
                at = float(stamp)
            except ValueError:
                raise BadSignature("it has no timestamp") from None
            if not abs(now - (at / 1000 if at > 1e11 else at)) <= way.get("window", WINDOW_S):
                raise BadSignature("it is too old or from the future")
        signed = way.get("signed", "{timestamp}.{body}" if "timestamp" in way else "{body}")
        head, _, tail = signed.partition("{body}")
        mixed = head.replace("{timestamp}", stamp).replace("{id}", id).encode("utf-8", "replace") + body + tail.encode()
        digest = hmac.new(secret.encode(), mixed, hashlib.sha256).digest()
        wanted = digest.hex() if way.get("encoding", "hex") == "hex" else base64.b64encode(digest).decode()
        wanted, given = way.get("prefix", "") + wanted, headers.get(way["header"].lower(), "")
    if not hmac.compare_digest(given.strip().encode("utf-8", "replace"), wanted.encode()):
        raise BadSignature("it is not signed with our secret")


def _nobody(title: str) -> HttpClient:
    """Expressions of a webhook are filled in without anything being asked."""
    return HttpClient("http://127.0.0.1:9", name=title)


def _optional(param: Param) -> Param:
    return Param(type=param.type, required=False, description=param.description)


class HttpKind:
    """The kind `http`: options.definition is a file's path or the definition itself. `of` gives the connector that the
    definition makes; asked for before there are settings, it says what it could serve."""

    kind = "http"
    title = "in-house system over HTTP, declared in YAML"
    docs = "the definition says which system it speaks to; tested against a server of ours and against Roundup"
    capabilities = PARTS
    needs: tuple[str, ...] = ()
    extra = {
        "definition": Param(
            type="any", description="the definition: the path of its YAML file, or the definition itself"
        )
    }
    fields: dict[str, Param] = {
        **FIELDS, "secret": Param(type="string", required=False, description="name of the keyring entry"), **extra
    }  # fmt: skip
    secrets = SECRETS

    def of(self, config: Mapping[str, Json]) -> Declared:
        """Raises ActionError `NotConfigured` with line, field and fix."""
        given = {**config, **(config.get("options") or {})}.get("definition")
        if isinstance(given, Mapping):
            return Declared(self.kind, definition(msgspec.json.encode(given).decode(), "definition"), self.extra)
        if not isinstance(given, str) or not given:
            raise _wrong("definition is missing: the path of a YAML file, or the definition itself")
        return Declared(self.kind, _of_file(Path(given)), self.extra)

    def build(
        self, config: Mapping[str, Json], secret: Callable[[str], str], clock: Clock, ports: Mapping[str, Any]
    ) -> dict[str, Any]:
        return self.of(config).build(config, secret, clock, ports)

    def kinds(self, folder: Path) -> dict[str, Callable[[], Connector]]:
        """The definitions in `folder`, by the stem of their file. Calling one that is wrong raises `NotConfigured`."""
        found = sorted(folder.glob("*.yaml")) if folder.is_dir() else []
        return {file.stem: partial(_kind_of, file) for file in found}


def _kind_of(file: Path) -> Declared:
    return Declared(file.stem, _of_file(file))


_read: dict[Path, tuple[tuple[int, int], dict[str, Json]]] = {}


def _of_file(file: Path) -> dict[str, Json]:
    """The definition in a file, read again when the file changed."""
    try:
        state = file.stat()
        known = _read.get(file)
        if known is not None and known[0] == (state.st_mtime_ns, state.st_size):
            return known[1]
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _wrong(f"{clean(file, 200)} cannot be read ({clean(error.__class__.__name__, 40)})") from error
    found = definition(text, file.name)
    _read[file] = (state.st_mtime_ns, state.st_size), found
    return found


def definition(text: str, name: str) -> dict[str, Json]:
    """A definition's values. Raises ActionError `NotConfigured` that names every line, field and fix."""
    from connectors.declared_grammar import read
    from engine.language.findings import DefinitionError

    try:
        return read(text)
    except DefinitionError as error:
        raise _wrong(f"{clean(name, 80)}: " + "; ".join(str(one) for one in error.findings[:10])) from error


def _wrong(text: str) -> ActionError:
    return ActionError("NotConfigured", text, kind="configuration", retryable=False)


connector = HttpKind()
__all__ = ["Declared", "HttpKind", "connector", "definition"]
