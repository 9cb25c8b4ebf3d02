"""Language, and how numbers and dates are written."""

import re

from deployer.config import ConfigView, Module, types

module = Module("locale", "Language, and how numbers and dates are written.")


def wrong_category(name: str) -> str:
    """What is wrong with a variable's name; empty: nothing."""
    return "" if re.fullmatch(r"LANG|LANGUAGE|LC_[A-Z]{2,20}", name) else "is LANG, LANGUAGE or one such as LC_TIME"


module.option(
    "locale",
    types.attributes_of(types.text("a locale such as C.UTF-8", pattern=r"[A-Za-z0-9_.@:-]+"), wrong_category),
    "Variables of locale(7) for services and logins. The host must have the locales: every one has C.UTF-8.",
    default={},
    example={"LANG": "C.UTF-8", "LC_TIME": "de_DE.UTF-8"},
)


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """systemd and Fedora's kin read the one, Debian's logins the other."""
    text = "".join(f"{name}={value}\n" for name, value in sorted(config["locale"].items()))
    entry = {"text": text, "kind": "file", "replace": True}
    return {"locale.conf": entry, "default/locale": entry} if text else {}
