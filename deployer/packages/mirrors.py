"""Where .debs come from, and all else: the machine's own business, never the repository's.

The first of these that names a mirror wins: `DEPLOYER_DEBIAN_MIRRORS` (URLs separated by spaces), the file `debian-mirrors` in
`$XDG_CONFIG_HOME/deployer` or `/etc/deployer` (one URL a line), the apt sources of this machine (read, never written). Those that
are named by their URLs sign with a key of `debian-keyring.gpg` in the same places, else with the distribution's own.

A machine may have vendor directories in place of the network, for .debs and whatever else is fetched: `DEPLOYER_VENDOR`, or the
file `vendor` in the same places.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deployer.packages.errors import MirrorsUnknown, SettingsUnreadable

VARIABLE: Final = "DEPLOYER_DEBIAN_MIRRORS"
KEYRING: Final = "debian-keyring.gpg"
VENDOR: Final = "DEPLOYER_VENDOR"
_KEYRINGS: Final = (
    Path("/usr/share/keyrings/debian-archive-keyring.gpg"),
    Path("/usr/share/keyrings/ubuntu-archive-keyring.gpg"),
)
_KEYRING_NAMES: Final = ("debian-archive", "ubuntu-archive")
_KINDS_OF_SUITES: Final = ("-security", "-updates")
_ONE_LINE: Final = re.compile(r"deb\s+(?:\[(?P<options>[^\]]*)\]\s*)?(?P<url>\S+)\s+(?P<suite>\S+)(?P<components>.*)")


@dataclass(frozen=True, slots=True)
class Mirror:
    """One mirror, and what is known of it."""

    url: str
    suites: tuple[str, ...] = ()
    """Empty: any."""
    signed_by: str = ""
    """A keyring file; empty: apt's own trust."""

    def serves(self, suite: str) -> bool:
        """Whether it is worth asking for a suite."""
        return not self.suites or suite in self.suites


def find_mirrors(environment: Mapping[str, str] | None = None, *, root: Path = Path("/")) -> tuple[Mirror, ...]:
    """The mirrors that this machine uses, in the order to ask them. Raises `MirrorsUnknown`."""
    environment = os.environ if environment is None else environment
    if named := environment.get(VARIABLE, "").split():
        return tuple(Mirror(url, signed_by=_keyring(environment, root)) for url in named)
    settings = settings_files("debian-mirrors", environment, root)
    if urls := urls_of(settings):
        return tuple(Mirror(url, signed_by=_keyring(environment, root)) for url in urls)
    if found := _from_apt(root / "etc/apt"):
        return found
    raise MirrorsUnknown((VARIABLE, *map(str, settings), str(root / "etc/apt")))


def find_vendor(environment: Mapping[str, str] | None = None, *, root: Path = Path("/")) -> tuple[str, ...]:
    """The URLs of the vendor directories that this machine uses in place of the network; none where it uses the network."""
    environment = os.environ if environment is None else environment
    named = environment.get(VENDOR, "").split() or urls_of(settings_files("vendor", environment, root))
    return tuple(map(vendor_url, named))


def vendor_url(place: str) -> str:
    """A vendor directory, by its path or its URL, as a URL."""
    return place if "://" in place else Path(place).absolute().as_uri()


def settings_files(name: str, environment: Mapping[str, str], root: Path) -> tuple[Path, ...]:
    """Where a file of the user's or of the machine's may be that lists URLs."""
    own, home = environment.get("XDG_CONFIG_HOME"), _home(environment)
    users = [Path(own)] if own else [home / ".config"] if home else []
    return *(directory / "deployer" / name for directory in users), root / "etc/deployer" / name


