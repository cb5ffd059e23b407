"""What the rules look at, gathered: the one place of access that reads the world. The facts of a request are kept, so that
its evaluation can be done again later and must come out the same.

What is not known is said as such (an empty text, `people.NEVER`, false), and no rule takes that for a yes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from engine.capabilities.access import people
from engine.capabilities.access.classify import Item, classify
from engine.capabilities.access.entities import LIVE
from engine.capabilities.ports import ActionError
from engine.capabilities.records import Records
from engine.contract.access import AccessRequest, Classification, ControlLease, Grant, PastGrant, Volume

Json = Any
VISUAL = ("camera", "image", "video")
MOST = 5_000
"""Sessions or files one request may name; more is a snapshot."""
HISTORY = 1_000


class Looks(Protocol):
    """What facts are read through: an action's context or a person's desk."""

    records: Records

    def now(self) -> float: ...
    def port(self, capability: str) -> Any: ...
    def policy(self, pack: str) -> dict[str, Json]: ...


class Found(Struct, frozen=True, kw_only=True):
    """What a request's names stand for."""

    items: tuple[Item, ...] = ()
    missing: tuple[str, ...] = ()
    robots: tuple[dict[str, Json], ...] = ()


async def found(look: Looks, request: AccessRequest) -> Found:
    """Everything the request names, as records and fleet know it. What nobody knows is listed, not left out."""
    items: list[Item] = []
    missing: list[str] = []
    robots = await _robots(look, [*request.robots], unheard=request.breakglass)
    homes = {robot["id"]: robot["region"] for robot in robots}
    known = {robot["id"] for robot in robots}
    missing += [name for name in request.robots if name not in known]
    for robot in robots:
        items.append(
            Item(
                id=robot["id"], kind="robot", robot=robot["id"], site=robot["site"], region=robot["region"],
                customer=robot["customer"], variant=robot["variant"], files=0,
            )
        )  # fmt: skip
    sessions = list(request.sessions)
    if request.snapshot:
        snapshot = await _record(look, "snapshot", request.snapshot)
        if snapshot is None:
            missing.append(request.snapshot)
        else:
            sessions += [one for one in getattr(snapshot, "sessions", ()) if one not in request.sessions]
    for name in sessions[:MOST]:
        session = await _record(look, "session", name)
        if session is None:
            missing.append(name)
            continue
        home = homes.get(session.robot)
        if home is None and session.robot:
            rows = await _robots(look, [session.robot], unheard=request.breakglass)
            home = homes[session.robot] = rows[0]["region"] if rows else ""
        items.append(_session(session, home or ""))
    missing += [f"{len(sessions) - MOST} sessions too many"] if len(sessions) > MOST else []
    for digest in request.files:
        kept = await _record(look, "evidence", digest)
        if kept is None:
            missing.append(digest)
        else:
            media = str(kept.media)
            items.append(
                Item(
                    id=digest, kind="file", region=kept.region, bytes=int(kept.size_b), camera=media.startswith(("video/", "image/")),
                    topics=(kept.name,),
                )
            )  # fmt: skip
    if request.site and not robots and not sessions:
        items.append(
            Item(
                id=request.site,
                kind="site",
                site=request.site,
                region=await _region_of_site(look, request.site),
                files=0,
            )
        )
    return Found(items=tuple(items), missing=tuple(missing), robots=tuple(robots))


def classified(request: AccessRequest, seen: Found, policy: Mapping[str, Json]) -> Classification:
    """The classes of what was found. Blurring takes faces away, but not what it is: data of people."""
    live = request.sort == "teleop"
    items = seen.items
    if live:
        cameras = int(policy.get("live_cameras") or 0)
        items = tuple(msgspec.structs.replace(one, camera=cameras > 0) for one in items)
    standing = policy.get("gateway_classes") or () if request.sort == "support" else ()
    return classify(items, policy, declared=request.classes, missing=seen.missing, standing=standing, live=live)


