"""The manifest: what one system declares of its host, as data.

`manifest.json` at the root of a system's store path. `generation` writes it on the controller, `host` acts on it, `drift`
compares a host with it. It names no host: hosts with equal configurations share one system. Beside it in the store path:

    etc/PATH     the content of each entry of `etc` whose kind is `link` or `file`
    sw           link to the environment whose bin/ is on PATH, where there are packages
    runtime      link to the store path of the host runtime that activates this system and rolls back from it
"""

from __future__ import annotations

import dataclasses
import functools
import json
from typing import Any, Dict, Final, Mapping, Tuple, Type, TypeVar

from deployer.errors import DeploymentError, JsonValue
from deployer.formats.frames import parse_document
from deployer.records import Record, fields_of

FORMAT: Final = 1

ROLL_BACK: Final = "roll-back"
CONFIRM_AGAIN: Final = "confirm-again"

LINK: Final = "link"
"""`/etc/PATH` is a link to `<profile>/current/etc/PATH`: it moves with the generation, in one rename."""
FILE: Final = "file"
"""`/etc/PATH` is a real file with mode and owner, for readers that refuse links."""
SYMLINK: Final = "symlink"
"""`/etc/PATH` is a link to `target`, letter for letter."""
DIRECTORY: Final = "directory"
"""`/etc/PATH` is a directory with mode and owner."""


class EtcEntry(Record):
    """One path below `/etc` that the configuration declares."""

    path: str
    """Relative to `/etc`: `hello/hello.conf`."""
    kind: str = LINK
    sha256: str = ""
    """Of the content (hexadecimal); of the NAR where the content is a directory. Empty for `symlink` and `directory`."""
    target: str = ""
    """Of a `symlink`."""
    mode: str = "0644"
    """Octal; for `file` and `directory`."""
    owner: str = "root"
    group: str = "root"
    replace: bool = False
    """Whether a file of the host's own may be set aside (it returns when this entry goes). Otherwise it is refused."""
    validate: Tuple[str, ...] = ()
    """Program and arguments that must accept the content before anything changes; `{file}` in them is where it is."""

    def leaves_the_same(self, other: EtcEntry) -> bool:
        """Whether both leave the same at their path: what is asked before does not count."""
        return dataclasses.replace(other, replace=self.replace, validate=self.validate) == self


class Unit(Record):
    """One systemd unit that the configuration declares or extends. Its files are also entries of `etc`."""

    name: str
    text: str = ""
    """The unit file. Empty where only drop-ins extend a unit of the distribution, or where the unit is masked."""
    drop_ins: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """File name in `NAME.d/` to text."""
    start: bool = True
    """Whether it is to be active once the generation is (it is wanted by an active target)."""
    masked: bool = False


class User(Record):
    """One account that the configuration declares."""

    name: str
    uid: int = -1
    """-1: the host picks a free one in the system or the login range, once, and keeps it."""
    group: str = ""
    """The primary group; empty: a group of the user's own name."""
    groups: Tuple[str, ...] = ()
    """Supplementary groups. Memberships that others gave are left alone."""
    home: str = "/nonexistent"
    create_home: bool = False
    shell: str = "/usr/sbin/nologin"
    description: str = ""
    system: bool = True
    purge: bool = False
    """Whether the account is removed, not only locked, once it is no longer declared."""
    subordinate_ids: int = 0
    """How many user and group ids it has for containers of its own, as subuid(5) has it."""
    subordinate_start: int = -1
    """The first of them; -1: the host picks a free range, once, and keeps it."""


class Group(Record):
    """One group that the configuration declares."""

    name: str
    gid: int = -1
    members: Tuple[str, ...] = ()
    system: bool = True


