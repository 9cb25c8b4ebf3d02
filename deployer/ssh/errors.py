"""What can go wrong between the controller and a shell on a host.

    DeploymentError
    └── SshError                    has the field `host`
        ├── Unreachable             no connection: name, route, refusal, silence
        ├── NotSsh                  something answers that speaks no SSH, or none that is safe
        ├── HostKeyUnknown          the host's key is in no known_hosts file
        ├── HostKeyChanged          another key than the known one
        ├── HostKeyRevoked          a key that is marked @revoked
        ├── AuthenticationFailed    the host lets us not in
        ├── BecomeRefused           sudo wants a password, or does not allow it
        ├── BecomePasswordWrong     sudo did not take the password
        ├── BecomeSilent            sudo neither asks nor begins
        ├── GateMissing             `gate` is set, and there is none at the host
        ├── GateOnly                a command is to run at a host that only takes deployments
        ├── JumpHostFailed          any of these at a host on the way
        ├── ConnectionBroken        the connection ended while it was in use
        ├── RemoteCommandTimedOut   a command took too long
        ├── OutputTooLarge          a command printed too much
        ├── LocalUserUnknown        who runs this on the controller has no name
        └── IdentityUnusable, KnownHostsUnusable, SshConfigUnusable     a file on the controller

What a host prints is untrusted: it enters messages through `escaped` only.
"""

from __future__ import annotations

import unicodedata

from deployer.errors import DeploymentError


def escaped(text: str | bytes, limit: int = 400) -> str:
    """A host's words on one line: nothing in it can steer a terminal, and it has an end."""
    words = text.decode(errors="replace") if isinstance(text, bytes) else text
    shown = words.strip()[:limit].replace("\n", " | ")
    return "".join(c if unicodedata.category(c)[0] != "C" else c.encode("unicode_escape").decode() for c in shown)


class SshError(DeploymentError):
    """A connection could not be made, or did not last."""

    host: str


class Unreachable(SshError):
    """No connection to the host."""

    address: str
    port: int
    reason: str
    advice: str

    @property
    def message(self) -> str:
        """Where to, and why not."""
        return f"it can't be reached at {_endpoint(self.address, self.port)}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to look at."""
        return self.advice


class NotSsh(SshError):
    """Something answers that speaks no SSH, or none that we accept."""

    address: str
    port: int
    reason: str

    @property
    def message(self) -> str:
        """What was said."""
        return f"no SSH can be spoken with {_endpoint(self.address, self.port)}: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to look at."""
        return "Check the port, and that the host's SSH server is not older than OpenSSH 6.5."


class HostKeyUnknown(SshError):
    """The host's key is in no known_hosts file."""

    address: str
    port: int
    fingerprint: str

    @property
    def message(self) -> str:
        """Its fingerprint."""
        return f"nothing is known of the key that {_endpoint(self.address, self.port)} shows: {self.fingerprint}"

    @property
    def remedy(self) -> str:
        """How to get to know it."""
        return (
            "Compare the fingerprint with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host, then connect once by "
            "`ssh`, pin the key by `connection: {host_keys: […]}`, or set `host_key_policy: accept-new`."
        )


class HostKeyChanged(SshError):
    """The host shows another key than the one that is known."""

    address: str
    port: int
    fingerprint: str
    known: tuple[str, ...]

    @property
    def message(self) -> str:
        """Both."""
        shown = f"the key {self.fingerprint}" if self.fingerprint else "no key of the known kinds"
        return f"{_endpoint(self.address, self.port)} shows {shown}; known is {', '.join(self.known)}"

    @property
    def remedy(self) -> str:
        """Why to stop."""
        return (
            "Somebody may be listening in. If the host was installed anew, check its fingerprint on its console, and remove the "
            "old key from known_hosts or from `host_keys`."
        )


class HostKeyRevoked(SshError):
    """The host shows a key that a known_hosts file marks as revoked."""

    address: str
    port: int
    fingerprint: str

    @property
    def message(self) -> str:
        """Which."""
        return f"{_endpoint(self.address, self.port)} shows the key {self.fingerprint}, which is revoked"

    @property
    def remedy(self) -> str:
        """What to do on the host."""
        return "Give the host new keys (`ssh-keygen -A` after removing the old ones), and make them known."


class AuthenticationFailed(SshError):
    """The host lets us not in."""

    user: str
    address: str
    port: int
    offered: tuple[str, ...]
    """The files of the keys that we had; the agent's are not listed."""
    agent: bool

    @property
    def message(self) -> str:
        """As whom, with what."""
        keys = [*self.offered, *(["the agent's keys"] if self.agent else [])]
        return f"{_endpoint(self.address, self.port)} refuses the login '{self.user}' with {', '.join(keys) or 'no key at all'}"

    @property
    def remedy(self) -> str:
        """What to check."""
        return (
            "Check `user` and `identity_files` of the host's `connection`, `ssh-add -l`, and ~/.ssh/authorized_keys of that "
            "login on the host."
        )


