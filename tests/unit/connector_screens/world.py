"""Systems as an engine would tell of them: one well, one failing, one stale, one at rest."""

from __future__ import annotations

from typing import Any

from engine.contract.conformance import CheckReport, PromiseResult
from engine.contract.systems import (
    CallPage,
    CallView,
    FeedView,
    FieldView,
    KindPage,
    KindView,
    MirrorObject,
    MirrorPage,
    RightView,
    SecretView,
    SystemPage,
    SystemView,
)
from tests.fakes import BASE, FakeClient

UPDATES = SystemView(
    id="updates", kind="system", rev=2, state="active", title="gooseBit", created_at=BASE - 86_400, created_by="ana", name="updates",
    system_kind="goosebit", kind_title="gooseBit", url="https://updates.example", origin="added", secret="updates", serves=("updates",), first=("updates",),
    options={"username": "quarterdeck", "timeout_s": 20}, health="ok", says="gooseBit 0.2.12", checked_at=BASE - 12, latency_s=0.031, objects=212,
    docs="gooseBit 0.2.12, tested against the real server",
    feeds=(
        FeedView(kind="device", title="Devices", state="fresh", objects=200, every_s=60, stale_s=300, tried_at=BASE - 12, synced_at=BASE - 12,
                 full_at=BASE - 600, next_at=BASE + 48, took_s=0.4, changed=3),
        FeedView(kind="software", title="Software", state="fresh", objects=12, every_s=300, stale_s=900, synced_at=BASE - 100, next_at=BASE + 200, skew_s=4.2),
    ),
    rights=(RightView(name="device:read", has=True, needed_for="fleet"), RightView(name="rollout:write", has=False, needed_for="its own rollouts"),
            RightView(name="user:read", needed_for="nothing here")),
    traits={"updates": {"withdraw": "a robot that is installing goes on; it can't be stopped from the server"}},
    secrets=(SecretView(field="secret", entry="updates", stored=True),),
)  # fmt: skip
JIRA = SystemView(
    id="jira", kind="system", state="active", name="jira", system_kind="jira", kind_title="Jira", url="https://jira.example", serves=("tickets",), first=("tickets",),
    health="failing", error="503 Service Unavailable: down for maintenance", failing_since=BASE - 1400, checked_at=BASE - 20, stale=True, objects=41,
    created_by="ana", created_at=BASE - 500_000, receives=True,
    feeds=(FeedView(kind="issue", title="Issues", state="failing", objects=41, every_s=60, stale_s=300, synced_at=BASE - 1400, failures=9,
                    error="503 Service Unavailable", next_at=BASE + 60),),
    secrets=(SecretView(field="secret", entry="jira", stored=True), SecretView(field="webhook_secret", entry="jira.webhook_secret")),
)  # fmt: skip
SIGNALS = SystemView(id="signals", kind="system", state="active", name="signals", system_kind="prometheus", kind_title="Prometheus", origin="settings",
                     url="https://metrics.example", serves=("signals",), first=("signals",), health="ok", says="Prometheus 2.42.0")  # fmt: skip
REST = SystemView(id="labels", kind="system", state="suspended", name="labels", system_kind="labelstudio", kind_title="Label Studio", serves=("labels",),
                  health="unknown", created_by="bo", created_at=BASE - 9000,
                  feeds=(FeedView(kind="task", state="suspended", objects=7, every_s=60, synced_at=BASE - 7200),))  # fmt: skip
KINDS = KindPage(
    kinds=(
        KindView(kind="goosebit", title="gooseBit", capabilities=("updates",), package="quarterdeck", docs="0.2.12, tested against the real server",
                 fields=(FieldView(name="url", required=True, description="base URL"), FieldView(name="secret", required=True, secret=True, description="password or token"),
                         FieldView(name="username", description="user of the form login"), FieldView(name="timeout_s", type="number", description="seconds one call may take (20)"),
                         FieldView(name="allow_plaintext", type="boolean", description="http to another machine"))),
        KindView(kind="depot", title="Depot", capabilities=("tickets", "notify"), package="acme-quarterdeck", fields=(FieldView(name="sites", type="array", required=True, description="sites"),)),
        KindView(kind="ray", title="Ray Jobs", capabilities=("training",), package="quarterdeck", error="No module named 'ray'"),
    )
)  # fmt: skip
CALLS = CallPage(
    calls=(CallView(at=BASE - 60, method="GET", path="/api/v1/devices", status=200, ms=31.2, bytes=20_412),
           CallView(at=BASE - 12, method="PATCH", path="/api/v1/devices", status=0, ms=20_000, error="no answer within 20 s", attempt=2)), as_of=BASE,
)  # fmt: skip
OBJECTS = MirrorPage(
    objects=(MirrorObject(system="updates", kind="device", id="HAM2-amr-0117", name="HAM2-amr-0117", state="Finished", changed_at=BASE - 3600),
             MirrorObject(system="updates", kind="device", id="HAM2-amr-0118", state="None", deleted_at=BASE - 60)), total=212, as_of=BASE,
)  # fmt: skip
REPORT = CheckReport(
    system="updates", kind="goosebit", at=BASE, kept=2, broken=1, skipped=1,
    results=(PromiseResult(capability="updates", name="check-names-the-server", says="check() proves the connection", outcome="kept"),
             PromiseResult(capability="updates", name="releases-are-named", says="releases have a version", outcome="kept"),
             PromiseResult(capability="updates", name="reports-are-sound", says="there is one report for each robot", outcome="broken", reason="amr-1 is reported twice"),
             PromiseResult(capability="updates", name="strangers-are-refused", says="an unknown robot is refused", outcome="skipped", write=True, reason="it is tried by writing only (--write)")),
)  # fmt: skip


def client(*systems: SystemView, **more: Any) -> FakeClient:
    fake = FakeClient(person="ana", roles=("admin",), **more)
    fake.answers_to["/v1/connectors"] = SystemPage(systems=systems, as_of=BASE)
    fake.answers_to["/v1/connectors/kinds"] = KINDS
    for one in systems:
        fake.answers_to[f"/v1/connectors/{one.id}"] = one
        fake.answers_to[f"/v1/connectors/{one.id}/log"] = CALLS
        fake.answers_to[f"history/system/{one.id}"] = ()
    fake.answers_to["/v1/mirror"] = OBJECTS
    return fake
