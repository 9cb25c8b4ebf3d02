"""What every shell finds in its environment."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Module, types

module = Module("environment", "What every shell finds in its environment.")


def wrong_variable(name: str) -> str:
    """What is wrong with a variable's name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) else "has only letters, digits and _"


def wrong_alias(name: str) -> str:
    """What is wrong with an alias; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9_.+-]+", name) else "has only letters, digits and _ . + -"


module.option(
    "environment.variables",
    types.attributes_of(types.line, wrong_variable),
    "Variables of login shells and of users' services, letter for letter. No secrets: everybody can read them.",
    default={},
    example={"EDITOR": "vim"},
)
module.option(
    "environment.aliases",
    types.attributes_of(types.line, wrong_alias),
    "Aliases of login shells.",
    default={},
    example={"ll": "ls -l"},
)


def in_quotes(text: str) -> str:
    """As every shell takes a text letter for letter."""
    return "'" + text.replace("'", "'\\''") + "'"


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """Login shells read the one, users' own systemd the other."""
    variables, aliases = config["environment.variables"], config["environment.aliases"]
    lines = [f"export {name}={in_quotes(value)}" for name, value in sorted(variables.items())]
    lines += [f"alias {name}={in_quotes(value)}" for name, value in sorted(aliases.items())]
    made: dict[str, object] = (
        {"profile.d/deployer-environment.sh": {"text": "".join(f"{line}\n" for line in lines)}} if lines else {}
    )
    of_users = "".join(f"{name}={in_double_quotes(value)}\n" for name, value in sorted(variables.items()))
    return made | ({"environment.d/60-deployer.conf": {"text": of_users}} if of_users else {})


def in_double_quotes(text: str) -> str:
    """As environment.d(5) takes a text letter for letter."""
    return '"' + re.sub(r'([\\"$`])', r"\\\1", text) + '"'


@module.asserts
def the_path_is_not_replaced(config: ConfigView) -> Iterator[Fault]:
    """PATH is put together by others too."""
    if "PATH" in config["environment.variables"]:
        message = "`environment.variables` can't hold PATH, to which others add"
        yield Fault(message, "Name packages in `packages`: their programs are found.", "environment.variables.PATH")
