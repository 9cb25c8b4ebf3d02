"""The variables by which Ansible is told how to reach a host: `ansible_host`, `ansible_user` and the like."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from deployer.errors import Place
from deployer.inventory import values
from deployer.inventory.errors import BadSshArguments, FileMissing, NotSupported, Problems, WrongType

CONFIGURATION: Final = "deployer_configuration"
"""The variable that names a host's configuration."""
PRIORITY: Final = "ansible_group_priority"
SECRET: Final = re.compile(
    r"(ansible_(ssh_)?pass(word)?|ansible_(become|sudo|su)_pass(word)?|ansible_ssh_private_key(_passphrase)?)"
)
"""Passwords: they are not used, and kept nowhere."""

PlaceOf = Callable[[str], Place]
_NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "port": ("ansible_port", "ansible_ssh_port"),
    "user": ("ansible_user", "ansible_ssh_user"),
    "identity_files": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
    "become": ("ansible_become", "ansible_sudo"),
}
_ARGUMENTS: Final = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
_TRUE: Final = {"true", "yes", "on", "1", "y", "t"}
_FALSE: Final = {"false", "no", "off", "0", "n", "f", ""}
_BY_SSH: Final = {"ssh", "smart", "paramiko", "paramiko_ssh", "ansible.netcommon.libssh", "ansible.builtin.ssh"}
_WITHOUT_EFFECT: Final = {
    "controlmaster", "controlpath", "controlpersist", "serveraliveinterval", "serveralivecountmax", "compression", "loglevel",
    "forwardagent", "preferredauthentications", "identitiesonly", "connectionattempts", "batchmode", "passwordauthentication",
    "kbdinteractiveauthentication", "pubkeyauthentication", "gssapiauthentication", "tcpkeepalive", "addkeystoagent",
    "globalknownhostsfile", "updatehostkeys", "checkhostip", "visualhostkey", "requesttty",
}  # fmt: skip
"""Options of OpenSSH that change nothing about where a connection leads and whom it trusts."""


def connection_of(
    variables: Mapping[str, Any], place_of: PlaceOf, base: Path, problems: Problems
) -> tuple[dict[str, Any], Path | None]:
    """The connection (by the fields of `Connection`) and the configuration that variables stand for."""
    found: dict[str, Any] = {}
    if not any(name.startswith(("ansible_", "deployer_")) for name in variables):
        return found, None
    for name in _ARGUMENTS:
        if variables.get(name):
            with problems.noted():
                found |= _Arguments(name, place_of(name), base).parse(_literal(variables[name], name, place_of(name)))
    for key, names in _NAMES.items():
        for name in names:
            if variables.get(name) not in {None, ""}:
                with problems.noted():
                    found[key] = _value(key, _literal(variables[name], name, place_of(name)), place_of(name), base)
                break
    for name in ("ansible_host_key_checking", "ansible_ssh_host_key_checking"):
        if name in variables:
            with problems.noted():
                if not _boolean(variables[name], name, place_of(name)):
                    found["host_key_policy"] = "accept-new"
    with problems.noted():
        _refuse_other_ways(variables, place_of)
    configuration = None
    if variables.get(CONFIGURATION) is not None:
        with problems.noted():
            configuration = values.path(base)(variables[CONFIGURATION], place_of(CONFIGURATION))
            if not configuration.is_file():
                raise FileMissing(place_of(CONFIGURATION), CONFIGURATION, configuration)
    return found, configuration


