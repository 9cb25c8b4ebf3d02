"""What can go wrong between the controller and a host's runtime."""

from __future__ import annotations

from deployer.errors import DeployerError, DeploymentError, ExitCode, JsonValue, ManyErrors


class NotRoot(DeploymentError):
    """The login on the host can't do what root can."""

    host: str
    user: str

    @property
    def message(self) -> str:
        """Who."""
        return f"{self.user or 'the login'} is not root there"

    @property
    def remedy(self) -> str:
        """Two ways out."""
        return "Set `connection: {user: root}`, or `become: true` with a sudo rule that asks no password."


class PythonMissing(DeploymentError):
    """The host has no python3."""

    host: str

    @property
    def message(self) -> str:
        """What is missing."""
        return "there is no python3 on it"

    @property
    def remedy(self) -> str:
        """How to get it, by distribution."""
        return "Install it there: `apt-get install python3` (Debian, Ubuntu) or `dnf install python3` (RHEL and kin)."


class PythonUnfit(DeploymentError):
    """The host's python3 is too old, or only a part of Python."""

    host: str
    lacking: str

    @property
    def message(self) -> str:
        """What it lacks."""
        return f"its python3 lacks {self.lacking}"

    @property
    def remedy(self) -> str:
        """What to install."""
        return "Install the distribution's full python3, 3.9 or newer (`python3-minimal` is not enough)."


class PythonNotSent(DeploymentError):
    """A host has no fit Python of its own, and there is none on the controller that could be sent."""

    host: str
    lacking: str
    machine: str
    cause: DeployerError

    @property
    def message(self) -> str:
        """What the host lacks, and what went wrong here."""
        first = self.cause.errors[0] if isinstance(self.cause, ManyErrors) else self.cause
        return f"{self.lacking}, and the one to send could not be made here: {first.message}"

    @property
    def remedy(self) -> str:
        """How to do without it, or get it."""
        return (
            "Install python3, 3.9 or newer, on the host; or let this machine reach a Debian mirror once; or pin other packages "
            f"as `host-python-{self.machine}` in packages.yaml."
        )


class KitRefused(DeploymentError):
    """The Python that was sent to a host could not be unpacked there."""

    host: str
    words: str

    @property
    def message(self) -> str:
        """What the host's programs said."""
        return f"the Python that was sent to it could not be unpacked: {self.words or 'it gave no reason'}"

    @property
    def remedy(self) -> str:
        """What it takes."""
        return "It takes 30 MB in /var/lib, gzip and sha256sum; or install python3, 3.9 or newer, on the host."


class ConversationBroken(DeploymentError):
    """The channel ended, or fell silent, in the middle of a request."""

    host: str
    doing: str
    last_words: str = ""

    @property
    def message(self) -> str:
        """What was under way, and the host's last words."""
        words = f": {self.last_words}" if self.last_words else ""
        return f"the connection broke during `{self.doing}`{words}"

    @property
    def remedy(self) -> str:
        """Why there is nothing to repair by hand."""
        return "The host decides for itself and ends in the old or the new generation; see `deployer status`."


class BuilderLost(ConversationBroken):
    """The same, of a machine that builds for us."""

    @property
    def remedy(self) -> str:
        """Why there is nothing to repair by hand, and what to do."""
        return "What ran there is ended by its side of the connection. Try again, or leave this builder out."


class HostRefused(DeploymentError):
    """The host's runtime answered a request with an error of its own."""

    host: str
    document: dict[str, JsonValue]
    """The runtime's words; all of them are bounded and printable by the time they are shown."""

    @property
    def error(self) -> str:
        """The error's name on the host."""
        return _text(self.document, "error") or "HostRefused"

    @property
    def message(self) -> str:
        """The runtime's."""
        return _text(self.document, "message") or "it refused, and did not say why"

    @property
    def remedy(self) -> str:
        """The runtime's."""
        return _text(self.document, "remedy")

    def to_json(self) -> dict[str, JsonValue]:
        """Under the name that the error has on the host."""
        return {**super().to_json(), "error": self.error}


class HostNeedsPerson(HostRefused):
    """The same, where the host says that only a person can go on."""

    exit_code = ExitCode.NEEDS_PERSON


class HostAsks(HostRefused):
    """The same, where it is the request that must be another."""

    exit_code = ExitCode.USAGE


def refusal(host: str, document: dict[str, JsonValue]) -> HostRefused:
    """The error that a runtime's answer stands for."""
    kinds = {int(kind.exit_code): kind for kind in (HostNeedsPerson, HostAsks)}
    code = document.get("exit_code")
    return kinds.get(code, HostRefused)(host, document) if isinstance(code, int) else HostRefused(host, document)


_LONGEST = 4000


def _text(document: dict[str, JsonValue], key: str) -> str:
    value = document.get(key)
    if not isinstance(value, str):
        return ""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in value[:_LONGEST])
