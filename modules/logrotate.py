"""Log files that programs write themselves, and when they are put aside."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("logrotate", "Log files that programs write themselves, and when they are put aside.")

PROGRAM = "/usr/sbin/logrotate"


def wrong_name(name: str) -> str:
    """What is wrong with a name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", name) else "has only letters, digits, _ and -"


PATTERN = types.text("an absolute path or pattern", pattern=r"/[^\n\r\"]*")

module.option(
    "logrotate",
    types.attributes_of(
        Submodule(
            {
                "files": Field(types.list_of(PATTERN), "Paths and patterns of the log files."),
                "frequency": Field(types.enumeration("daily", "weekly", "monthly"), "How often.", "weekly"),
                "keep": Field(types.integer(0, 10000), "How many old ones stay.", 8),
                "max_size": Field(types.null_or(types.size), "Bytes from which on a file is put aside earlier.", None, "100M"),
                "compress": Field(types.boolean, "Whether old ones are compressed.", True),
                "copy": Field(types.boolean, "Whether to copy and empty the file, for programs that can't open it anew.", False),
                "after": Field(
                    types.line, "A command of a shell that has the program open its file anew.", "", "systemctl reload app"
                ),
            },
            "a mapping that describes log files",
        ),
        wrong_name,
    ),
    "Log files, by name. The host's own logrotate must accept what it is told before anything changes.",
    default={},
    example={"app": {"files": ["/var/log/app/*.log"], "frequency": "daily", "keep": 14}},
)


def section(name: str, one: Mapping[str, Any]) -> str:
    """As logrotate(8) has it."""
    words = [one["frequency"], f"rotate {one['keep']}", "missingok", "notifempty"]
    words += [f"maxsize {one['max_size']}"] if one["max_size"] is not None else []
    words += ["compress", "delaycompress"] if one["compress"] else ["nocompress"]
    words += ["copytruncate"] if one["copy"] else []
    words += ["sharedscripts", "postrotate", f"    {one['after']}", "endscript"] if one["after"] else []
    files = " ".join(f'"{path}"' for path in one["files"])
    return f"{files} {{\n" + "".join(f"    {word}\n" for word in words) + "}\n"


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """A file for each name."""
    return {
        f"logrotate.d/deployer-{name}": {"text": section(name, one), "validate": [PROGRAM, "--debug", "{file}"]}
        for name, one in config["logrotate"].items()
    }


@module.defines("requires.paths")
def program(config: ConfigView) -> dict[str, list[str]]:
    """The host's own timer runs the host's own program."""
    return {PROGRAM: ["`logrotate`"]} if config["logrotate"] else {}


@module.asserts
def each_file_is_said_once(config: ConfigView) -> Iterator[Fault]:
    """logrotate skips what is said twice."""
    taken: dict[str, str] = {}
    for name, one in config["logrotate"].items():
        if not one["files"]:
            yield Fault(f"logrotate '{name}' names no file", "Add `files`.", f"logrotate.{name}.files")
        for path in one["files"]:
            if path in taken:
                message = f"logrotate '{taken[path]}' and '{name}' both name {path}"
                yield Fault(message, "Leave it to one.", f"logrotate.{name}.files", f"logrotate.{taken[path]}.files")
            taken.setdefault(path, name)