class BecomeRefused(SshError):
    """`become` is set, and sudo does not run our commands without asking."""

    user: str
    words: str

    @property
    def message(self) -> str:
        """Sudo's words."""
        return f"'{self.user}' can't become root: {self.words or 'sudo refused'}"

    @property
    def remedy(self) -> str:
        """The rule that is needed."""
        return (
            f"Allow it on the host, in /etc/sudoers.d/deployer: `{self.user} ALL=(root) NOPASSWD: ALL`, or give sudo's password "
            "(`--ask-become-pass`), or log in as root. Where sudo asks for a terminal: `Defaults !requiretty`."
        )


class BecomePasswordWrong(SshError):
    """sudo did not take the password."""

    user: str
    elsewhere: bool = False
    """Whether it was another host that did not take it: this one was not asked."""

    @property
    def message(self) -> str:
        """Whose."""
        if self.elsewhere:
            return "the password for sudo was refused by another host, and was not tried here"
        return f"sudo did not take the password of '{self.user}'"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Run the command again with the right one. It was tried once, and on no other host."


class BecomeSilent(SshError):
    """sudo neither ran our command nor asked for a password in a way that we know."""

    user: str
    words: str

    @property
    def message(self) -> str:
        """What it said."""
        return f"sudo of '{self.user}' did not begin: {self.words or 'it says nothing'}"

    @property
    def remedy(self) -> str:
        """Where to look."""
        return "Try `sudo -S true` as that login on the host: it may ask for more than a password."


class GateMissing(SshError):
    """`gate` is set, and the host does not answer as a gate does."""

    user: str
    words: str

    @property
    def message(self) -> str:
        """What it answered."""
        return f"there is no gate for '{self.user}': {self.words or 'it says nothing'}"

    @property
    def remedy(self) -> str:
        """How to have one."""
        return f"Run what `deployer host-access {self.host}` prints as root on the host, or leave `gate` out of its `connection`."


class GateOnly(SshError):
    """A command was to run on a host whose login may only deploy."""

    command: str

    @property
    def message(self) -> str:
        """What was asked."""
        return f"its login deploys and does nothing else, so it can't run `{self.command}`"

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return "Use a login without `gate` for that."


class JumpHostFailed(SshError):
    """A host on the way can't be passed."""

    jump: str
    cause: SshError

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the jump host {self.jump} can't be passed: {self.cause.message}"

    @property
    def remedy(self) -> str:
        """The cause's."""
        return self.cause.remedy


class ConnectionBroken(SshError):
    """A connection ended while it was in use."""

    reason: str

    @property
    def message(self) -> str:
        """How it ended."""
        return f"the connection broke: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to look at."""
        return "Check the network and the host, and run the command again: what was under way is found and taken up."


class RemoteCommandTimedOut(SshError):
    """A command on the host did not end in time."""

    command: str
    seconds: float

    @property
    def message(self) -> str:
        """Which, and how long it had."""
        return f"`{self.command}` did not end within {self.seconds:g} s"

    @property
    def remedy(self) -> str:
        """How to give it longer."""
        return "Give it more time (`--timeout`), or look at what it waits for on the host."


class OutputTooLarge(SshError):
    """A command printed more than we are willing to hold."""

    command: str
    limit: int

    @property
    def message(self) -> str:
        """The limit."""
        return f"`{self.command}` printed more than {self.limit >> 20} MiB"

    @property
    def remedy(self) -> str:
        """What to do instead."""
        return "Let it write to a file on the host, or print less."


class IdentityUnusable(SshError):
    """A private key can't be used."""

    file: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the identity file {self.file} can't be used: {self.reason}"

    @property
    def remedy(self) -> str:
        """What would do."""
        return "Name a private key that this login may read; load one with a passphrase into an agent (`ssh-add FILE`)."


class KnownHostsUnusable(SshError):
    """A known_hosts file can't be read or written."""

    file: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the known_hosts file {self.file} can't be used: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to check."""
        return "Correct the file, or name another by `connection: {known_hosts: FILE}`."


class LocalUserUnknown(SshError):
    """Who runs this has no name, neither an account's nor one in the environment."""

    user: int
    """Its number."""

    @property
    def message(self) -> str:
        """Whose, and why it is not known."""
        return f"user {self.user} of this machine has no name: there is no account of that number, and LOGNAME is not set"

    @property
    def remedy(self) -> str:
        """What names it."""
        return "Set LOGNAME to the name that hosts are logged into by where neither the inventory nor SSH's files have a user."


class SshConfigUnusable(SshError):
    """The SSH configuration can't be read, or has what is not supported."""

    file: str
    reason: str

    @property
    def message(self) -> str:
        """Which, and why."""
        return f"the SSH configuration {self.file} can't be used: {self.reason}"

    @property
    def remedy(self) -> str:
        """How to do without."""
        return "Correct it, or name another by `connection: {ssh_config: FILE}` (/dev/null for none)."


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
