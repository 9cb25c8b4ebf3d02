"""Certificate authorities that the host believes besides its own."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Module, types

module = Module("certificates", "Certificate authorities that the host believes besides its own.")

OURS = "ssl/deployer-authorities"
LOCAL = "/usr/local/share/ca-certificates/deployer"
UPDATE = "/usr/sbin/update-ca-certificates"


def wrong_name(name: str) -> str:
    """What is wrong with a name; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,60}", name) else "has only letters, digits, _ and -"


module.option(
    "certificate_authorities",
    types.attributes_of(types.string, wrong_name),
    "Certificates in PEM, by name: one each. Debian's update-ca-certificates adds them to what all programs of the host believe.",
    default={},
    example={"example-root": "-----BEGIN CERTIFICATE-----\nMIIB…\n-----END CERTIFICATE-----\n"},
)


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """A file for each."""
    return {f"{OURS}/{name}.crt": {"text": pem} for name, pem in config["certificate_authorities"].items()}


@module.defines("systemd.services")
def bundle(config: ConfigView) -> dict[str, object]:
    """Makes the host's bundle anew when one comes, changes or goes; the host's own are always in it."""
    if not config["certificate_authorities"]:
        return {}
    return {
        "certificate-authorities": {
            "description": "Certificate authorities",
            "wanted_by": ["multi-user.target"],
            "check": True,
            "unit": {"X-Restart-Triggers": [f"/etc/{OURS}/{name}.crt" for name in config["certificate_authorities"]]},
            "service": {
                "Type": "oneshot",
                "RemainAfterExit": True,
                "ExecStart": [f"/bin/ln -sfn /etc/{OURS} {LOCAL}", UPDATE],
                "ExecStop": [f"/bin/rm -f {LOCAL}", f"{UPDATE} --fresh"],
            },
        }
    }


@module.defines("requires.paths")
def program(config: ConfigView) -> dict[str, list[str]]:
    """The host's own program knows where its bundle is."""
    return {UPDATE: ["`certificate_authorities`"]} if config["certificate_authorities"] else {}


@module.asserts
def each_is_one_certificate(config: ConfigView) -> Iterator[Fault]:
    """A private key must never be here, and update-ca-certificates takes one certificate a file."""
    for name, pem in config["certificate_authorities"].items():
        at = f"certificate_authorities.{name}"
        if "PRIVATE KEY" in pem:
            message = f"the certificate authority '{name}' holds a private key, and everybody can read what is here"
            yield Fault(message, "Remove the key from the file, and make a new one: it has been seen.", at)
        elif not re.fullmatch(r"\s*-----BEGIN CERTIFICATE-----\n[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*", pem):
            yield Fault(f"the certificate authority '{name}' is not one certificate in PEM", "Give one BEGIN and END.", at)
