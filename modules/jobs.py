"""Jobs on a schedule: what cron is for, by systemd's timers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, quoted, types

module = Module("jobs", "Jobs on a schedule: what cron is for, by systemd's timers.")


def wrong_name(name: str) -> str:
    """What is wrong with a job's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}", name) else "has only letters, digits and _ . -"


def wrong_variable(name: str) -> str:
    """What is wrong with a variable's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "has only letters, digits and _"


module.option(
    "jobs",
    types.attributes_of(
        Submodule(
            {
                "description": Field(types.line, "One line for people.", ""),
                "command": Field(types.list_of(types.string), "Program and arguments, each letter for letter."),
                "schedule": Field(
                    types.OneOrMany(types.word), "When: calendar events of systemd.time(7).", "daily", ["Mon *-*-* 04:00"]
                ),
                "user": Field(types.name, "As whom.", "root"),
                "environment": Field(
                    types.attributes_of(types.line, wrong_variable), "Variables. No secrets: everybody can read them.", {}
                ),
                "spread": Field(
                    types.duration, "Seconds within which it starts at random, so that not all hosts do at once.", 0.0, "15min"
                ),
                "catch_up": Field(
                    types.boolean, "Whether a run that was missed, because the host was down, is made up for.", True
                ),
                "timeout": Field(types.null_or(types.duration), "Seconds after which it is ended; null: never.", None, "1h"),
                "service": Field(
                    types.attributes_of(types.OneOrMany(types.setting)), "More directives of [Service].", {}, {"Nice": 10}
                ),
            },
            "a mapping that describes a job",
        ),
        wrong_name,
    ),
    "Commands that run on a schedule, by name; what they print is in the journal of NAME.service.",
    default={},
    example={"tidy": {"command": ["/usr/bin/find", "/var/tmp/app", "-mtime", "+7", "-delete"], "schedule": "daily"}},
)


def service_of(name: str, job: Mapping[str, Any]) -> dict[str, object]:
    """What runs."""
    own: dict[str, object] = {"Type": "oneshot", "ExecStart": command_line(job["command"])}
    if job["user"] != "root":
        own["User"] = job["user"]
    if job["environment"]:
        own["Environment"] = [quoted(f"{key}={value}") for key, value in sorted(job["environment"].items())]
    if job["timeout"] is not None:
        own["TimeoutStartSec"] = f"{job['timeout']:g}"
    return {"description": job["description"] or f"Job {name}", "service": own | job["service"]}


@module.defines("systemd.services")
def services(config: ConfigView) -> dict[str, object]:
    """What runs."""
    return {name: service_of(name, job) for name, job in config["jobs"].items()}


@module.defines("systemd.timers")
def timers(config: ConfigView) -> dict[str, object]:
    """When it runs."""
    return {
        name: {
            "wanted_by": ["timers.target"],
            "timer": {
                "OnCalendar": job["schedule"],
                "Persistent": job["catch_up"],
                "RandomizedDelaySec": f"{job['spread']:g}",
            },
        }
        for name, job in config["jobs"].items()
    }


@module.asserts
def jobs_can_run(config: ConfigView) -> Iterator[Fault]:
    """A job has a program, and a time."""
    for name, job in config["jobs"].items():
        if not job["command"] or not job["command"][0].startswith("/"):
            remedy = "Begin `command` with an absolute path, or with ${pkgs.NAME}/bin/PROGRAM."
            yield Fault(f"job '{name}' names no program by an absolute path", remedy, f"jobs.{name}.command")
        if not job["schedule"]:
            yield Fault(f"job '{name}' has an empty `schedule`", "Say when, such as daily.", f"jobs.{name}.schedule")
