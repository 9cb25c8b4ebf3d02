"""What hosts must have by themselves: programs and accounts of the distribution's."""

import re

from deployer.config import Module, types

module = Module("requires", "What hosts must have by themselves: programs and accounts of the distribution's.")


def wrong_path(path: str) -> str:
    """What is wrong with a path; empty: nothing."""
    return "" if re.fullmatch(r"/[^\x00-\x1f\x7f]*", path) else "is an absolute path"


def wrong_account(name: str) -> str:
    """What is wrong with the name of an account; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", name) else "is the name of a user or group"


module.option(
    "requires.paths",
    types.attributes_of(types.ListOf(types.word, unique=True), wrong_path),
    "Files that the host must have by itself, each with what needs it. The plan names them, and refuses a host that lacks one.",
    default={},
    example={"/usr/bin/tar": ["the backup"]},
)

module.option(
    "requires.accounts",
    types.attributes_of(types.ListOf(types.word, unique=True), wrong_account),
    "Users and groups that the host must have by itself, each with what needs them. The plan refuses a host that lacks one.",
    default={},
    example={"postgres": ["the backup"]},
)
