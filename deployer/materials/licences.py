"""Licences as SPDX knows them, from what Debian packages and wheels say of theirs."""

from __future__ import annotations

import re
from email.message import Message
from typing import Final

_FORMAT: Final = re.compile(r"\A(?:#.*\n)*Format(?:-Specification)?:.*(?:copyright-format|dep5)", re.IGNORECASE)
_GNU: Final = re.compile(
    r"(?P<name>A?GPL|LGPL|GFDL)-?(?:v)?(?P<number>[123](?:\.\d)?)(?:\.0)?(?P<later>\+|-or-later)?(?:-only)?", re.I
)
_KNOWN: Final = {
    name.lower(): name
    for name in (
        *("0BSD", "Apache-2.0", "Artistic-1.0", "Artistic-2.0", "BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause"),
        *("BSL-1.0", "CC0-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "curl", "FSFAP", "FSFUL", "FSFULLR"),
        *("FTL", "HPND", "ICU", "IJG", "ISC", "MIT", "MIT-0", "MPL-1.1", "MPL-2.0", "NCSA", "OFL-1.1", "OpenSSL", "PSF-2.0"),
        *("Python-2.0", "TCL", "Unlicense", "Vim", "W3C", "WTFPL", "X11", "Zlib", "ZPL-2.1"),
    )
} | {
    "apache-2": "Apache-2.0",
    "artistic": "Artistic-1.0",
    "bsd-2": "BSD-2-Clause",
    "bsd-3": "BSD-3-Clause",
    "bsd-4": "BSD-4-Clause",
    "cc0": "CC0-1.0",
    "expat": "MIT",
}
"""Debian's short names, in lower case, that mean a licence of SPDX's list."""
_LONGEST_NAME: Final = 100
"""Characters: longer ones are the text of a licence and not its name."""


def debian_licences(copyright_file: str) -> tuple[str, ...]:
    """The licences of a machine-readable `debian/copyright` (DEP-5), each an SPDX expression where it is one that we know.

    Nothing where the file is not in that form: then only a person can read it.
    """
    if not _FORMAT.match(copyright_file):
        return ()
    found: set[str] = set()
    for stanza in re.split(r"\n\s*\n", copyright_file):
        # A stanza without files only holds the text of a licence that others name; the first one is of all files.
        if re.search(r"^(?:Files|Format(?:-Specification)?):", stanza, re.MULTILINE | re.IGNORECASE):
            found |= {spdx(match[1]) for match in re.finditer(r"^License:[ \t]*(\S.*)$", stanza, re.MULTILINE | re.IGNORECASE)}
    return tuple(sorted(found))


def wheel_licences(metadata: Message) -> tuple[str, ...]:
    """The licences that a wheel's METADATA names: the expression, else the name, else the classifiers."""
    if expression := metadata.get("License-Expression"):
        return (str(expression).strip(),)
    name = str(metadata.get("License") or "").strip()
    if name and "\n" not in name and len(name) <= _LONGEST_NAME and name.upper() != "UNKNOWN":
        return (spdx(name),)
    classifiers = [str(value) for value in metadata.get_all("Classifier", [])]
    return tuple(sorted({value.rpartition(" :: ")[2] for value in classifiers if value.startswith("License ::")}))


def spdx(text: str) -> str:
    """A short name of Debian's as an SPDX expression; as it is where any part of it is not known."""
    # `and` binds closer than `or`, in both; a comma before one of them puts what stands before it into parentheses.
    first, *more = re.split(r",\s+(and|or)\s+", " ".join(text.split()), flags=re.IGNORECASE)
    words = {word.upper() for word in more[::2]}
    parts = [_simple(part) for part in (first, *more[1::2])]
    if len(words) > 1 or None in parts:
        return text
    return f" {''.join(words)} ".join(f"({part})" if words and part and " " in part else str(part) for part in parts)


def _simple(text: str) -> str | None:
    alternatives = [[_identifier(name) for name in _split("and", part)] for part in _split("or", text)]
    if any(name is None for names in alternatives for name in names):
        return None
    return " OR ".join(" AND ".join(map(str, names)) for names in alternatives)


def _split(word: str, text: str) -> list[str]:
    return re.split(rf"\s+{word}\s+", text.strip(), flags=re.IGNORECASE)


def _identifier(name: str) -> str | None:
    if match := _GNU.fullmatch(name):
        number = match["number"] if "." in match["number"] or match["name"].upper() == "GFDL" else f"{match['number']}.0"
        return f"{match['name'].upper()}-{number}-{'or-later' if match['later'] else 'only'}"
    return _KNOWN.get(name.lower())