def without_secrets(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables without passwords."""
    return {name: value for name, value in variables.items() if not SECRET.fullmatch(name)}


def _value(key: str, value: object, place: Place, base: Path) -> Any:
    match key:
        case "address":
            return values.address(value, place)
        case "port":
            return values.port(value, place)
        case "user":
            return values.user(value, place)
        case "identity_files":
            return (values.path(base)(value, place),)
    return _boolean(value, "ansible_become", place)


def _boolean(value: object, name: str, place: Place) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in _TRUE | _FALSE:
        return text in _TRUE
    raise WrongType(place, f"`{name}`", "true or false", values.describe(value))


def _literal(value: object, name: str, place: Place) -> object:
    if isinstance(value, str) and "{{" in value:
        raise NotSupported(
            place, f"`{name}` is a template: {value[:80]!r}", "Write the value itself; templates are not evaluated."
        )
    return value


def _refuse_other_ways(variables: Mapping[str, Any], place_of: PlaceOf) -> None:
    way = variables.get("ansible_connection")
    if way is not None and way not in _BY_SSH:
        raise NotSupported(
            place_of("ansible_connection"), f"hosts are reached by SSH, not by {way!r}", "Leave this host out of the inventory."
        )
    method = variables.get("ansible_become_method")
    if method is not None and method not in {"sudo", "ansible.builtin.sudo"}:
        raise NotSupported(
            place_of("ansible_become_method"), f"root is reached by sudo, not by {method!r}", "Allow `sudo -n` to this user."
        )
    become = variables.get("ansible_become_user")
    if become is not None and become != "root":
        raise NotSupported(
            place_of("ansible_become_user"), f"hosts are deployed as root, not as {become!r}", "Remove `ansible_become_user`."
        )


class _Arguments:
    """Reads arguments of OpenSSH's, as far as they have a counterpart here."""

    def __init__(self, variable: str, place: Place, base: Path) -> None:
        self._variable = variable
        self._place = place
        self._base = base
        self._found: dict[str, Any] = {}

    def parse(self, text: object) -> dict[str, Any]:
        if not isinstance(text, str):
            raise WrongType(self._place, f"`{self._variable}`", "text", values.describe(text))
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise self._refused(str(error).lower()) from None
        while words:
            word = words.pop(0)
            flag, value = word[:2], word[2:]
            if flag in {"-J", "-o", "-i", "-p", "-l", "-F"}:
                if not value and not words:
                    raise self._refused(f"`{flag}` lacks its value")
                self._flag(flag, value or words.pop(0))
            elif not re.fullmatch(r"-[CqTnxa46v]+", word):
                raise self._refused(f"`{word}` has no counterpart here")
        return self._found

    def _flag(self, flag: str, value: str) -> None:
        match flag:
            case "-J":
                self._found["jump"] = values.jump(value, self._place)
            case "-o":
                name, _, argument = value.replace(" ", "=", 1).partition("=") if "=" not in value else value.partition("=")
                self._option(name.strip(), argument.strip().strip('"'))
            case "-i":
                self._found["identity_files"] = (values.path(self._base)(value, self._place),)
            case "-p":
                self._found["port"] = values.port(value, self._place)
            case "-l":
                self._found["user"] = values.user(value, self._place)
            case "-F":
                self._found["ssh_config"] = values.path(self._base)(value, self._place)

    def _option(self, name: str, value: str) -> None:
        match name.lower():
            case "proxyjump":
                self._flag("-J", value)
            case "proxycommand":
                self._found["jump"] = self._jump_of_command(value)
            case "stricthostkeychecking":
                self._found["host_key_policy"] = "strict" if value.lower() in {"yes", "ask"} else "accept-new"
            case "userknownhostsfile":
                if value not in {"/dev/null", "none"}:
                    self._found["known_hosts"] = values.path(self._base)(value, self._place)
            case "identityfile":
                self._flag("-i", value)
            case "port":
                self._flag("-p", value)
            case "user":
                self._flag("-l", value)
            case "hostkeyalias":
                self._found["host_key_alias"] = values.address(value, self._place)
            case "connecttimeout":
                seconds = int(value) if value.isdecimal() else value
                self._found["connect_timeout"] = values.seconds(seconds, self._place)
            case known if known not in _WITHOUT_EFFECT:
                raise self._refused(f"the option `{name}` has no counterpart here")

    def _jump_of_command(self, command: str) -> tuple[str, ...]:
        """The jump host of `ssh -W %h:%p … user@bastion`, as it was written before there was ProxyJump."""
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise self._refused(str(error).lower()) from None
        login, port, target, tunnel = "", "", "", False
        rest = words[1:] if words and words[0].rsplit("/", 1)[-1] == "ssh" else ["-?"]
        while rest:
            word = rest.pop(0)
            if word[:2] in {"-W", "-p", "-l"} and (word[2:] or rest):
                value = word[2:] or rest.pop(0)
                tunnel = tunnel or (word[:2] == "-W" and value in {"%h:%p", "[%h]:%p"})
                port = value if word[:2] == "-p" else port
                login = value if word[:2] == "-l" else login
            elif not word.startswith("-") and not target:
                target = word
            elif not re.fullmatch(r"-[CqTnxa46v]+", word):
                raise self._refused(f"the ProxyCommand `{command}` is not a plain `ssh -W %h:%p HOST`")
        if not tunnel or not target:
            raise self._refused(f"the ProxyCommand `{command}` is not a plain `ssh -W %h:%p HOST`")
        return (
            values.jump(f"{login}@{target}" * bool(login) or target, self._place)
            if not port
            else values.jump(f"{f'{login}@' if login else ''}{target}:{port}", self._place)
        )

    def _refused(self, reason: str) -> BadSshArguments:
        return BadSshArguments(self._place, self._variable, reason)
