"""Packages whose programs everybody finds."""

from deployer.config import ConfigView, Module, types

module = Module("packages", "Packages whose programs everybody finds.")

module.option(
    "packages",
    types.unique_list_of(types.package),
    "Names of packages whose bin/ is on everybody's PATH. A unit needs no entry here: it names ${pkgs.NAME}.",
    default=[],
    example=["hello-server"],
)


@module.defines("etc")
def profile(config: ConfigView) -> dict[str, object]:
    """Login shells learn where the programs are."""
    if not config["packages"]:
        return {}
    return {"profile.d/deployer.sh": {"text": 'PATH="/var/lib/deployer/profile/current/sw/bin:$PATH"\nexport PATH\n'}}
