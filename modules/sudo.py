"""What may be run as somebody else, by sudo."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("sudo", "What may be run as somebody else, by sudo.")


def wrong_rule_name(name: str) -> str:
    """What is wrong with a rule's name; empty: nothing. sudo skips files with a dot in their names."""
    return "" if re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name) else "has only letters, digits, _ and -"


ACCOUNTS = types.list_of(types.text("the name of an account", pattern=r"[A-Za-z_][A-Za-z0-9_.-]*"))
COMMAND = types.text("an absolute path, perhaps with arguments; or ALL", pattern=r"ALL|/[^\n\r]*")

module.option(
    "sudo.rules",
    types.attributes_of(
        Submodule(
            {
                "users": Field(ACCOUNTS, "Who may.", []),
                "groups": Field(ACCOUNTS, "Whose members may.", []),
                "run_as": Field(
                    types.text("the name of an account, or ALL", pattern=r"[A-Za-z_][A-Za-z0-9_.-]*"), "As whom.", "root"
                ),
                "commands": Field(types.list_of(COMMAND), "What: programs with the only arguments that are allowed, or ALL.", []),
                "password": Field(types.boolean, "Whether sudo asks for their password.", True),
                "keep_environment": Field(types.list_of(types.name), "Variables that the command gets too.", []),
            },
            "a mapping that describes a rule",
        ),
        wrong_rule_name,
    ),
    "Rules of sudo, by name. `visudo -c` of the host judges them before anything changes.",
    default={},
    example={"restart-app": {"users": ["alice"], "commands": ["/usr/bin/systemctl restart app.service"], "password": False}},
)


def rule_text(name: str, rule: Mapping[str, Any]) -> str:
    """A rule as sudoers(5) has it."""
    who = ", ".join([*rule["users"], *(f"%{group}" for group in rule["groups"])])
    commands = ", ".join(re.sub(r"([,:=\\])", r"\\\1", command) for command in rule["commands"])
    kept = (
        f'Defaults:{who.replace(", ", ",")} env_keep += "{" ".join(rule["keep_environment"])}"\n'
        if rule["keep_environment"]
        else ""
    )
    return f"{kept}{who} ALL=({rule['run_as']}) {'' if rule['password'] else 'NOPASSWD: '}{commands}\n"


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """A real file for each rule: sudo must work also where the store does not."""
    return {f"sudoers.d/deployer-{name}": {"text": rule_text(name, rule)} for name, rule in config["sudo.rules"].items()}


@module.asserts
def rules_are_whole(config: ConfigView) -> Iterator[Fault]:
    """A rule says who, and what; and they are there."""
    users = {"root", *config["users"], *config["requires.accounts"]}
    for name, rule in config["sudo.rules"].items():
        if not (rule["users"] or rule["groups"]):
            yield Fault(f"sudo rule '{name}' names nobody", "Add `users` or `groups`.", f"sudo.rules.{name}")
        if not rule["commands"]:
            yield Fault(f"sudo rule '{name}' allows nothing", "Add `commands`.", f"sudo.rules.{name}")
        named = [("users", user) for user in rule["users"]]
        if rule["run_as"] != "ALL":
            named.append(("run_as", rule["run_as"]))
        for field, user in named:
            if user not in users:
                message = f"sudo rule '{name}' names '{user}', whom this configuration does not declare"
                remedy = f"Declare `users.{user}`, or, where the host has the account by itself, `requires.accounts.{user}`."
                yield Fault(message, remedy, f"sudo.rules.{name}.{field}", item=user if field == "users" else None)
