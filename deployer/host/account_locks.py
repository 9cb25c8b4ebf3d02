"""Who gets in: what a new account's line of shadow says, and locking an account and letting it in again. Pure."""

from __future__ import annotations

from typing import Callable, Final

from deployer.formats.manifest import User
from deployer.host.account_texts import EXPIRES, PASSWD, PASSWORD, SHADOW, SHELL, AccountTexts

LOCKED: Final = "!"
"""Before the password of an account that is locked."""
EXPIRED: Final = "1"
"""Expired on the second day of 1970: no way of logging in goes past that, also with a key."""
NO_SHELL: Final = "/usr/sbin/nologin"


def shadow_line(user: User) -> str:
    """Nobody can log in with a password until somebody sets one on the host; a person's key is let in, a service's is not."""
    return f"{user.name}:{LOCKED if user.system else '*'}:::::::"


def is_locked(files: AccountTexts, name: str) -> bool:
    """By us: nobody else lets accounts expire on that day."""
    shadow = files.fields(SHADOW, name)
    if shadow is None:
        passwd = files.fields(PASSWD, name)
        return passwd is not None and passwd[PASSWORD].startswith(LOCKED)
    return len(shadow) > EXPIRES and shadow[EXPIRES] == EXPIRED


def lock(files: AccountTexts, name: str) -> None:
    """Let a user in no more, who is there."""
    passwd = files.fields(PASSWD, name) or []
    files.replace(PASSWD, name, ":".join([*passwd[:SHELL], NO_SHELL, *passwd[SHELL + 1 :]]))
    _edit_password(files, name, lambda word: LOCKED + word if word != LOCKED else word, EXPIRED)


def unlock(files: AccountTexts, name: str) -> None:
    """Give a locked user back the password, and no date. The shell stays as it is."""
    _edit_password(files, name, lambda word: word[1:] if word.startswith(LOCKED) and len(word) > 1 else word, "")


def _edit_password(files: AccountTexts, name: str, edit: Callable[[str], str], expires: str) -> None:
    path = SHADOW if files.fields(SHADOW, name) is not None else PASSWD
    fields = list(files.fields(path, name) or ())
    fields[PASSWORD] = edit(fields[PASSWORD])
    if path == SHADOW:
        fields += [""] * (EXPIRES + 2 - len(fields))
        fields[EXPIRES] = expires
    files.replace(path, name, ":".join(fields))