class Check(Record):
    """One health probe that runs on the host. Times are in seconds, sizes in bytes; empty and 0 mean: whatever it is."""

    name: str
    kind: str
    """`command`, `http`, `tcp`, `unit`, `journal`, `file` or `prometheus`."""
    url: str = ""
    """http: the address. prometheus: that of the server."""
    method: str = "GET"
    """http."""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """http, prometheus: that are sent."""
    status: int = 200
    """http: the status that is healthy, where `statuses` is empty."""
    statuses: Tuple[str, ...] = ()
    """http: those that are: `204`, `200-299`."""
    body: str = ""
    """http: text that the body must contain."""
    expect_headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """http: names of headers that the answer must have, to text that their values contain."""
    redirects: int = 0
    """http: how many are followed; one more is the answer itself."""
    ca: str = ""
    """http, prometheus: a file with the certificates to believe instead of the host's."""
    verify: bool = True
    """http, prometheus: whether the certificate must be good."""
    server_name: str = ""
    """http, prometheus: the host name to present instead of the address's, and to find in the certificate."""
    certificate_days: int = 0
    """http: for which the certificate must still be good."""
    address: str = "127.0.0.1"
    """tcp."""
    port: int = 0
    """tcp."""
    send: str = ""
    """tcp: what is said once connected. http: the body of the request."""
    expect: str = ""
    """tcp: text that the answer must contain."""
    pattern: str = ""
    """A regular expression of Python's, searched for line by line (`^` and `$`): http, tcp, file: in what is read; journal:
    that must not be found."""
    command: Tuple[str, ...] = ()
    """command: program and arguments; healthy where it ends with 0. The program's store path is in the closure."""
    unit: str = ""
    """unit: healthy where it is active and has not restarted since activation. journal: whose lines."""
    memory_max: int = 0
    """unit: that its processes may use together."""
    path: str = ""
    """file."""
    mode: str = ""
    """file: octal."""
    max_age: float = 0.0
    """file: since it was last written."""
    query: str = ""
    """prometheus: in PromQL."""
    comparison: str = ""
    """prometheus: that holds for every sample: `< 0.05`."""
    inconclusive: str = "red"
    """prometheus: `red` or `green`: what it is where the server says nothing that can be compared."""
    initial_delay: float = 0.0
    interval: float = 1.0
    timeout: float = 5.0
    """Of one attempt."""
    successes: int = 1
    """Consecutive ones that make the check green."""
    failures: int = 1
    """Consecutive ones that make a green check red again."""
    unknown: str = ""
    """A key of a newer version, which is not understood here: this check can't be probed. Its system can be left all the same."""


class Timing(Record):
    """How long an activation may take, in seconds."""

    unit_timeout: float = 90.0
    """For one job of systemd's."""
    check_deadline: float = 60.0
    """From the end of switching until all checks must be green."""
    min_healthy_time: float = 0.0
    """For which they must stay green."""
    confirm_timeout: float = 30.0
    """From healthy until the controller's confirmation must have arrived over a fresh connection."""
    boot_timeout: float = 300.0
    """From the moment when a host boots into a new generation until it must have come up."""
    on_reboot: str = ROLL_BACK
    """What becomes of a transaction that waits for its checks or its confirmation while the host is restarted: `roll-back`, or
    `confirm-again`: once, it boots into the new generation, and is checked and confirmed from the beginning."""


class Retention(Record):
    """Which generations a host keeps, besides those that it needs in any case."""

    keep: int = 10
    """So many of the newest."""
    keep_for: float = 0.0
    """And all that were in use within so many seconds."""


