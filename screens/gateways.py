"""Gateways: reachable or not, whose host key is the known one, which version, who is on them; a session is opened from here.

The upper list is a copy of the last look (each row has its age); the lower one is the record of sessions.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.contract.gateways import SESSION_LIVE, GatewayPage, GatewayRow, SshSession
from screens import acts, gateways_view
from screens.acts import Act, Level, Reason
from screens.base import Target
from screens.layout import Line
from screens.mirrored import MirroredScreen
from screens.widgets.line_table import Column, LineTable
from screens.widgets.parts import Part

acts.register(
    Act("gateways.open", "S", "open session", target="gateway", help="A session on it, in this terminal: with a grant, recorded, ended with the grant", cli="qd access ssh {id}", order=1),
    Act("gateways.play", "enter", "play/watch", target="session", help="Play what was recorded; watch a session that is open (on the record)", cli="qd history play {id}", order=2),
    Act("gateways.cut", "K", "end it", target="session", level=Level.SAFE, command="gateway.cut", help="End somebody's session, at once", cli="qd access cut {id}", order=3),
    Act("gateways.look", "u", "look now", help="Look at all of them now", cli="qd fleet gateways --look", order=4),
    Act("gateways.access", "a", "ask access", help="Requests and grants: a session needs one that runs", cli="qd access request shell --site SITE --because TEXT", order=5),
)  # fmt: skip

GATEWAYS = (
    Column("gateway", 10, grow=1),
    Column("site", 5),
    Column("state", 18, grow=1),
    Column("host key", 8),
    Column("engine", 7, optional=3),
    Column("sessions", 11, grow=1, optional=1),
    Column("you", 9),
    Column("at", 20, grow=1, optional=4),
    Column("looked", 6, align="right", optional=2),
)
SESSIONS = (
    Column("session", 7),
    Column("state", 7),
    Column("who", 8),
    Column("gateway", 10, grow=1),
    Column("grant", 6, optional=3),
    Column("length", 7, align="right", optional=2),
    Column("what", 18, grow=4),
    Column("recording", 12, optional=4),
    Column("at", 6, align="right", optional=1),
)


class GatewaysScreen(MirroredScreen):
    NAME = "gateways"
    TITLE_WORD = "Gateways"
    ACTS = ("gateways.open", "gateways.play", "gateways.cut", "gateways.look", "gateways.access")
    ROOT = True
    AUTO_FOCUS = "#gateways"
    UPPER = ("gateways", GATEWAYS, "No gateway is known yet:  qd connectors add ssh  adds them, with their host keys.")
    LOWER = ("sessions", SESSIONS, "No session yet: S on a gateway opens one.")
    KINDS = ("ssh_session", "grant")
    CSS = """
    GatewaysScreen #gateways { height: 2fr; min-height: 4; }
    GatewaysScreen #about { height: auto; max-height: 5; }
    GatewaysScreen #sessions { height: 3fr; min-height: 5; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.page: GatewayPage | None = None

    async def read_all(self) -> GatewayPage:
        return await self.client.read("/v1/gateways", GatewayPage)

    def take(self, found: GatewayPage) -> None:
        self.page = found

    @property
    def loaded(self) -> bool:
        return self.page is not None

    def fill(self, upper: LineTable, lower: LineTable, now: float) -> Sequence[Line]:
        if (page := self.page) is None:
            return ()
        upper.merge([(_key(row), gateways_view.cells(row, now, page.stale_s)) for row in page.gateways])
        lower.merge([(one.id, gateways_view.session_cells(one, now)) for one in gateways_view.ordered(page)])
        return gateways_view.about(self.gateway(), now, self.size.width)

    def summary(self, now: float) -> list[Part]:
        return gateways_view.summary(self.page, now) if self.page is not None else []

    # -- keys ---------------------------------------------------------------------------------------------------

    def gateway(self) -> GatewayRow | None:
        key = self.upper.cursor_key
        return next((row for row in self.page.gateways if _key(row) == key), None) if self.page else None

    def session(self) -> SshSession | None:
        """Under the cursor below; on a gateway, the one session that is open there."""
        if self.page is None:
            return None
        if self.on_lower:
            key = self.lower.cursor_key
            return next((one for one in gateways_view.ordered(self.page) if one.id == key), None)
        row = self.gateway()
        return row.sessions[0] if row is not None and len(row.sessions) == 1 else None

    def target(self) -> Target | None:
        one = self.session()
        if one is not None:
            return Target("ssh_session", one.id, one.title)
        row = None if self.on_lower else self.gateway()
        return Target("gateway", row.name, row.host) if row is not None else None

    def why_not(self, act: Act) -> Reason | None:
        if act.name == "gateways.open":
            return self._why_no_session()
        one = self.session()
        if act.name == "gateways.cut" and (one is None or one.state not in SESSION_LIVE):
            return Reason(
                "no open session is selected" if one is None else f"{one.id} is over", "Tab goes to the sessions"
            )
        if act.name == "gateways.play" and one is None:
            return Reason("no session is selected", "Tab goes to the sessions")
        return None

    def _why_no_session(self) -> Reason | None:
        row = self.gateway()
        if row is None:
            return Reason("no gateway is selected")
        if gateways_view.distrusted(row) and row.looked_at:
            return Reason(f"the host key of {row.name} is {row.host_key}: nothing is sent there")
        if row.why_not:
            return Reason(row.why_not, "a: ask for access")
        return None

    def on_line_table_opened(self, message: LineTable.Opened) -> None:
        if self.on_lower:
            self.console.open("ssh_session", message.key)
        else:
            self.perform(acts.act("gateways.play" if self.session() is not None else "gateways.open"))

    def act_gateways_play(self) -> None:
        one = self.session()
        if one is not None:
            self.console.open("ssh_session", one.id)

    def act_gateways_open(self) -> None:
        row = self.gateway()
        if row is not None:
            self.console.shell(row.name, row.system)
            self.refetch()

    def act_gateways_look(self) -> None:
        self.ask(lambda: self.client.command("gateway.look"), lambda answer: self.refetch(), group="fetch-look")

    def act_gateways_access(self) -> None:
        self.console.go("access")


def _key(row: GatewayRow) -> str:
    return f"{row.system}/{row.name}"
