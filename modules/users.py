"""Accounts: users and groups."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("users", "Accounts: users and groups.")


def wrong_name(name: str) -> str:
    """What is wrong with an account's name; empty: nothing."""
    return "" if re.fullmatch(r"[a-z_][a-z0-9_-]{0,31}", name) else "starts with a letter or _ and has only a-z 0-9 _ -"


KINDS = "ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\\.com|sk-ecdsa-sha2-nistp256@openssh\\.com"
KEY = types.text(
    "a public key, such as 'ssh-ed25519 AAAA… alice'",
    pattern=rf"(?:[^\s#][^\n\r]* )?(?:{KINDS}) [A-Za-z0-9+/]{{32,}}={{0,3}}(?: [^\n\r]*)?",
)
IDENTIFIER = types.null_or(types.integer(1, 65533))

module.option(
    "users",
    types.attributes_of(
        Submodule(
            {
                "uid": Field(IDENTIFIER, "The number; null: the host picks a free one, once, and keeps it.", None),
                "group": Field(types.null_or(types.name), "The primary group; null: one of the user's own name.", None),
                "groups": Field(types.list_of(types.name), "Supplementary groups.", []),
                "home": Field(types.absolute_path, "The home directory.", "/nonexistent"),
                "create_home": Field(types.boolean, "Whether to make the home directory.", False),
                "shell": Field(types.absolute_path, "The login shell.", "/usr/sbin/nologin"),
                "description": Field(types.text("one line without ':'", pattern=r"[^:\n]*"), "Who it is, for people.", ""),
                "system": Field(types.boolean, "Whether it is a service's account rather than a person's.", True),
                "subordinate_ids": Field(
                    types.integer(0, 4294967294),
                    "How many user and group ids it has for containers of its own (subuid(5)); 0: none.",
                    0,
                    65536,
                ),
                "subordinate_start": Field(
                    types.null_or(types.integer(65536, 4294967294)),
                    "The first of them; null: the host picks a free range, once, and keeps it.",
                    None,
                ),
                "purge": Field(types.boolean, "Whether it is removed, not only locked, once it is not declared any more.", False),
            },
            "a mapping that describes a user",
        ),
        wrong_name,
    ),
    "Users, by name. Accounts that are not declared are left alone.",
    default={},
    example={"hello": {"description": "Serves the hello page"}},
)

module.option(
    "groups",
    types.attributes_of(
        Submodule(
            {
                "gid": Field(IDENTIFIER, "The number; null: the host picks a free one, once, and keeps it.", None),
                "members": Field(types.list_of(types.name), "Users whose supplementary group it is.", []),
                "system": Field(types.boolean, "Whether it is a service's rather than people's.", True),
            },
            "a mapping that describes a group",
        ),
        wrong_name,
    ),
    "Groups, by name. Groups that are not declared are left alone.",
    default={},
    example={"deploy": {"members": ["alice"]}},
)


