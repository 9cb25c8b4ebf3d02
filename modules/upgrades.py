"""Upgrades of the distribution, without anybody."""

from deployer.config import ConfigView, Field, Module, Submodule, types

module = Module("upgrades", "Upgrades of the distribution, without anybody.")

PROGRAM = "/usr/bin/unattended-upgrade"
APT = "/usr/bin/apt-config"
SETTINGS = "apt/apt.conf.d/99deployer-upgrades"

module.option(
    "upgrades",
    Submodule(
        {
            "enable": Field(types.boolean, "Whether they are installed.", False),
            "which": Field(
                types.enumeration("security", "all"),
                "security: what repairs holes, as the host's unattended-upgrades has it; all: the release's updates too.",
                "security",
            ),
            "keep_back": Field(types.list_of(types.name), "Packages that are never upgraded so.", [], ["postgresql-15"]),
            "reboot": Field(
                types.null_or(types.text("a time such as 04:00", pattern=r"[0-2][0-9]:[0-5][0-9]")),
                "When to reboot where an upgrade asks for it; null: never.",
                None,
                "04:00",
            ),
        },
        "a mapping that describes upgrades",
    ),
    "Upgrades of Debian's and Ubuntu's own packages by their unattended-upgrades, daily.",
    default={},
    example={"enable": True, "keep_back": ["postgresql-15"]},
)


def lines(config: ConfigView) -> list[str]:
    """As apt.conf(5) has them."""
    upgrades = config["upgrades"]
    made = ['APT::Periodic::Update-Package-Lists "1";', 'APT::Periodic::Unattended-Upgrade "1";']
    if upgrades["which"] == "all":
        made.append('Unattended-Upgrade::Origins-Pattern:: "origin=${distro_id},codename=${distro_codename}-updates";')
        made.append('Unattended-Upgrade::Origins-Pattern:: "origin=${distro_id},codename=${distro_codename}";')
    made += [f'Unattended-Upgrade::Package-Blacklist:: "^{name}$";' for name in upgrades["keep_back"]]
    if upgrades["reboot"] is not None:
        made += [
            'Unattended-Upgrade::Automatic-Reboot "true";',
            f'Unattended-Upgrade::Automatic-Reboot-Time "{upgrades["reboot"]}";',
        ]
    return made


@module.defines("etc")
def settings(config: ConfigView) -> dict[str, object]:
    """Read after the host's own, and stronger; apt must accept them before anything changes."""
    if not config["upgrades"]["enable"]:
        return {}
    text = "".join(f"{line}\n" for line in lines(config))
    return {SETTINGS: {"text": text, "validate": [APT, "-c", "{file}", "dump"]}}


@module.defines("requires.paths")
def program(config: ConfigView) -> dict[str, list[str]]:
    """The host's own timers run the host's own program."""
    return {PROGRAM: ["`upgrades`"]} if config["upgrades"]["enable"] else {}