async def gather(look: Looks, request: AccessRequest, seen: Found, classes: Classification) -> dict[str, Json]:
    """The facts of a request as of now: plain values, all keys always there."""
    policy, now = look.policy("access"), look.now()
    filed = request.observed_at or request.created_at or now
    actor = people.actor(policy, request.requester, now=now, seen_at=filed)
    places = [request.to_region, *([actor["region"]] if actor["location_source"] != "vpn" else [])]
    if request.actor_location and request.actor_location != actor["location"]:
        hidden = actor["location_source"] in ("vpn", "unknown") or not actor["location"]
        contrary = "" if hidden else f" ({actor['location_source']} says {actor['location']})"
        actor |= {
            "location": request.actor_location, "location_source": f"declared{contrary}",
            "region": people.region_of(policy, request.actor_location),
        }  # fmt: skip
        places.append(actor["region"])
    from_regions = list(classes.subject_regions)
    from_region = from_regions[0] if len(from_regions) == 1 else request.from_region or ", ".join(from_regions)
    to_region = _farthest(policy, from_regions or [from_region], places, actor["employer"], now)
    kept = [name for name in policy.get("keep_in_region") or () if name in classes.classes]
    personal = any(name in classes.classes for name in ("personal_video", "precise_location"))
    history = await _history(look, request, actor, now)
    desk, qualified = people.desk(policy, from_regions[0] if from_regions else "", request.requester)
    transfer = _transfer(policy, from_regions or [from_region], to_region, actor["employer"], now)
    return {
        "request": {
            "sort": request.sort, "action": request.action, "purpose": request.purpose, "ticket": request.ticket,
            "duration_s": float(request.duration_s), "from_region": from_region, "to_region": to_region,
            "transform": request.transform, "on_behalf_of": request.on_behalf_of, "has_key": bool(request.public_key),
            "robots": float(len(request.robots)), "sessions": float(len(request.sessions)), "files": float(len(request.files)),
            "confirmed": request.source_system != "event", "waited_s": max(0.0, now - filed), "breakglass": request.breakglass,
        },
        "actor": actor,
        "data": _data(classes, kept, personal),
        "transfer": transfer,
        "contract": _contract(policy, classes.customers, request, to_region),
        "history": history,
        "teleop": await _teleop(look, request, seen, actor, now),
        "site": {
            "sites": list(classes.sites), "desk": desk, "desk_qualified": float(qualified),
            "countries": sorted({_country(policy, one) for one in classes.sites} - {""}),
        },
        "holds": await holds(look, request, seen, policy),
    }  # fmt: skip


def _session(session: Any, home: str) -> Item:
    roles = {getattr(topic, "role", "") for topic in session.topics}
    features = session.features if isinstance(getattr(session, "features", None), Mapping) else {}
    return Item(
        id=session.id, robot=session.robot, site=session.site, region=session.region, home_region=home,
        customer=session.customer, variant=session.variant, bytes=session.bytes, minutes=session.duration_s / 60.0,
        frames=session.frames, topics=tuple(topic.name for topic in session.topics), camera="camera" in roles,
        pii=bool(session.pii), faces=_counted(features, "faces"), plates=_counted(features, "plates"),
    )  # fmt: skip


def _counted(features: Mapping[str, Json], name: str) -> int | None:
    value = features.get(name)
    return int(value) if isinstance(value, int | float) else None


def _data(classes: Classification, kept: Sequence[str], personal: bool) -> dict[str, Json]:
    volume: Volume = next(
        (one.volume for one in classes.counts if one.name == "personal_video"), Volume(faces=0, plates=0)
    )
    faces = float(people.NEVER) if volume.faces is None else float(volume.faces)
    return {
        "classes": list(classes.classes), "personal": personal, "video": "personal_video" in classes.classes,
        "precise": "precise_location" in classes.classes, "confidential": "customer_confidential" in classes.classes,
        "export_controlled": "export_controlled" in classes.classes, "kept_in_region": list(kept),
        "kept_text": " and ".join(name.replace("_", " ") for name in kept), "bytes": float(classes.volume.bytes),
        "files": float(classes.volume.files), "minutes": float(classes.volume.minutes), "robots": float(classes.volume.robots),
        "faces": faces, "faces_text": "faces likely, nobody counted" if faces < 0 else f"{int(faces)} faces counted",
        "odd": float(len(classes.odd)), "odd_text": "; ".join(classes.odd), "missing": float(len(classes.missing)),
        "missing_text": ", ".join(name if len(name) <= 40 else f"{name[:19]}…" for name in classes.missing), "subject_regions": list(classes.subject_regions), "live": classes.live,
    }  # fmt: skip


def _farthest(
    policy: Mapping[str, Json], regions: Sequence[str], places: Sequence[str], employer: str, now: float
) -> str:
    """Of all places a person may be or send to, the one the rules are strictest on: what somebody says of themselves can
    make a request more of a transfer, never less of one.
    """
    named = [one for one in dict.fromkeys(places) if one]
    found = [(one, _transfer(policy, regions, one, employer, now)) for one in named]
    crossing = [one for one in found if one[1]["crosses"]]
    worst = next((one for one in crossing if not one[1]["covered"]), crossing[0] if crossing else None)
    return worst[0] if worst else next(iter(named), "")


