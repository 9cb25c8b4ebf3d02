"""Files and directories that systemd-tmpfiles makes and cleans."""

from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Module, types

module = Module("tmpfiles", "Files and directories that systemd-tmpfiles makes and cleans.")

module.option(
    "tmpfiles.rules",
    types.list_of(types.line),
    "Lines of tmpfiles.d(5). They are applied at every activation and at every boot.",
    default=[],
    example=["d /var/lib/hello 0755 hello hello -"],
)


@module.defines("etc")
def rules_file(config: ConfigView) -> dict[str, object]:
    """The lines, where systemd looks for them."""
    rules = config["tmpfiles.rules"]
    return {"tmpfiles.d/deployer.conf": {"text": "".join(f"{rule}\n" for rule in rules)}} if rules else {}


@module.asserts
def owners_are_known(config: ConfigView) -> Iterator[Fault]:
    """Whose a path becomes is somebody whom this configuration, or every system, has."""
    known = {"-", *config["known_accounts"]}
    for rule in config["tmpfiles.rules"]:
        owners = zip(rule.split()[3:5], ("users", "groups"), strict=False)
        for name, declared in {word.lstrip(":"): kind for word, kind in reversed([*owners])}.items():
            if name in known or name.isdecimal() or "%" in name or '"' in rule:
                continue
            message = f"the rule '{rule}' gives the path to '{name}', whom this configuration does not declare"
            remedy = f"Declare `{declared}.{name}`, or, where the host has the account by itself, `requires.accounts.{name}`."
            yield Fault(message, remedy, "tmpfiles.rules", item=rule)
