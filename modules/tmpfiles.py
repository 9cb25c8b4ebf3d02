"""Files and directories that systemd-tmpfiles makes and cleans."""

from deployer.config import ConfigView, Module, types

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