def _transfer(
    policy: Mapping[str, Json], regions: Sequence[str], to: str, employer: str, now: float
) -> dict[str, Json]:
    """Whether data would cross a border, and what covers it. A mechanism that is over, or of somebody else, covers nothing."""
    pairs = [f"{one}>{to}" for one in dict.fromkeys(regions) if one and to and one != to]
    said: list[str] = []
    covered = bool(pairs) and bool(to)
    for pair in pairs:
        entry = (policy.get("transfers") or {}).get(pair)
        if not isinstance(entry, Mapping):
            covered = False
            said.append(f"no mechanism covers {pair}")
            continue
        until, employers = people.when(entry.get("until")), entry.get("employers") or []
        over = until is not None and now >= until
        foreign = bool(employers) and employer not in employers
        covered = covered and not over and not foreign
        text = f"{entry.get('mechanism', 'mechanism')} on file" + (f", TIA {entry['tia']}" if entry.get("tia") else "")
        said.append(
            f"{pair}: {'over since ' + str(entry.get('until')) if over else 'not for ' + employer if foreign else text}"
        )
    known = any(regions) and bool(to)  # what lies nobody knows where may lie anywhere
    said = said or ([] if known else ["where it lies, or goes, is not known"])
    return {"crosses": bool(pairs) or not known, "covered": covered, "pairs": pairs, "text": "; ".join(said)}


def _contract(policy: Mapping[str, Json], customers: Sequence[str], request: AccessRequest, to: str) -> dict[str, Json]:
    contracts = policy.get("contracts") or {}
    entries = [(name, contracts.get(name)) for name in customers]
    found = [(name, entry) for name, entry in entries if isinstance(entry, Mapping)]
    missing = [name for name, entry in entries if not isinstance(entry, Mapping)]
    regions = [set(entry.get("regions") or ()) for _, entry in found if entry.get("regions")]
    named = [set(entry.get("named") or ()) for _, entry in found if entry.get("named")]
    forbids = {str(one) for _, entry in found for one in entry.get("forbids") or ()}
    return {
        "customers": list(customers), "on_file": bool(found) and not missing, "missing": ", ".join(missing),
        "text": ", ".join(name for name, _ in found), "region_ok": all(to in one for one in regions), "names_people": bool(named),
        "named_ok": all(request.requester in one for one in named), "action_ok": request.action not in forbids,
        "notice_s": max((float(entry.get("notice") or 0.0) for _, entry in found), default=0.0),
    }  # fmt: skip


async def _history(look: Looks, request: AccessRequest, actor: Mapping[str, Json], now: float) -> dict[str, Json]:
    """What this person was granted and denied lately, and what they and their company took out in a year, all requests
    together: a request split in ten is still one."""
    policy = look.policy("access")
    recent, year = float(policy["history"]), float(policy["aggregate"])
    past = [
        r
        for r in await look.records.find("access_request", where={"requester": request.requester}, limit=HISTORY)
        if r.id != request.id
    ]
    grants: list[Grant] = await look.records.find("grant", where={"actor": request.requester}, limit=HISTORY)
    near = [one for one in grants if now - one.not_before <= recent]
    company = past
    if actor["employer"] and not actor["internal"]:
        company = [
            r
            for r in await look.records.find("access_request", where={"employer": actor["employer"]}, limit=HISTORY)
            if r.id != request.id
        ]
    taken = [r for r in company if r.grant and r.action in ("copy", "export") and now - r.created_at <= year]
    devices = {
        robot for r in taken if "precise_location" in r.classification.classes for robot in [*r.robots, *r.sessions]
    }
    return {
        "grants_30d": float(len(near)), "over_scope_30d": float(sum(bool(one.used.excess) for one in near)),
        "denials_30d": float(sum(r.state == "denied" and now - r.created_at <= recent for r in past)),
        "bytes_12m": float(sum(r.classification.volume.bytes for r in taken)),
        "devices_12m": float(max(len(devices), sum(r.classification.volume.robots for r in taken))),
        "requests_12m": float(len(taken)),
    }  # fmt: skip


async def past_grants(records: Records, actor: str, since: float) -> tuple[PastGrant, ...]:
    """A person's grants since a time, newest first."""
    found: list[Grant] = await records.find("grant", where={"actor": actor}, limit=100)
    return tuple(past(one) for one in found if one.not_before >= since)


def past(grant: Grant) -> PastGrant:
    where = ", ".join(grant.robots[:3] or grant.sessions[:2]) or grant.snapshot or grant.site
    return PastGrant(
        id=grant.id, actions=grant.actions, where=where, from_=grant.not_before, until=grant.ended_at or grant.expires_at,
        state=grant.state, over_scope=bool(grant.used.excess),
    )  # fmt: skip