class Manifest(Record):
    """All that one system declares."""

    etc: Tuple[EtcEntry, ...] = ()
    units: Tuple[Unit, ...] = ()
    users: Tuple[User, ...] = ()
    groups: Tuple[Group, ...] = ()
    sysctl: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tmpfiles: Tuple[str, ...] = ()
    """Lines of tmpfiles.d(5). They are in `etc` as `tmpfiles.d/deployer.conf` too."""
    checks: Tuple[Check, ...] = ()
    environment: str = ""
    """Store path of the environment on PATH; empty for none."""
    runtime: str = ""
    """Store path of the host runtime, a directory that holds `deployer.pyz`."""
    timing: Timing = Timing()
    generations: Retention = Retention()
    user_units: Tuple[Unit, ...] = ()
    """Those that every user's own systemd has; their files are in `etc` below `systemd/user`."""
    requires: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What the host must have by itself, an absolute path or the name of an account, to what needs it, for people."""
    architectures: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """What programs the host must be able to run, as uname(2) names it, to a package that has such programs, for people."""
    firewall: bool = False
    """Whether a firewall is declared, which must let the controller in."""

    @property
    def is_empty(self) -> bool:
        """Whether it declares nothing at all, so that activating it must change nothing."""
        return not (self.etc or self.units or self.users or self.groups or self.sysctl or self.tmpfiles or self.environment)

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no white space, and what has its default value left out."""
        document = {"format": FORMAT, **_document(self)}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Parse. Raises `ManifestRefused` or `FrameRefused`.

        Keys that this version does not know are ignored: the runtime of an older generation reads a newer one's manifest
        when it takes a host back. What must not be ignored changes `FORMAT`.
        """
        document = parse_document(data)
        if document.pop("format", None) != FORMAT:
            raise ManifestRefused(f"its format is not {FORMAT}")
        return _parse(cls, document, "manifest")


class ManifestRefused(DeploymentError):
    """A manifest that this version does not understand."""

    reason: str

    @property
    def message(self) -> str:
        """Why."""
        return f"the system's manifest is not understood: {self.reason}"

    @property
    def remedy(self) -> str:
        """What to do."""
        return "Deploy with the version of deployer that made it, or a newer one."


_MEMBERS: Final[Mapping[str, type]] = {
    "etc": EtcEntry,
    "units": Unit,
    "user_units": Unit,
    "users": User,
    "groups": Group,
    "checks": Check,
}
_T = TypeVar("_T", bound=Record)


def _document(value: Any) -> Dict[str, JsonValue]:
    document: Dict[str, JsonValue] = {}
    for name, default in _defaults(value.__class__):
        item = getattr(value, name)
        if item != default:
            document[name] = _plain(item)
    return document


def _plain(item: Any) -> JsonValue:
    if isinstance(item, (str, int, float)) or item is None:
        return item
    if isinstance(item, tuple):
        return [_plain(member) for member in item]
    if isinstance(item, Mapping):
        return {str(key): _plain(member) for key, member in item.items()}
    return _document(item)


@functools.cache
def _defaults(kind: Type[Any]) -> Tuple[Tuple[str, Any], ...]:
    return tuple((field.name, _default(field)) for field in fields_of(kind))


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def _parse(kind: Type[_T], document: JsonValue, where: str) -> _T:
    if not isinstance(document, dict):
        raise ManifestRefused(f"{where} is not an object")
    fields = {field.name: field for field in fields_of(kind)}
    arguments: Dict[str, Any] = {}
    for key, value in document.items():
        if key not in fields and kind is Check:
            arguments["unknown"] = key[:80]
            continue
        if key not in fields:
            continue
        arguments[key] = _parse_field(kind, key, _default(fields[key]), value, f"{where}.{key}")
    missing = [name for name, field in fields.items() if _default(field) is dataclasses.MISSING and name not in arguments]
    if missing:
        raise ManifestRefused(f"{where} lacks {', '.join(missing)}")
    return kind(**arguments)


def _parse_field(kind: type, key: str, default: Any, value: JsonValue, where: str) -> Any:
    if kind is Manifest and key in _MEMBERS:
        return tuple(_parse(_MEMBERS[key], item, f"{where}[{index}]") for index, item in enumerate(_list(value, where)))
    if isinstance(default, (Timing, Retention)):
        return _parse(type(default), value, where)
    if isinstance(default, tuple):
        return tuple(_string(item, where) for item in _list(value, where))
    if isinstance(default, dict):
        if not isinstance(value, dict):
            raise ManifestRefused(f"{where} is not an object")
        return {name: _string(item, where) for name, item in value.items()}
    if isinstance(default, bool):
        expected: Tuple[type, ...] = (bool,)
    elif isinstance(default, int):
        expected = (int,)
    elif isinstance(default, float):
        expected = (int, float)
    else:
        expected = (str,)
    if not isinstance(value, expected) or (isinstance(value, bool) and bool not in expected):
        raise ManifestRefused(f"{where} is not of type {expected[-1].__name__}")
    return float(value) if isinstance(default, float) else value  # type: ignore[arg-type]


def _list(value: JsonValue, where: str) -> Any:
    if not isinstance(value, list):
        raise ManifestRefused(f"{where} is not a list")
    return value


def _string(value: JsonValue, where: str) -> str:
    if not isinstance(value, str):
        raise ManifestRefused(f"{where} holds something that is not a string")
    return value