def _home(environment: Mapping[str, str]) -> Path | None:
    """The user's home; None for one who has neither the variable nor an account."""
    if named := environment.get("HOME"):
        return Path(named)
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def urls_of(files: Iterable[Path]) -> tuple[str, ...]:
    """The lines of the first of these files that has any; what follows a `#` is a remark. Raises `SettingsUnreadable`."""
    texts = (_text(file) for file in files)
    found = (tuple(url for line in text.splitlines() if (url := line.partition("#")[0].strip())) for text in texts)
    return next((urls for urls in found if urls), ())


def _text(file: Path) -> str:
    """Of a file of settings; empty where there is none."""
    try:
        return file.read_text(encoding="utf-8") if file.is_file() else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsUnreadable(str(file), getattr(error, "strerror", None) or str(error)) from None


def mirrors_of(suite: str, mirrors: Sequence[Mirror]) -> tuple[Mirror, ...]:
    """The mirrors that are worth asking for a suite, best first. Raises `MirrorsUnknown`.

    Where no source names the suite, the mirrors of other releases have it too; those of security suites have security suites.
    """
    if named := tuple(mirror for mirror in mirrors if mirror.serves(suite)):
        return named
    ending = next((ending for ending in _KINDS_OF_SUITES if suite.endswith(ending)), "")
    alike = [mirror for mirror in mirrors if any(other.endswith(ending) for other in mirror.suites)] if ending else mirrors[:1]
    if not alike:
        raise MirrorsUnknown((f"the sources of this machine, for the suite {suite}",))
    return tuple(alike)


def mirror_urls(mirrors: Iterable[Mirror]) -> tuple[str, ...]:
    """The URLs, each once."""
    return tuple(dict.fromkeys(mirror.url for mirror in mirrors))


def _from_apt(directory: Path) -> tuple[Mirror, ...]:
    parts = directory / "sources.list.d"
    found: list[Mirror] = []
    for file in [directory / "sources.list", *sorted(parts.glob("*"))]:
        read = {".list": _one_line, ".sources": _deb822}.get(file.suffix)
        # A source with a password in it may be root's alone: then it is not for this user.
        with contextlib.suppress(PermissionError):
            found += read(file.read_text(errors="replace")) if read is not None and file.is_file() else ()
    found = [mirror for mirror in found if _is_distribution(mirror)]
    # Those that name the distribution's own keyring are surely its mirrors; an entry without a keyring may be anyone's.
    return tuple(sorted(found, key=lambda mirror: not mirror.signed_by))


def _is_distribution(mirror: Mirror) -> bool:
    scheme = mirror.url.partition(":")[0]
    flat = any(suite.endswith("/") for suite in mirror.suites)
    own_key = not mirror.signed_by or any(name in mirror.signed_by for name in _KEYRING_NAMES)
    return scheme in ("http", "https", "file") and not flat and own_key


def _one_line(text: str) -> Iterable[Mirror]:
    for line in text.splitlines():
        if match := _ONE_LINE.fullmatch(line.partition("#")[0].strip()):
            options = dict(option.split("=", 1) for option in (match["options"] or "").split() if "=" in option)
            yield Mirror(match["url"], (match["suite"],), options.get("signed-by", ""))


def _deb822(text: str) -> Iterable[Mirror]:
    for stanza in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        last = ""
        for line in stanza.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[last] = f"{fields.get(last, '')}\n{line.strip()}"
            else:
                last, _, value = line.partition(":")
                last = last.lower()
                fields[last] = value.strip()
        if fields.get("enabled", "yes") == "no" or "deb" not in fields.get("types", "").split():
            continue
        signed_by = fields.get("signed-by", "").strip()
        if signed_by and not signed_by.startswith("/"):
            continue  # a key in the file itself: a stranger's
        for url in fields.get("uris", "").split():
            yield Mirror(url, tuple(fields.get("suites", "").split()), signed_by)


def _keyring(environment: Mapping[str, str], root: Path) -> str:
    """What mirrors that are named by their URLs sign with."""
    files = (*settings_files(KEYRING, environment, root), *_KEYRINGS)
    return next((str(file) for file in files if file.exists()), "")
