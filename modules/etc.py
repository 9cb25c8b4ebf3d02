"""Files, links and directories in /etc."""

import fnmatch
import re
from collections.abc import Iterable, Iterator

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("etc", "Files, links and directories in /etc.")


LONGEST = 3900
"""Bytes of a path below /etc: with what stands before it in the profile and in the store, Linux takes 4095."""


REAL = (
    "cron.d/*",
    "crontab",
    "crypttab",
    "fstab",
    "hostname",
    "pam.d/*",
    "ssh/sshd_config",
    "ssh/sshd_config.d/*",
    "sudoers",
    "sudoers.d/*",
)
"""Entries that are real files where they do not say otherwise: docs/reference/managed.md says why."""
READ_NO_LINKS = ("cron.d/*", "crontab")
ACCOUNTS = re.compile(r"(passwd|shadow|group|gshadow|subuid|subgid)-?|\.pwd\.lock")
NAMES_THAT_ARE_READ = {"cron.d/*": r"[A-Za-z0-9_-]+", "sudoers.d/*": r"[^.]*[^.~]"}
"""Debian's cron and every sudo skip other names without a word: cron(8), sudoers(5)."""


def matches(path: str, patterns: Iterable[str]) -> str:
    """The first pattern that a path below /etc fits; `*` stands for one name. Empty: none."""
    fitting = (one for one in patterns if path.count("/") == one.count("/") and fnmatch.fnmatchcase(path, one))
    return next(fitting, "")


def wrong_path(path: str) -> str:
    """What is wrong with a path below /etc; empty: nothing."""
    if path.startswith("/"):
        return "is relative to /etc, without a leading /"
    if not path or any(part in ("", ".", "..") for part in path.split("/")):
        return "has no empty part and no '..'"
    if re.search(r"[\x00-\x1f\x7f]", path):
        return "has no control characters"
    if any(len(part.encode()) > 255 for part in path.split("/")):
        return "has no part of more than 255 bytes"
    if len(path.encode()) > LONGEST:
        return f"has at most {LONGEST} bytes"
    return ""


ENTRY = Submodule(
    {
        "text": Field(types.null_or(types.string), "The content.", None, "Welcome\n"),
        "source": Field(
            types.null_or(types.file),
            "A file or directory with the content, relative to the file that says so, or in a package: ${pkgs.NAME}/share/x.",
            None,
        ),
        "target": Field(types.null_or(types.line), "Makes a plain symbolic link to this, letter for letter.", None),
        "kind": Field(
            types.null_or(types.enumeration("link", "file", "symlink", "directory")),
            "link: a link that moves with the generation (the default for most); file: a real file (the default for what sudo, "
            "sshd, PAM and cron read, and for what is read early at boot); symlink: a link to `target`; directory.",
            None,
        ),
        "mode": Field(types.null_or(types.mode), "Permissions of a file or directory.", None),
        "owner": Field(types.name, "Owner of a file or directory.", "root"),
        "group": Field(types.name, "Group of a file or directory.", "root"),
        "replace": Field(
            types.boolean, "Whether a file of the host's own may be set aside; it returns when this entry goes.", False
        ),
        "validate": Field(
            types.list_of(types.line),
            "Program and arguments, run on the host, that must accept the content before anything changes: it is where `{file}` "
            "stands.",
            [],
            ["/usr/sbin/nft", "-c", "-f", "{file}"],
        ),
    },
    "a mapping with `text`, `source`, `target` or `kind: directory`",
)

module.option(
    "etc",
    types.attributes_of(ENTRY, wrong_path),
    "What stands in /etc, by path relative to it. What is not declared is left alone.",
    default={},
    example={"hello/hello.conf": {"text": "port = 8080\n"}},
)


@module.asserts
def each_entry_has_one_content(config: ConfigView) -> Iterator[Fault]:
    """An entry has one content, and only what its kind can have."""
    for path, entry in config["etc"].items():
        given = [name for name in ("text", "source", "target") if entry[name] is not None]
        kind = kind_of(path, entry)
        if kind == "directory" and given:
            yield Fault(f"etc entry '{path}' is a directory and has `{given[0]}`", f"Remove `{given[0]}`.", f"etc.{path}")
        elif kind != "directory" and len(given) != 1:
            found = " and ".join(f"`{name}`" for name in given) or "none"
            yield Fault(
                f"etc entry '{path}' needs one of `text`, `source` and `target`, and has {found}",
                "Give it exactly one.",
                f"etc.{path}",
            )
        elif (kind == "symlink") != (given == ["target"]):
            yield Fault(
                f"etc entry '{path}' is of kind {kind} and has `{given[0]}`", "`target` goes with symlink.", f"etc.{path}"
            )
        if kind in ("link", "symlink") and (entry["mode"], entry["owner"], entry["group"]) != (None, "root", "root"):
            remedy = "Add `kind: file` to make it a real file."
            yield Fault(f"etc entry '{path}' is a link, and links have no mode or owner", remedy, f"etc.{path}")