async def _teleop(
    look: Looks, request: AccessRequest, seen: Found, actor: Mapping[str, Json], now: float
) -> dict[str, Json]:
    policy, ready = look.policy("access"), request.readiness
    robot = seen.robots[0] if seen.robots else {}
    name = request.robots[0] if request.robots else ""
    fresh = bool(ready.reported_at) and 0.0 <= now - ready.reported_at <= float(policy["readiness_age"])
    acked = bool(ready.site_ack_by) and 0.0 <= now - ready.site_ack_at <= float(policy["site_ack_age"])
    leases: list[ControlLease] = await look.records.find("lease", state=LIVE, limit=HISTORY)
    hands = [
        one
        for one in leases
        if one.mode in ("assist", "direct") and one.grant != request.grant and one.expires_at > now
    ]
    on_robot = next((one for one in hands if one.robot == name), None)
    by_person = next((one for one in hands if one.holder == request.requester and one.mode == "direct"), None)
    latency = ready.latency_p95_ms if fresh and ready.latency_p95_ms is not None else people.NEVER
    return {
        "robot": name, "known": bool(robot), "online": bool(robot.get("online")), "mode": str(robot.get("mode") or "unknown"),
        "recording": fresh and ready.recording is True, "deadman": fresh and ready.deadman is True,
        "latency_p95_ms": float(latency), "latency_text": f"{latency:.0f} ms" if latency >= 0 else "not reported",
        "stop_test_age_s": now - ready.stop_test_at if ready.stop_test_at and ready.stop_test_at <= now else people.NEVER,
        "zone_clear": fresh and ready.zone_clear is True, "site_ack": acked, "site_ack_by": ready.site_ack_by if acked else "a clear zone",
        "lease_free": on_robot is None, "held_by": on_robot.holder if on_robot else "", "holder_free": by_person is None,
        "holds": by_person.robot if by_person else "", "qualified": actor["qualified_s"] > 0,
    }  # fmt: skip


async def holds(look: Looks, request: AccessRequest, seen: Found, policy: Mapping[str, Json]) -> dict[str, Json]:
    """Holds on the robots and sites that are asked for: the site's own list, and what incidents keep as evidence. That a robot
    is out of service keeps nobody from mending it.
    """
    names = {*request.robots, request.site, *(item.site for item in seen.items)} - {""}
    listed = policy.get("conflicting_holds") or {}
    on = [f"{name}: {listed[name]}" for name in sorted(names) if name in listed]
    held = {str(hold.robot): hold for hold in await _open_holds(look)}
    on += [
        f"{name}: {held[name].id} ({held[name].purpose}, {held[name].incident})"
        for name in request.robots
        if name in held
    ]
    on = list(dict.fromkeys(on))
    return {"on": on, "text": "; ".join(on[:3])}


async def _open_holds(look: Looks) -> list[Any]:
    try:
        return await look.records.find("hold", state="active", limit=HISTORY)
    except (ValueError, ActionError):
        return []


async def _robots(look: Looks, names: Sequence[str], *, unheard: bool = False) -> list[dict[str, Json]]:
    """Robots as the fleet reports them now; what it does not say, their own records do. Without a fleet, the records alone;
    with `unheard` also when it does not answer: nobody breaks glass on a quiet day.
    """
    live: dict[str, Any] = {}
    if names:
        try:
            live = {robot.id: robot for robot in await look.port("fleet").robots()}
        except ActionError as error:
            if error.error != "NotConfigured" and not unheard:
                raise
    rows = []
    for name in names:
        record, robot = await _record(look, "robot", name), live.get(name)
        if record is None and robot is None:
            continue
        rows.append(
            {
                "id": name, "site": _either(robot, record, "site"), "region": _either(robot, record, "region"),
                "customer": _either(robot, record, "customer"), "variant": _either(robot, record, "variant"),
                "serial": _either(robot, record, "serial"), "mode": robot.mode if robot is not None else _either(None, record, "mode"),
                "online": bool(robot.online) if robot is not None else False,
            }
        )  # fmt: skip
    return rows


def _either(robot: Any, record: Any, name: str) -> str:
    return str(getattr(robot, name, "") or getattr(record, name, "") or "")


async def _record(look: Looks, kind: str, name: str) -> Any:
    """A record of another subject; None when there is none, or no such kind here."""
    try:
        return await look.records.get(kind, name)
    except (ValueError, ActionError):
        return None


async def _region_of_site(look: Looks, site: str) -> str:
    """Where a site lies: by the pack's map, else by its robots as the fleet or their records have them; empty when nobody knows."""
    policy = look.policy("access")
    country = _country(policy, site)
    if country:
        return people.region_of(policy, country)
    try:
        robots = await look.port("fleet").robots()
    except ActionError:
        robots = await look.records.find("robot", where={"site": site}, limit=1)
    return next((str(robot.region) for robot in robots if robot.site == site), "")


def _country(policy: Mapping[str, Json], site: str) -> str:
    """The country a site stands in, by the pack's map of sites (`DE` from `HAM2: DE`), for laws that are of a country."""
    found = (policy.get("site_countries") or {}).get(site)
    return str(found) if found and re.fullmatch(r"[A-Z]{2}", str(found)) else ""
