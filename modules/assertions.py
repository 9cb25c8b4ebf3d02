"""What must hold of a configuration, in the words of whoever wrote it."""

from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("assertions", "What must hold of a configuration, in the words of whoever wrote it.")

module.option(
    "assertions",
    types.attributes_of(
        Submodule(
            {
                "that": Field(types.boolean, "What must be true. Left out, it is not: useful below `when`.", False),
                "message": Field(types.word, "What is wrong where it is not."),
                "remedy": Field(types.line, "What to do then.", ""),
                "severity": Field(
                    types.enumeration("error", "warning"), "Whether that ends the evaluation, or is only told.", "error"
                ),
            },
            "a mapping that describes an assertion",
        )
    ),
    "What must hold, by name. A file can make them depend on conditions, by `when`.",
    default={},
    example={"one-time-source": {"that": "${host.vars.ntp}", "message": "the host has no source of time"}},
)


def broken(config: ConfigView, severity: str) -> Iterator[Fault]:
    """What does not hold."""
    found: Mapping[str, Mapping[str, Any]] = config["assertions"]
    for name, one in found.items():
        if one["severity"] == severity and not one["that"]:
            yield Fault(one["message"], one["remedy"] or f"Make the assertion '{name}' true.", f"assertions.{name}")


@module.asserts
def what_must_hold(config: ConfigView) -> Iterator[Fault]:
    """What ends the evaluation."""
    yield from broken(config, "error")


@module.warns
def what_is_only_told(config: ConfigView) -> Iterator[Fault]:
    """What is worth a word."""
    yield from broken(config, "warning")
