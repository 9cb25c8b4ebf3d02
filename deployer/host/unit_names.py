"""Names of units: instances and their templates, and those that a running host hangs on."""

from __future__ import annotations

from typing import Final, Iterable, Optional

LEFT_ALONE: Final = (
    "dbus.service",
    "dbus-broker.service",
    "dbus.socket",
    "systemd-logind.service",
    "getty@",
    "serial-getty@",
    "console-getty.service",
    "user@",
    "user-runtime-dir@",
    "init.scope",
)
"""Never stopped nor restarted: what is logged in or running would go with them. Their changes wait for the next boot."""
LIFELINES: Final = (
    "ssh.service",
    "sshd.service",
    "ssh@",
    "sshd@",
    "ssh.socket",
    "sshd.socket",
    "networking.service",
    "NetworkManager.service",
    "systemd-networkd.service",
    "systemd-networkd.socket",
    "systemd-resolved.service",
    "systemd-journald.service",
    "systemd-udevd.service",
)
"""How we reach a host: restarted where another would be stopped, since the distribution brings them too."""
NEVER_STARTED_TARGETS: Final = frozenset(
    {
        "suspend.target",
        "hibernate.target",
        "hybrid-sleep.target",
        "suspend-then-hibernate.target",
        "sleep.target",
        "reboot.target",
        "poweroff.target",
        "halt.target",
        "kexec.target",
        "shutdown.target",
        "rescue.target",
        "emergency.target",
    }
)


def template_of(name: str) -> Optional[str]:
    """`foo@.service` for `foo@bar.service`; None for what is no instance."""
    stem, _, suffix = name.rpartition(".")
    prefix, at, instance = stem.partition("@")
    return f"{prefix}@.{suffix}" if at and instance else None


def is_template(name: str) -> bool:
    """Whether this is `foo@.service`, which never runs itself."""
    return "@." in name


def is_one_of(name: str, names: Iterable[str]) -> bool:
    """`getty@` stands for all instances."""
    return any(name == one or (one.endswith("@") and name.startswith(one)) for one in names)
