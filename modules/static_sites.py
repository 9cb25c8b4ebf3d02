"""Static web sites: directories beside the configuration, served by nginx."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Field, Module, Submodule, types

module = Module("static_sites", "Static web sites: directories beside the configuration, served by nginx.")


def wrong_name(name: str) -> str:
    """What is wrong with the name of a site; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", name) else "has only letters, digits, - and ."


module.option(
    "static_sites",
    types.attributes_of(
        Submodule(
            {
                "source": Field(
                    types.file, "The directory, relative to the file that says so, or in a package.", example="./public"
                ),
                "names": Field(types.list_of(types.word), "Host names that it answers to; empty: its own name.", []),
                "port": Field(types.port, "Where it listens.", 80),
            },
            "a mapping that describes a site",
        ),
        wrong_name,
    ),
    "Sites whose pages come with the generation: all of them change at once, when it does, and nothing is restarted.",
    default={},
    example={"example.org": {"source": "${pkgs.site}/share/www"}},
)


@module.defines("etc")
def pages(config: ConfigView) -> dict[str, object]:
    """Where nginx finds them: a link that moves with the generation."""
    return {f"static-sites/{name}": {"source": site["source"]} for name, site in config["static_sites"].items()}


@module.defines("services.nginx.sites")
def sites(config: ConfigView) -> dict[str, object]:
    """A site of nginx for each."""
    return {
        name: {"root": f"/etc/static-sites/{name}", "names": site["names"], "port": site["port"]}
        for name, site in config["static_sites"].items()
    }


@module.asserts
def somebody_serves_them(config: ConfigView) -> Iterator[Fault]:
    """Pages need a server."""
    if config["static_sites"] and config["services.nginx.package"] is None:
        remedy = "Add `services: {nginx: {package: host}}`, or another package."
        yield Fault("`static_sites` has sites, and there is no nginx to serve them", remedy, "static_sites")
