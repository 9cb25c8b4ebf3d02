"""Least privilege: a key that may deploy, and nothing else.

Three pieces, all printed by `deployer host-access` and put in place by whoever is root on the host:

    the gate          a script, root's, that does what `deployer.copy.bootstrap` does, and takes no arguments
    a sudoers rule    one login may run exactly this script, without arguments, as root
    a key's line      in authorized_keys: this key runs the gate, whatever else it asks for

The gate holds no code of ours but the bootstrap: the runtime comes over the connection, so that it need not change with it. Who
holds the key can therefore do on the host what a deployment can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from deployer.copy.bootstrap import SCRIPT
from deployer.errors import ConfigurationError
from deployer.ssh import GATE

PATH: Final = "/usr/local/sbin/deployer-gate"
SUDOERS: Final = "/etc/sudoers.d/deployer"
_REFUSED: Final = 126
_LOGIN: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY: Final = re.compile(r"(?P<key>(?:ssh|ecdsa|sk-ssh|sk-ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,3})(?: (?P<comment>[ -~]*))?\s*")

_GATE: Final = f"""\
#!/bin/sh
# Lets a login deploy, and do nothing else. {PATH}, root's, mode 0755; printed by `deployer host-access`.
# The key's line in authorized_keys runs it as the login, and it runs itself as root by sudo. It looks at no argument.
if [ "$(/usr/bin/id -u)" != 0 ]; then
  if [ "${{SSH_ORIGINAL_COMMAND-}}" != {GATE} ]; then
    echo "{GATE}: this key is for deployments only" >&2
    exit {_REFUSED}
  fi
  exec /usr/bin/sudo -n -H -- {PATH}
fi
[ $# = 0 ] || exit {_REFUSED}
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
cd / || exit
"""


class LoginRefused(ConfigurationError):
    """It is no name for a login that a sudoers rule could be written for."""

    name: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.name!r} is no name of a login"

    @property
    def remedy(self) -> str:
        """What one looks like."""
        return "Use up to 32 small letters, digits, - and _, with a letter first; and another than root."


class KeyUnreadable(ConfigurationError):
    """A public key can't be read."""

    source: str

    @property
    def message(self) -> str:
        """Where from."""
        return f"{self.source} holds no public key"

    @property
    def remedy(self) -> str:
        """What one looks like."""
        return "Name a file like ~/.ssh/id_ed25519.pub by --key; `ssh-keygen -t ed25519` makes one."


@dataclass(frozen=True, slots=True)
class Access:
    """What lets one key deploy by one login."""

    login: str
    key: str

    @classmethod
    def of(cls, login: str, key: str, source: str) -> Access:
        """With a line of a public key file. Raises `LoginRefused`, `KeyUnreadable`."""
        if not _LOGIN.fullmatch(login) or login == "root":
            raise LoginRefused(login)
        match = _KEY.fullmatch(key)
        if match is None:
            raise KeyUnreadable(source)
        return cls(login, f"{match['key']} {match['comment'] or ''}".rstrip())

    @property
    def gate(self) -> str:
        """The script."""
        return _GATE + SCRIPT

    @property
    def sudoers(self) -> str:
        """The rule. The empty argument means: with none."""
        return (
            f'Defaults!{PATH} env_reset, !requiretty, secure_path="/usr/sbin:/usr/bin:/sbin:/bin"\n'
            f'{self.login} ALL=(root) NOPASSWD: {PATH} ""\n'
        )

    @property
    def authorized_keys(self) -> str:
        """The key's line."""
        return f'restrict,command="{PATH}" {self.key}\n'

    @property
    def script(self) -> str:
        """What puts all of it in place, for a person to read and run as root. It can be run again."""
        return f"""\
# Run this as root on the host. It lets the login '{self.login}' deploy, and do nothing else.
set -eu
umask 022
id {self.login} >/dev/null 2>&1 || useradd --create-home --shell /bin/sh {self.login}

cat >{PATH}.new <<'END_OF_GATE'
{self.gate}END_OF_GATE
chmod 0755 {PATH}.new
mv {PATH}.new {PATH}

(umask 227 && cat >{SUDOERS}.new) <<'END_OF_RULE'
{self.sudoers}END_OF_RULE
visudo -q -c -f {SUDOERS}.new
mv {SUDOERS}.new {SUDOERS}

home=$(getent passwd {self.login} | cut -d: -f6)
mkdir -p "$home/.ssh"
chown root:root "$home/.ssh"
cat >"$home/.ssh/authorized_keys" <<'END_OF_KEY'
{self.authorized_keys}END_OF_KEY
"""