module.option(
    "authorized_keys",
    types.attributes_of(types.ListOf(KEY, unique=True)),
    "Public keys that let in, by account, besides those in home directories.",
    default={},
    example={"root": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHUMZLdXzeKCVXxOqI2MVdTrzTFBP2k2vB7dSbzwtJ0w alice"]},
)


EVERYWHERE = (
    *(
        "root",
        "daemon",
        "bin",
        "sys",
        "sync",
        "games",
        "man",
        "lp",
        "mail",
        "news",
        "uucp",
        "proxy",
        "www-data",
        "backup",
        "list",
        "irc",
    ),
    *(
        "nobody",
        "nogroup",
        "adm",
        "tty",
        "disk",
        "kmem",
        "dialout",
        "shadow",
        "utmp",
        "video",
        "audio",
        "staff",
        "users",
        "sudo",
        "src",
    ),
    *(
        "systemd-network",
        "systemd-resolve",
        "systemd-timesync",
        "systemd-journal",
        "messagebus",
        "sshd",
        "_apt",
        "crontab",
        "ssl-cert",
    ),
)
"""Of base-passwd, and of what nearly every host runs."""


def with_declared(given: list[str], config: ConfigView) -> list[str]:
    """And those that are declared, or required of the host."""
    return [*given, *EVERYWHERE, *config["users"], *config["groups"], *config["requires.accounts"]]


module.option(
    "known_accounts",
    types.list_of(types.name),
    "Users and groups that hosts have, so that files and services may be theirs: those of every system, and all that is declared "
    "or in `requires.accounts`. What is added here is not looked for on the host.",
    default=[],
    example=["alice"],
    apply=with_declared,
)


@module.asserts
def nobody_is_root(config: ConfigView) -> Iterator[Fault]:
    """The superuser is the host's own."""
    for kind in ("users", "groups"):
        if "root" in config[kind]:
            yield Fault("the account 'root' is the host's own", f"Remove `{kind}.root`.", f"{kind}.root")


@module.asserts
def somebody_has_each_key(config: ConfigView) -> Iterator[Fault]:
    """A key's account is one that there is."""
    known = {"root", *config["users"], *config["requires.accounts"]}
    for account in config["authorized_keys"]:
        if account not in known:
            message = f"`authorized_keys` names '{account}', whom this configuration does not declare"
            remedy = f"Declare `users.{account}`, or, where the host has the account by itself, `requires.accounts.{account}`."
            yield Fault(message, remedy, f"authorized_keys.{account}")


@module.asserts
def groups_of_users_are_known(config: ConfigView) -> Iterator[Fault]:
    """A user's groups are such as this configuration, or every system, has."""
    known = {*config["known_accounts"]}
    for name, user in config["users"].items():
        for field, groups in (("group", [user["group"]] if user["group"] else []), ("groups", user["groups"])):
            for group in groups:
                if group not in known:
                    message = f"user '{name}' is to be in the group '{group}', which this configuration does not declare"
                    remedy = f"Declare `groups.{group}`, or, where the host has it by itself, `requires.accounts.{group}`."
                    yield Fault(message, remedy, f"users.{name}.{field}", item=group if field == "groups" else None)


@module.asserts
def numbers_are_unique(config: ConfigView) -> Iterator[Fault]:
    """Two accounts can't share a number."""
    for kind, number in (("users", "uid"), ("groups", "gid")):
        seen: dict[int, str] = {}
        for name, account in config[kind].items():
            wanted = account[number]
            if wanted is not None and wanted in seen:
                where = f"{kind}.{name}.{number}"
                yield Fault(f"'{name}' and '{seen[wanted]}' both have {number} {wanted}", "Change one of them.", where)
            elif wanted is not None:
                seen[wanted] = name


@module.asserts
def nobody_is_in_roots_group(config: ConfigView) -> Iterator[Fault]:
    """What root's group may, nobody else should."""
    for name, user in config["users"].items():
        if user["group"] == "root":
            message = f"the primary group of user '{name}' is root's own"
            yield Fault(message, "Choose another group, or none: then it has one of its own.", f"users.{name}.group")


@module.asserts
def subordinate_ids_are_nobody_elses(config: ConfigView) -> Iterator[Fault]:
    """Containers of two users must not share ids."""
    ranges: dict[str, tuple[int, int]] = {}
    for name, user in config["users"].items():
        start, count = user["subordinate_start"], user["subordinate_ids"]
        where = f"users.{name}.subordinate_start"
        if start is None:
            continue
        if count == 0:
            yield Fault(f"user '{name}' has a `subordinate_start` and no `subordinate_ids`", "Say how many ids it has.", where)
        if start + count > 4294967295:
            yield Fault(f"the subordinate ids of user '{name}' go past the last id, 4294967294", "Begin lower.", where)
        for other, (first, end) in ranges.items():
            if start < end and first < start + count:
                yield Fault(f"the subordinate ids of users '{other}' and '{name}' overlap", "Move one of them.", where)
        ranges[name] = (start, start + count)