@module.asserts
def contents_can_be_validated(config: ConfigView) -> Iterator[Fault]:
    """A command that judges a content knows where it is."""
    for path, entry in config["etc"].items():
        command, at = entry["validate"], f"etc.{path}.validate"
        if not command:
            continue
        if kind_of(path, entry) not in ("link", "file"):
            yield Fault(f"etc entry '{path}' has no content that `validate` could judge", "Remove `validate`.", at)
        elif not command[0].startswith("/"):
            message = f"etc entry '{path}': the program {command[0]!r} of `validate` is no absolute path"
            yield Fault(message, "Write ${pkgs.NAME}/bin/PROGRAM, or a path of the host's.", at)
        elif not any("{file}" in word for word in command[1:]):
            message = f"etc entry '{path}': no argument of `validate` has {{file}}, where the content is"
            yield Fault(message, "Add it, such as in [/usr/sbin/nft, -c, -f, '{file}'].", at)


@module.asserts
def owners_are_known(config: ConfigView) -> Iterator[Fault]:
    """A file's owner is somebody whom this configuration, or every system, has."""
    for path, entry in config["etc"].items():
        for field in ("owner", "group"):
            name = entry[field]
            if name not in config["known_accounts"] and not name.isdecimal():
                message = f"etc entry '{path}' belongs to the {field} '{name}', whom this configuration does not declare"
                remedy = f"Declare `{field.replace('owner', 'user')}s.{name}`, or, where the host has the account by itself, "
                yield Fault(message, f"{remedy}`requires.accounts.{name}`.", f"etc.{path}.{field}")


@module.asserts
def no_entry_stands_below_another(config: ConfigView) -> Iterator[Fault]:
    """A file can't be a directory as well."""
    entries = config["etc"]
    for path in entries:
        parents = ["/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)]
        for parent in parents:
            if parent in entries and kind_of(parent, entries[parent]) != "directory":
                yield Fault(f"etc entry '{path}' stands below '{parent}', which is no directory", "Remove one.", f"etc.{path}")


@module.asserts
def no_entry_stands_where_others_may_write(config: ConfigView) -> Iterator[Fault]:
    """Whoever may write in a directory could put anything in an entry's place."""
    entries = config["etc"]
    for path in entries:
        for parent in ("/".join(path.split("/")[:depth]) for depth in range(1, path.count("/") + 1)):
            entry = entries.get(parent)
            if entry is None or kind_of(parent, entry) != "directory":
                continue
            mode = int(entry["mode"] or "0755", 8)
            if entry["owner"] not in ("root", "0"):
                who = f"belongs to '{entry['owner']}'"
            elif mode & 0o002 or (mode & 0o020 and entry["group"] not in ("root", "0")):
                who = f"may be written by others (mode {mode:04o})"
            else:
                continue
            message = f"etc entry '{path}' stands in '{parent}', which {who}: they could replace it"
            yield Fault(
                message, "Give the directory to root with mode 0755 or 0750, and a group that may read it.", f"etc.{path}"
            )


@module.asserts
def account_files_are_not_entries(config: ConfigView) -> Iterator[Fault]:
    """They belong to the host; accounts are declared, and edited into them."""
    for path in config["etc"]:
        if ACCOUNTS.fullmatch(path):
            yield Fault(f"/etc/{path} is the host's own record of accounts", "Declare `users` and `groups`.", f"etc.{path}")


@module.asserts
def readers_of_links_only_get_files(config: ConfigView) -> Iterator[Fault]:
    """A file that its reader skips is worse than none."""
    for path, entry in config["etc"].items():
        if entry["kind"] == "link" and matches(path, READ_NO_LINKS):
            message = f"etc entry '{path}' is a link into the store, whose files have several names, and cron reads none of those"
            yield Fault(message, "Remove `kind: link`: then it is a real file.", f"etc.{path}.kind")


@module.warns
def names_are_read(config: ConfigView) -> Iterator[Fault]:
    """cron and sudo skip files by their names."""
    for path in config["etc"]:
        pattern = matches(path, NAMES_THAT_ARE_READ)
        if pattern and not re.fullmatch(NAMES_THAT_ARE_READ[pattern], path.rpartition("/")[2]):
            who = pattern.partition(".")[0].replace("sudoers", "sudo")
            yield Fault(
                f"{who} does not read '{path}', because of its name", "Use a name of letters, digits, _ and -.", f"etc.{path}"
            )


def kind_of(path: str, entry: dict[str, object]) -> str:
    """The kind that an entry has, where it does not say."""
    if entry["kind"] is not None:
        return str(entry["kind"])
    if entry["target"] is not None:
        return "symlink"
    return "file" if entry["mode"] is not None or matches(path, REAL) else "link"
