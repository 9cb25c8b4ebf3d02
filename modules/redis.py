"""Redis: a cache in memory, kept on disk."""

import re
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Module, command_line, program_of, reached_at, types

module = Module("redis", "Redis: a cache in memory, kept on disk.")

HOSTS_OWN = "/usr/bin/redis-server"
CONFIGURATION = "redis-deployer/redis.conf"
SECRET = ("requirepass", "masterauth", "user")


def wrong_setting(name: str) -> str:
    """What is wrong with the name of a setting; empty: nothing."""
    return "" if re.fullmatch(r"[a-z][a-z0-9-]*", name) else "is a setting of redis.conf such as maxmemory-policy"


module.option(
    "services.redis.package",
    types.null_or(types.package_or_host),
    "Where Redis comes from: ${pkgs.NAME}, or host: the host's own, whose unit ours replaces. null: there is none.",
    default=None,
    example="host",
)
module.option("services.redis.address", types.word, "The address on which it listens.", default="127.0.0.1")
module.option("services.redis.port", types.port, "Where it listens.", default=6379)
module.option(
    "services.redis.memory_max",
    types.null_or(types.size),
    "Bytes that its data may take; what was not used for longest goes then. null: any.",
    default=None,
    example="256M",
)
module.option(
    "services.redis.settings",
    types.attributes_of(types.OneOrMany(types.setting), wrong_setting),
    "More settings of redis.conf.",
    default={},
    example={"appendonly": True},
)


def wanted(config: ConfigView) -> bool:
    """Whether there is a Redis."""
    return config["services.redis.package"] is not None


def program(config: ConfigView) -> str:
    """Where it is."""
    return program_of(config, config["services.redis.package"], of_debian=HOSTS_OWN, own="bin/redis-server")


@module.defines("etc")
def configuration(config: ConfigView) -> dict[str, object]:
    """Its settings."""
    if not wanted(config):
        return {}
    memory = config["services.redis.memory_max"]
    bounds = {} if memory is None else {"maxmemory": memory, "maxmemory-policy": "allkeys-lru"}
    settings = {
        "bind": config["services.redis.address"],
        "port": config["services.redis.port"],
        "dir": "/var/lib/redis",
        "supervised": "systemd",
        "daemonize": "no",
        "logfile": '""',
        **bounds,
        **config["services.redis.settings"],
    }
    lines = [(key, one) for key, value in sorted(settings.items()) for one in (value if isinstance(value, list) else [value])]
    return {CONFIGURATION: {"text": "".join(f"{key} {value}\n" for key, value in lines)}}


@module.defines("systemd.services")
def service(config: ConfigView) -> dict[str, object]:
    """The server; in place of the distribution's own unit, where that has one."""
    if not wanted(config):
        return {}
    return {
        "redis-server": {
            "description": "Redis",
            "after": ["network.target"],
            "wanted_by": ["multi-user.target"],
            "check": True,
            "service": {
                "Type": "notify",
                "User": "redis",
                "ExecStart": command_line([program(config), f"/etc/{CONFIGURATION}"]),
                "Restart": "on-failure",
                "StateDirectory": "redis",
                "LimitNOFILE": 65535,
                "PrivateTmp": True,
                "ProtectSystem": "full",
                "ProtectHome": True,
                "NoNewPrivileges": True,
            },
        }
    }


@module.package_or_host("services.redis", users={"redis": {"description": "Redis"}}, unit="redis-server")
def hosts_programs(config: ConfigView) -> list[str]:
    """What the host must bring, where it is the host's own."""
    return [HOSTS_OWN]


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """Where it listens."""
    listens = {"port": config["services.redis.port"], "address": config["services.redis.address"]}
    return {"redis": listens | {"option": "services.redis.port"}} if wanted(config) else {}


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """It says PONG."""
    if not wanted(config):
        return {}
    address = reached_at(config["services.redis.address"].split()[0])
    asked = {"kind": "tcp", "address": address, "port": config["services.redis.port"]}
    return {"redis": asked | {"send": "PING\r\n", "expect": "PONG"}}


@module.asserts
def no_password_is_in_the_store(config: ConfigView) -> Iterator[Fault]:
    """Everybody on the host can read what is here."""
    for name in config["services.redis.settings"]:
        if name in SECRET:
            remedy = "Put it in a file on the host, and name that: `aclfile: /etc/redis/users.acl`."
            message = f"`services.redis.settings` has {name}, and everybody can read what is here"
            yield Fault(message, remedy, f"services.redis.settings.{name}")
