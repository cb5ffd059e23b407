"""One simulated robot: duty, people, network, interventions, and the update agent, advanced event by event.

Every process draws from its own seeded stream, and interventions use a hazard clock (they come when the accumulated
rate times operating time reaches an exponential draw). So what a robot does is a function of the seed and of what it
was told, whatever the order or frequency in which somebody asks.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable

from connectors.sandbox.sites import Profile
from connectors.sandbox.timeline import Segment, Timeline, idle_from

NEVER = math.inf
HOUR = 3600.0
LOCALIZATION_PER_H = 0.0003  # the old software loses localisation 3 times in 10,000 h; the new one fixes that
SPECIAL = (("SEMIAUTOMATIC", 0.35), ("MANUAL", 0.45), ("TEACH_IN", 0.08), ("SERVICE", 0.12))
DRAIN_PER_H, CHARGE_PER_H, REST_PER_H = 0.075, 0.95, 0.01  # a charge lasts a shift with half in reserve


class Device:
    """The update server's record of a robot, with gooseBit's fields."""

    def __init__(self, version: str) -> None:
        self.sw_version: str = version
        self.software: int | None = None
        self.mode = "Rollout"
        self.feed: str | None = "default"
        self.state = "Registered"
        self.force = False
        self.progress: int | None = None
        self.log: str | None = None
        self.name: str | None = None


class Install:
    """One run of the update agent. `phase`: downloading, waiting, installing, rebooting, starting."""

    def __init__(self, version: str, software: int, since: float) -> None:
        self.version, self.software, self.phase, self.since = version, software, "downloading", since


class Rules:
    """What the world decides about a robot: passed in, so that a robot knows no scenario."""

    def __init__(
        self,
        *,
        rate_per_h: Callable[[Robot], float],
        refusal: Callable[[Robot, str], str],
        failure: Callable[[Robot, str], str],
        target: Callable[[Robot], tuple[str, int] | None],
        finished: Callable[[Robot, float, str, str, str], None],
        dark_after: Callable[[Robot, str], float | None],
        previous: str,
    ) -> None:
        self.rate_per_h, self.refusal, self.failure, self.target = rate_per_h, refusal, failure, target
        self.finished, self.dark_after, self.previous = finished, dark_after, previous


class Robot:
    def __init__(
        self, profile: Profile, seed: int, t0: float, version: str, rules: Rules, *, offline: bool = False
    ) -> None:
        self.profile, self.id, self.rules, self.version = profile, profile.id, rules, version
        self.device = Device(version)
        self.install: Install | None = None
        self.attempts: dict[str, int] = {}
        self._streams = {
            k: random.Random(f"{seed}:{profile.id}:{k}") for k in ("duty", "people", "net", "events", "agent")
        }
        self.online, self.dark, self.charging, self.intervened, self.rebooting, self.starting = (
            not offline,
            False,
            False,
            False,
            False,
            False,
        )
        self.special = ""
        self.last_contact = t0
        self._rate = 0.0
        self._hazard = {"intervention": self._exp("events", 1.0), "localization": self._exp("events", 1.0)}
        self.due: dict[str, float] = {
            "duty": t0 + self._streams["duty"].uniform(0.2, 5.0) * HOUR,
            "people": t0 + self._exp("people", 60 * HOUR),
            "net": t0 + self._exp("net", 72 * HOUR) if not offline else NEVER,
            "intervention": NEVER,
            "localization": NEVER,
            "recovered": NEVER,
            "poll": NEVER,
            "agent": NEVER,
            "dark": NEVER,
        }
        level = self._streams["duty"].uniform(0.65, 0.95)
        self.line = Timeline(
            Segment(t0, "AUTOMATIC", self.online, self.online, version, False, 0.0, 0.0, level, 0.0, 0.0, t0 - 86400.0)
        )
        self.next = t0
        self._settle(t0)

    # -- advancing ----------------------------------------------------------------------------------------------------

    def advance(self, t: float) -> None:
        """Brings the robot to `t`. Costs nothing when nothing is due."""
        while self.next <= t:
            name = min(self.due, key=self.due.__getitem__)
            when = self.due[name]
            self.due[name] = NEVER
            getattr(self, f"_on_{name}")(when)
            self.next = min(self.due.values())

    def wake(self) -> None:
        """After `due` was changed from outside."""
        self.next = min(self.due.values())

    def _exp(self, stream: str, mean: float) -> float:
        return self._streams[stream].expovariate(1.0) * mean

    @property
    def mode(self) -> str:
        if self.rebooting or self.starting:
            return "STARTUP"
        if self.intervened:
            return "INTERVENED"
        return self.special or "AUTOMATIC"

    @property
    def _op_rate(self) -> float:
        held = self.charging or (self.install is not None and self.install.phase in ("installing", "rebooting"))
        return 0.0 if held or self.mode not in ("AUTOMATIC", "SEMIAUTOMATIC") else 1.0

    def _settle(self, t: float, booted: bool = False) -> None:
        """Closes the running segment at `t`, opens the next, and sets the hazard clocks by the new rates."""
        before = self.line.last
        spent = before.op_rate * (t - before.t0)
        if spent > 0:
            self._hazard["intervention"] -= self._rate * spent
            self._hazard["localization"] -= self._localization_rate(before.version) * spent
        op = self._op_rate
        slope = CHARGE_PER_H if self.charging else -DRAIN_PER_H if op else -REST_PER_H
        self.line.cut(
            t,
            mode=self.mode,
            online=self.online and not self.rebooting,
            visible=self.online and not self.rebooting and not self.dark,
            version=self.version,
            charging=self.charging,
            op_rate=op,
            battery_slope=slope / HOUR,
            booted=booted,
        )
        self._rate = self.rules.rate_per_h(self) / HOUR
        for name, rate in (("intervention", self._rate), ("localization", self._localization_rate(self.version))):
            self.due[name] = t + max(0.0, self._hazard[name]) / (rate * op) if rate * op > 0 else NEVER
        self.next = min(self.due.values())

    def _localization_rate(self, version: str) -> float:
        return LOCALIZATION_PER_H / HOUR if version == self.rules.previous else 0.0

    # -- life ---------------------------------------------------------------------------------------------------------

    def _on_duty(self, t: float) -> None:
        self.charging = not self.charging
        low, high = (0.55, 0.8) if self.charging else (4.0, 6.0)
        self.due["duty"] = t + self._streams["duty"].uniform(low, high) * HOUR
        self._settle(t)

    def _on_people(self, t: float) -> None:
        stream = self._streams["people"]
        if self.special:
            self.special = ""
            self.due["people"] = t + self._exp("people", 60 * HOUR)
        else:
            self.special = stream.choices([s[0] for s in SPECIAL], [s[1] for s in SPECIAL])[0]
            self.due["people"] = t + stream.uniform(600, 2700)
        self._settle(t)

    def _on_net(self, t: float) -> None:
        self.online = not self.online
        if self.online:
            self.due["net"] = t + self._exp("net", 72 * HOUR)
            self.due["poll"] = t + 5.0
        else:
            self.last_contact = self.last_poll(t)
            self.due["net"] = t + self._streams["net"].lognormvariate(math.log(1200), 0.6)
        self._settle(t)

    def _on_intervention(self, t: float) -> None:
        self.line.interventions.append(t)
        self.intervened = True
        self._settle(t)
        self._hazard["intervention"] = self._exp("events", 1.0)
        self.due["recovered"] = t + self._streams["events"].uniform(60, 240)

    def _on_recovered(self, t: float) -> None:
        self.intervened = False
        self._settle(t)

    def _on_localization(self, t: float) -> None:
        self.line.localization.append(t)
        self._settle(t)
        self._hazard["localization"] = self._exp("events", 1.0)
        self._settle(t)

    def _on_dark(self, t: float) -> None:
        self.dark = True
        self._settle(t)

    # -- the update agent ---------------------------------------------------------------------------------------------

    def last_poll(self, t: float) -> float:
        """When it last asked the update server: its poll grid, up to the moment it lost the network."""
        if not self.online:
            return self.last_contact
        phase, every = self.profile.poll_phase, self.profile.poll_s
        return max(self.last_contact, math.floor((t - phase) / every) * every + phase)

    def next_poll(self, t: float) -> float:
        phase, every = self.profile.poll_phase, self.profile.poll_s
        return (math.floor((t - phase) / every) + 1) * every + phase

    def told(self, t: float) -> None:
        """The server's record changed at `t`: the robot learns of it at its next poll."""
        if self.online and self.install is None:
            self.due["poll"] = self.next_poll(t)
            self.wake()

    def drop_offline(self, t: float, seconds: float) -> None:
        """Loses the network now, for `seconds`."""
        if self.online:
            self.last_contact = self.last_poll(t)
            self.online = False
        self.due["net"] = t + seconds
        self.due["poll"] = NEVER
        self._settle(t)

    def _on_poll(self, t: float) -> None:
        if not self.online or self.install is not None:
            return
        self.last_contact = t
        target = self.rules.target(self)
        if target is None:
            return
        version, software = target
        self.install = Install(version, software, t)
        self.device.state, self.device.log, self.device.progress = "Running", "", 0
        self.due["agent"] = t + self.profile.download_s * self._streams["agent"].uniform(0.9, 1.2)

    def progress(self, t: float) -> int | None:
        """Percent downloaded, as the server has it."""
        if self.install is None or self.install.phase != "downloading":
            return self.device.progress
        return min(90, int((t - self.install.since) / self.profile.download_s * 10) * 10)

    def _on_agent(self, t: float) -> None:
        if self.install is None:
            return
        if not self.online and self.install.phase in ("downloading", "starting"):
            self.due["agent"] = t + 60.0  # it needs the network to go on, and tries again
            return
        getattr(self, f"_after_{self.install.phase}")(t, self.install)

    def _after_downloading(self, t: float, install: Install) -> None:
        self._say("Downloaded 100%")
        self.device.progress = 100
        refusal = self.rules.refusal(self, install.version)
        if refusal:
            self._close(t, install, refusal)
            return
        install.phase = "waiting"
        self._after_waiting(t, install)

    def _after_waiting(self, t: float, install: Install) -> None:
        """Installs when it holds no order and nobody works on it."""
        if self.mode not in ("AUTOMATIC", "SEMIAUTOMATIC"):
            self.due["agent"] = t + 60.0
            return
        idle = idle_from(self.line.last, t, self.profile.task_s)
        if idle > t + 1e-6:
            self.due["agent"] = idle + 0.01
            return
        self._say("Installing")
        install.phase = "installing"
        self.due["agent"] = t + self.profile.install_s * self._streams["agent"].uniform(0.9, 1.2)
        self._settle(t)

    def _after_installing(self, t: float, install: Install) -> None:
        self.attempts[install.version] = self.attempts.get(install.version, 0) + 1
        failure = self.rules.failure(self, install.version)
        if failure:
            self._close(t, install, failure)
            return
        self._say("Rebooting")
        install.phase, self.rebooting = "rebooting", True
        self.intervened, self.due["recovered"] = False, NEVER
        self.due["agent"] = t + self.profile.reboot_s
        self._settle(t)

    def _after_rebooting(self, t: float, install: Install) -> None:
        self.version, self.rebooting, self.starting, install.phase = install.version, False, True, "starting"
        self.due["agent"] = t + 60.0
        self._settle(t, booted=True)

    def _after_starting(self, t: float, install: Install) -> None:
        self._close(t, install, "")

    def _close(self, t: float, install: Install, failure: str) -> None:
        before = self.device.sw_version
        self.install, self.starting = None, False
        self.device.force = False
        self.last_contact = t
        if failure:
            self.device.state = "Error"
            self._say(failure)
        else:
            self.device.state, self.device.progress, self.device.sw_version = "Finished", 100, install.version
            self._say("Installed")
            self.dark, self.due["dark"] = False, NEVER
            dark_after = self.rules.dark_after(self, install.version)
            if dark_after is not None:
                self.due["dark"] = t + dark_after
        self._settle(t)
        self.due["poll"] = self.next_poll(t) if self.online else NEVER
        self.wake()
        self.rules.finished(self, t, before, install.version, failure)

    def _say(self, line: str) -> None:
        self.device.log = (self.device.log or "") + line + "\n"
