"""The SSH server."""

import re
from collections.abc import Iterator
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("sshd", "The SSH server.")

DROP_IN = "ssh/sshd_config.d/00-deployer.conf"
"""Early, because sshd keeps to the first value that it reads of each setting."""
KEYS = "ssh/authorized_keys.d"


def wrong_keyword(name: str) -> str:
    """What is wrong with a keyword of sshd_config(5); empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", name) else "is a keyword of sshd_config(5) such as MaxAuthTries"


NAMES = types.list_of(types.text("a name or pattern without blanks", pattern=r"[^\s#\"]+"))

module.option(
    "sshd",
    Submodule(
        {
            "ports": Field(types.ListOf(types.port, unique=True), "Where it listens; empty: as the host has it.", [], [22]),
            "open": Field(types.boolean, "Whether the firewall lets everybody in to its ports.", True),
            "password_authentication": Field(types.null_or(types.boolean), "Whether a password lets in; null: the host's.", None),
            "permit_root_login": Field(
                types.null_or(types.enumeration("yes", "no", "prohibit-password", "forced-commands-only")),
                "How root may log in; null: as the host has it.",
                None,
            ),
            "allow_users": Field(NAMES, "Who may log in; empty: everybody.", []),
            "allow_groups": Field(NAMES, "Whose members may log in; empty: everybody's.", []),
            "settings": Field(
                types.attributes_of(types.OneOrMany(types.setting), wrong_keyword),
                "More settings of sshd_config(5).",
                {},
                {"MaxAuthTries": 3},
            ),
            "unit": Field(types.word, "The server's unit: sshd.service where Debian is not.", "ssh.service"),
        },
        "a mapping of settings",
    ),
    "The SSH server. `sshd -t` of the host judges the settings before anything changes, and a host that the controller can't "
    "log in to any more goes back.",
    default={},
    example={"password_authentication": False, "permit_root_login": "prohibit-password"},
)


def settings_of(config: ConfigView) -> Iterator[tuple[str, Any]]:
    """Keywords and their values."""
    sshd = config["sshd"]
    yield from (("Port", port) for port in sshd["ports"])
    if sshd["password_authentication"] is not None:
        answer = "yes" if sshd["password_authentication"] else "no"
        yield "PasswordAuthentication", answer
        yield "KbdInteractiveAuthentication", answer
    if sshd["permit_root_login"] is not None:
        yield "PermitRootLogin", sshd["permit_root_login"]
    for keyword, names in (("AllowUsers", sshd["allow_users"]), ("AllowGroups", sshd["allow_groups"])):
        if names:
            yield keyword, " ".join(names)
    if config["authorized_keys"]:
        yield "AuthorizedKeysFile", f".ssh/authorized_keys .ssh/authorized_keys2 /etc/{KEYS}/%u"
    for keyword, value in sorted(sshd["settings"].items()):
        yield from ((keyword, one) for one in (value if isinstance(value, list) else [value]))


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """Settings and keys, as real files: the way to the host must not hang on the store."""
    text = "".join(f"{keyword} {value}\n" for keyword, value in settings_of(config))
    keys = {
        f"{KEYS}/{account}": {"text": "".join(f"{key}\n" for key in given), "kind": "file"}
        for account, given in config["authorized_keys"].items()
    }
    return {DROP_IN: {"text": text}, **keys} if text else {}


@module.defines("systemd.units")
def reloading(config: ConfigView) -> dict[str, object]:
    """A change of the settings reloads the server: nobody is thrown out."""
    if not any(settings_of(config)):
        return {}
    return {
        config["sshd"]["unit"]: {
            "drop_ins": {"deployer-settings.conf": f"[Unit]\nX-Reload-Triggers=/etc/{DROP_IN}\n"},
            "reload_on_change": True,
        }
    }


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """The server's ports."""
    sshd = config["sshd"]
    if not (sshd["ports"] or config["firewall"]["enable"]):
        return {}
    ports = sshd["ports"] or [22]
    names = {port: "sshd" if port == ports[0] else f"sshd-{port}" for port in ports}
    return {name: {"port": port, "open": sshd["open"], "option": "sshd.ports"} for port, name in names.items()}


@module.asserts
def settings_are_said_once(config: ConfigView) -> Iterator[Fault]:
    """What has an option of its own is not said among the others."""
    own = {"port": "ports", "passwordauthentication": "password_authentication", "permitrootlogin": "permit_root_login"}
    own |= {"allowusers": "allow_users", "allowgroups": "allow_groups", "authorizedkeysfile": "authorized_keys"}
    for keyword in config["sshd"]["settings"]:
        if keyword.lower() in own:
            message = f"`sshd.settings` has {keyword}, which has an option of its own"
            yield Fault(message, f"Say it by `{own[keyword.lower()]}`.", f"sshd.settings.{keyword}")
        if keyword.lower() in ("match", "include"):
            yield Fault(
                f"`sshd.settings` can't hold {keyword}",
                "Write an entry of `etc` below ssh/sshd_config.d.",
                f"sshd.settings.{keyword}",
            )
