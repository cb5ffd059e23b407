"""What was measured in a recording, before anybody judges it. Times in ns of the recording's own clock.

Facts do not depend on a profile, except that values outside the limits of an action are looked for while the file is read.
They stay small however long the recording is: worst places are kept, the rest is counted.
"""

from __future__ import annotations

from msgspec import Struct, field

WORST = 20
"""How many places of one sort are kept for one topic."""


class Span(Struct, array_like=True):
    """A place: from, to (ns), and how the message counter moved over it (0: no counter)."""

    t0: int
    t1: int
    counted: int = 0

    @property
    def length(self) -> int:
        return self.t1 - self.t0


class Values(Struct, kw_only=True):
    """What the numbers of one topic look like. `beyond` counts messages outside the limits."""

    dims: int = 0
    names: tuple[str, ...] = ()
    messages: int = 0
    undecoded: int = 0
    not_finite: int = 0
    not_finite_at: int = -1
    beyond: int = 0
    beyond_from: int = -1
    beyond_to: int = -1
    beyond_worst: float = 0.0
    beyond_dim: int = -1
    zero: int = 0
    empty: int = 0
    constant: bool = False
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


class TopicFacts(Struct, kw_only=True):
    """One stream. `period_s` is the median time between messages; `missing` how many were due and are not there."""

    name: str
    type: str = ""
    encoding: str = ""
    role: str = "other"
    messages: int = 0
    bytes: int = 0
    first: int = 0
    last: int = 0
    period_s: float = 0.0
    slowest_s: float = 0.0
    fastest_s: float = 0.0
    missing: int = 0
    gaps: list[Span] = field(default_factory=list)
    backwards: list[Span] = field(default_factory=list)
    backwards_count: int = 0
    shuffled: int = 0
    """Backward steps that the message counter explains: written out of order, the times themselves are right."""
    repeated: int = 0
    """Messages that stand twice: same time, same counter."""
    frozen: int = 0
    """Messages with the time of the one before, and a counter of their own."""
    counted: bool = False
    """Whether the publisher numbers its messages one by one."""
    values: Values | None = None
    frame_ids: dict[str, int] = field(default_factory=dict)
    broken_frames: int = 0

    @property
    def hz(self) -> float:
        return 1.0 / self.period_s if self.period_s > 0 else 0.0

    @property
    def drop_ratio(self) -> float:
        due = self.messages + self.missing
        return self.missing / due if due else 0.0


class Skew(Struct, kw_only=True):
    """How far apart in time the frames of two cameras are: the 95th percentile and the worst, in s."""

    reference: str
    other: str
    frames: int
    p95_s: float
    worst_s: float
    worst_at: int


class Event(Struct, array_like=True):
    """Something the recording says about itself. `kind` e.g. intervention, safety."""

    t0: int
    t1: int
    kind: str
    text: str = ""


class Damage(Struct, kw_only=True):
    """What is wrong with the container itself.

    `truncated_at` is the offset of the first record that is not whole (-1: none); `salvage` how many messages stand before
    the cut in a chunk that is not whole. `bad_chunks` hold a checksum that doesn't match.
    """

    truncated_at: int = -1
    lost_bytes: int = 0
    salvage: int = 0
    bad_chunks: list[Span] = field(default_factory=list)
    bad_chunk_count: int = 0
    bad_data_crc: bool = False
    unreadable: str = ""
    index_wrong: int = 0
    no_summary: bool = False
    summary_wrong: str = ""
    trailing_bytes: int = 0
    unknown_channels: int = 0
    unknown_records: int = 0


class Facts(Struct, kw_only=True):
    """One session as measured. `metadata` holds the recording's own small maps by name."""

    format: str
    digest: str
    bytes: int
    start: int = 0
    end: int = 0
    messages: int = 0
    topics: list[TopicFacts] = field(default_factory=list)
    skews: list[Skew] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    events_cut: int = 0
    metadata: dict[str, dict[str, str]] = field(default_factory=dict)
    attachments: list[tuple[str, str, int]] = field(default_factory=list)
    damage: Damage = field(default_factory=Damage)
    fingerprint: str = ""
    trajectory: str = ""
    container: str = ""
    columns: list[str] = field(default_factory=list)
    """LeRobot: what each row and film holds, as the set declares it."""
    episode: int = -1
    frames: int = 0
    fps: float = 0.0
    rows_of_video: list[tuple[str, int, int]] = field(default_factory=list)
    """LeRobot: camera, frames of video, rows of the table."""
    sizes: list[tuple[str, int, int]] = field(default_factory=list)
    """LeRobot: file, bytes, limit, for shards above the format's limits."""
    problems: list[tuple[str, str]] = field(default_factory=list)
    """Check and sentence, for what the format itself contradicts."""

    @property
    def duration_s(self) -> float:
        return max(0.0, (self.end - self.start) / 1e9)
