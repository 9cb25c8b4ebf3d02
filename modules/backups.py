"""Backups by restic, on a schedule."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, types

module = Module("backups", "Backups by restic, on a schedule.")

HOSTS_OWN = "/usr/bin/restic"
PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")


def wrong_name(name: str) -> str:
    """What is wrong with a name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", name) else "has only letters, digits, _ and -"


def wrong_period(name: str) -> str:
    """What is wrong with the name of a period; empty: nothing."""
    return "" if name in PERIODS else f"is one of {', '.join(PERIODS)}"


module.option(
    "backups",
    types.attributes_of(
        Submodule(
            {
                "package": Field(
                    types.package_or_host,
                    "Where restic comes from: ${pkgs.NAME}, or host: the host's own.",
                    example="host",
                ),
                "repository": Field(types.word, "Where to: a directory, or such as sftp:backup@vault:/web1."),
                "password_file": Field(types.absolute_path, "A file on the host that holds the repository's password."),
                "environment_file": Field(
                    types.null_or(types.absolute_path), "A file on the host with variables such as AWS_ACCESS_KEY_ID.", None
                ),
                "paths": Field(types.list_of(types.absolute_path), "What is backed up."),
                "exclude": Field(types.list_of(types.word), "Patterns of what is left out.", [], ["*.tmp"]),
                "before": Field(
                    types.list_of(types.string), "A program, with its arguments, that runs first: it may dump a database.", []
                ),
                "schedule": Field(types.word, "When: a calendar event of systemd.time(7).", "daily"),
                "spread": Field(types.duration, "Seconds within which it starts at random.", 0.0, "30min"),
                "keep": Field(
                    types.attributes_of(types.integer(1, 10000), wrong_period),
                    "How many backups of each period stay; empty: all.",
                    {},
                    {"daily": 7, "weekly": 5},
                ),
            },
            "a mapping that describes a backup",
        ),
        wrong_name,
    ),
    "Backups, by name: each is a job `backup-NAME`, whose first run makes the repository where there is none. The password is in "
    "a file of the host's: it is in no configuration and no store.",
    default={},
    example={"data": {"package": "host", "repository": "/mnt/b", "password_file": "/root/key", "paths": ["/srv"]}},
)

SCRIPT = 'set -eu; restic=$1; shift; "$restic" cat config >/dev/null 2>&1 || "$restic" init; "$restic" backup "$@"'
"""The repository is made where there is none."""


def job(name: str, one: Mapping[str, Any]) -> dict[str, object]:
    """What runs, and when."""
    restic = program_of(one)
    arguments = [*(f"--exclude={pattern}" for pattern in one["exclude"]), "--", *one["paths"]]
    service: dict[str, object] = {"Nice": 10, "IOSchedulingClass": "idle", "CacheDirectory": f"backup-{name}", "PrivateTmp": True}
    if one["environment_file"] is not None:
        service["EnvironmentFile"] = one["environment_file"]
    if one["before"]:
        service["ExecStartPre"] = command_line(one["before"])
    if one["keep"]:
        kept = [f"--keep-{period}={one['keep'][period]}" for period in PERIODS if period in one["keep"]]
        service["ExecStartPost"] = command_line([restic, "forget", "--prune", *kept])
    return {
        "description": f"Backup {name}",
        "command": ["/bin/sh", "-c", SCRIPT, "backup", restic, *arguments],
        "schedule": one["schedule"],
        "spread": one["spread"],
        "environment": {
            "RESTIC_REPOSITORY": one["repository"],
            "RESTIC_PASSWORD_FILE": one["password_file"],
            "RESTIC_CACHE_DIR": f"/var/cache/backup-{name}",
        },
        "service": service,
    }


def program_of(one: Mapping[str, Any]) -> str:
    """Where restic is."""
    return HOSTS_OWN if one["package"] == "host" else f"{one['package']}/bin/restic"


@module.defines("jobs")
def jobs(config: ConfigView) -> dict[str, object]:
    """A job for each."""
    return {f"backup-{name}": job(name, one) for name, one in config["backups"].items()}


@module.defines("systemd.loaded_programs")
def loaded(config: ConfigView) -> dict[str, list[str]]:
    """A restic of a package's own libraries reads the host's files."""
    return {f"backup-{name}": [program_of(one)] for name, one in config["backups"].items() if one["package"] != "host"}


@module.defines("checks")
def scheduled(config: ConfigView) -> dict[str, object]:
    """A backup that nothing will start is none."""
    return {f"backup-{name}-timer": {"kind": "unit", "unit": f"backup-{name}.timer"} for name in config["backups"]}


@module.defines("requires.paths")
def programs(config: ConfigView) -> dict[str, list[str]]:
    """What the host must bring."""
    names = [f"`backups.{name}`" for name, one in config["backups"].items() if one["package"] == "host"]
    return {HOSTS_OWN: names} if names else {}


@module.asserts
def backups_are_whole(config: ConfigView) -> Iterator[Fault]:
    """A backup of nothing is a mistake, and a password is no part of an address."""
    for name, one in config["backups"].items():
        if not one["paths"]:
            yield Fault(f"backup '{name}' has nothing to back up", "Name `paths`.", f"backups.{name}.paths")
        if re.search(r"://[^/@]*:[^/@]+@", one["repository"]):
            message = f"the repository of backup '{name}' has a password in its address, where everybody can read it"
            yield Fault(message, "Give it in `environment_file`, and make a new one.", f"backups.{name}.repository")
