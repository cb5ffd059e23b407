"""ROS 2 messages as a robot records them: schema texts and plain little-endian CDR, for the few types the sandbox needs."""

from __future__ import annotations

import struct
from collections.abc import Sequence

_HEADER = """================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
"""
JOINT_STATE = (
    "sensor_msgs/msg/JointState",
    "std_msgs/Header header\nstring[] name\nfloat64[] position\nfloat64[] velocity\nfloat64[] effort\n" + _HEADER,
)
JOINT_COMMAND = (
    "sandbox_msgs/msg/JointCommand",
    "std_msgs/Header header\nstring[] name\nfloat64[] position\n" + _HEADER,
)
IMAGE = (
    "sensor_msgs/msg/CompressedImage",
    "std_msgs/Header header\nstring format\nuint8[] data\n" + _HEADER,
)


class _Cdr:
    """Fields appended one by one; alignment counts from behind the four bytes that name the encoding."""

    def __init__(self) -> None:
        self.data = bytearray(b"\x00\x01\x00\x00")

    def align(self, width: int) -> None:
        self.data += b"\x00" * ((4 - len(self.data)) % width)

    def integer(self, code: str, value: int) -> None:
        self.align(struct.calcsize(code))
        self.data += struct.pack(f"<{code}", value)

    def text(self, value: str) -> None:
        raw = value.encode() + b"\x00"
        self.integer("I", len(raw))
        self.data += raw

    def texts(self, values: Sequence[str]) -> None:
        self.integer("I", len(values))
        for value in values:
            self.text(value)

    def floats(self, values: Sequence[float]) -> None:
        self.integer("I", len(values))
        if values:
            self.align(8)
            self.data += struct.pack(f"<{len(values)}d", *values)

    def header(self, ns: int, frame: str) -> None:
        self.integer("i", ns // 1_000_000_000)
        self.integer("I", ns % 1_000_000_000)
        self.text(frame)


def joint_state(ns: int, names: Sequence[str], position: Sequence[float], velocity: Sequence[float]) -> bytes:
    """Positions rad, velocities rad/s."""
    cdr = _Cdr()
    cdr.header(ns, "base")
    cdr.texts(names)
    cdr.floats(position)
    cdr.floats(velocity)
    cdr.floats(())
    return bytes(cdr.data)


def joint_command(ns: int, names: Sequence[str], position: Sequence[float]) -> bytes:
    cdr = _Cdr()
    cdr.header(ns, "base")
    cdr.texts(names)
    cdr.floats(position)
    return bytes(cdr.data)


def image(ns: int, frame: str, picture: bytes) -> bytes:
    """A picture as JPEG, with the frame of the camera that took it."""
    cdr = _Cdr()
    cdr.header(ns, frame)
    cdr.text("jpeg")
    cdr.integer("I", len(picture))
    cdr.data += picture
    return bytes(cdr.data)
