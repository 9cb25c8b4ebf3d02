"""PostgreSQL: a server, its roles and its databases."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, program_of, types

module = Module("postgresql", "PostgreSQL: a server, its roles and its databases.")

DIRECTORY = "postgresql-deployer"
SOCKETS = "/run/postgresql"
NEW_DATA = ("--username=postgres", "--auth=peer", "--encoding=UTF8", "--locale=C.UTF-8")
ACCESS = types.text("a line of pg_hba.conf", pattern=r"(?:local|host|hostssl|hostnossl)[ \t][^\n\r]+")


def wrong_name(name: str) -> str:
    """What is wrong with the name of a role or database; empty: nothing."""
    return "" if re.fullmatch(r"[a-z_][a-z0-9_-]{0,62}", name) else "starts with a letter or _ and has only a-z 0-9 _ -"


def wrong_setting(name: str) -> str:
    """What is wrong with the name of a setting; empty: nothing."""
    return "" if re.fullmatch(r"[a-z_][a-z0-9_.]*", name) else "is a setting of postgresql.conf such as work_mem"


module.option(
    "services.postgresql.package",
    types.null_or(types.package_or_host),
    "Where PostgreSQL comes from: ${pkgs.NAME}, or host: the host's own, whose first cluster stands still then. null: none.",
    default=None,
    example="host",
)
module.option(
    "services.postgresql.version",
    types.null_or(types.integer(10, 99)),
    "The major version: data of one is not read by another. Each has a directory of its own, /var/lib/postgresql-VERSION.",
    default=None,
    example=15,
)
module.option(
    "services.postgresql.address",
    types.line,
    "The address on which it listens; empty: none, programs of the host come by the socket in /run/postgresql.",
    default="",
    example="127.0.0.1",
)
module.option("services.postgresql.port", types.port, "The number of port and socket.", default=5432)
module.option(
    "services.postgresql.settings",
    types.attributes_of(types.setting, wrong_setting),
    "Settings of postgresql.conf.",
    default={},
    example={"shared_buffers": "1GB"},
)
module.option(
    "services.postgresql.access",
    types.list_of(ACCESS),
    "Lines of pg_hba.conf, besides those that let every account of the host in by the socket as the role of its own name.",
    default=[],
    example=["host app app 192.0.2.0/24 scram-sha-256"],
)
module.option(
    "services.postgresql.roles",
    types.attributes_of(
        Submodule(
            {
                "login": Field(types.boolean, "Whether it may log in.", True),
                "member_of": Field(types.list_of(types.name), "Roles whose rights it has too.", []),
            },
            "a mapping that describes a role",
        ),
        wrong_name,
    ),
    "Roles, by name. One that is dropped stays: it may own data. Passwords are set by hand, with psql.",
    default={},
    example={"app": {}},
)
module.option(
    "services.postgresql.databases",
    types.attributes_of(
        Submodule({"owner": Field(types.name, "The role that owns it.")}, "a mapping with an `owner`"), wrong_name
    ),
    "Databases, by name. One that is dropped stays, with its data.",
    default={},
    example={"app": {"owner": "app"}},
)


def wanted(config: ConfigView) -> bool:
    """Whether there is a server, of which the version is known."""
    return config["services.postgresql.package"] is not None and config["services.postgresql.version"] is not None


def programs_of(config: ConfigView) -> str:
    """The directory of its programs."""
    of_debian = f"/usr/lib/postgresql/{config['services.postgresql.version']}/bin"
    return program_of(config, config["services.postgresql.package"], of_debian=of_debian, own="bin")


def in_quotes(value: object) -> str:
    """As postgresql.conf and SQL have a text."""
    return "'" + str(value).replace("'", "''") + "'"


def roles_text(roles: Mapping[str, Mapping[str, Any]], databases: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """SQL that makes what is missing, and may be run as often as one likes."""
    for name in sorted(roles):
        yield f"SELECT 'CREATE ROLE \"{name}\"' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}')\\gexec"
    for name, role in sorted(roles.items()):
        yield f'ALTER ROLE "{name}" {"LOGIN" if role["login"] else "NOLOGIN"};'
        yield from (f'GRANT "{other}" TO "{name}";' for other in role["member_of"])
    for name, database in sorted(databases.items()):
        make = f'CREATE DATABASE "{name}" OWNER "{database["owner"]}"'
        yield f"SELECT '{make}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{name}')\\gexec"
        yield f'ALTER DATABASE "{name}" OWNER TO "{database["owner"]}";'


@module.defines("etc")
def files(config: ConfigView) -> dict[str, object]:
    """Settings, who may come in, and what is to be there."""
    if not wanted(config):
        return {}
    settings = {
        "listen_addresses": config["services.postgresql.address"],
        "port": config["services.postgresql.port"],
        "unix_socket_directories": SOCKETS,
        "hba_file": f"/etc/{DIRECTORY}/pg_hba.conf",
    } | config["services.postgresql.settings"]
    access = ["local all all peer", *config["services.postgresql.access"]]
    sql = roles_text(config["services.postgresql.roles"], config["services.postgresql.databases"])
    return {
        f"{DIRECTORY}/postgresql.conf": {
            "text": "".join(f"{key} = {in_quotes(value)}\n" for key, value in sorted(settings.items()))
        },
        f"{DIRECTORY}/pg_hba.conf": {"text": "".join(f"{line}\n" for line in access)},
        f"{DIRECTORY}/roles.sql": {"text": "".join(f"{line}\n" for line in sql)},
    }


@module.defines("systemd.services")
def services(config: ConfigView) -> dict[str, object]:
    """What makes the directory of data, the server, and what makes roles and databases once that runs."""
    if not wanted(config):
        return {}
    programs, port = programs_of(config), str(config["services.postgresql.port"])
    state = f"postgresql-{config['services.postgresql.version']}"
    data = f"/var/lib/{state}/data"
    # A root has a /run of its own, and what makes roles comes by the socket.
    sees = {"BindReadOnlyPaths": SOCKETS} if "postgresql-roles" in config["systemd.roots"] else {}
    psql = [
        f"{programs}/psql",
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        SOCKETS,
        "-p",
        port,
        "-d",
        "postgres",
        "-o",
        "/dev/null",
    ]
    # That initdb, which starts programs by a shell, has one is told of a root before anything runs.
    initdb = ["/bin/sh", "-c", 'exec "$@" >/dev/null', "make-data", f"{programs}/initdb"]
    return {
        "postgresql-data": {
            "description": "Directory of data of PostgreSQL",
            "unit": {"ConditionPathExists": f"!{data}"},
            "service": {
                "Type": "oneshot",
                "User": "postgres",
                "StateDirectory": state,
                "StateDirectoryMode": "0700",
                # It is there whole, or not at all. What removes and moves is the host's, also where PostgreSQL has a root.
                "RootDirectoryStartOnly": True,
                "ExecStartPre": command_line(["/bin/rm", "-rf", f"{data}.new"]),
                "ExecStart": command_line([*initdb, f"--pgdata={data}.new", *NEW_DATA]),
                "ExecStartPost": command_line(["/bin/mv", f"{data}.new", data]),
            },
        },
        "postgresql": {
            "description": "PostgreSQL",
            "after": ["network.target", "postgresql-data.service"],
            "requires": ["postgresql-data.service"],
            "wanted_by": ["multi-user.target"],
            "check": True,
            "unit": {"X-Restart-Triggers": f"/etc/{DIRECTORY}/pg_hba.conf"},
            "service": {
                "Type": "notify",
                "User": "postgres",
                "StateDirectory": state,
                "StateDirectoryMode": "0700",
                "RuntimeDirectory": "postgresql",
                "ExecStart": command_line(
                    [f"{programs}/postgres", "-D", data, "-c", f"config_file=/etc/{DIRECTORY}/postgresql.conf"]
                ),
                "KillMode": "mixed",
                "KillSignal": "SIGINT",
                "TimeoutSec": 60,
                "Restart": "on-failure",
                "OOMScoreAdjust": -900,
                "ProtectSystem": "full",
                "ProtectHome": True,
                "NoNewPrivileges": True,
            },
        },
        "postgresql-roles": {
            "description": "Roles and databases of PostgreSQL",
            "after": ["postgresql.service"],
            "requires": ["postgresql.service"],
            "wanted_by": ["multi-user.target"],
            "check": True,
            "service": {
                "Type": "oneshot",
                "RemainAfterExit": True,
                "User": "postgres",
                "ExecStart": command_line([*psql, "-f", f"/etc/{DIRECTORY}/roles.sql"]),
                **sees,
            },
        },
    }


@module.defines("systemd.masked")
def hosts_server(config: ConfigView) -> list[str]:
    """Debian's unit, which ours stands for, starts its clusters: the first of them would have our port and socket."""
    if not wanted(config) or config["services.postgresql.package"] != "host":
        return []
    return [f"postgresql@{config['services.postgresql.version']}-main.service"]


@module.package_or_host(
    "services.postgresql",
    users={"postgres": {"description": "PostgreSQL", "shell": "/bin/sh"}},
    unit=("postgresql", "postgresql-data", "postgresql-roles"),
)
def hosts_programs(config: ConfigView) -> list[str]:
    """What the host must bring, where it is the host's own."""
    return [f"{programs_of(config)}/postgres"] if wanted(config) else []


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """Only where it does."""
    address = config["services.postgresql.address"]
    if not wanted(config) or not address:
        return {}
    listens = {"port": config["services.postgresql.port"], "address": "" if address == "*" else address}
    return {"postgresql": listens | {"option": "services.postgresql.port"}}


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """It takes connections."""
    if not wanted(config):
        return {}
    command = [f"{programs_of(config)}/pg_isready", "-q", "-h", SOCKETS, "-p", str(config["services.postgresql.port"])]
    return {"postgresql": {"kind": "command", "command": command}}


@module.asserts
def all_is_said(config: ConfigView) -> Iterator[Fault]:
    """Whoever says something of a server says which; owners are roles."""
    package, version = config["services.postgresql.package"], config["services.postgresql.version"]
    roles, databases = config["services.postgresql.roles"], config["services.postgresql.databases"]
    if package is None and (roles or databases):
        at = "services.postgresql.databases" if databases else "services.postgresql.roles"
        yield Fault("`services.postgresql` has roles or databases, and no `package`", "Add `package: host`, or a package.", at)
    if package is not None and version is None:
        yield Fault("`services.postgresql` has no `version`", "Add the major version, such as 15.", "services.postgresql.package")
    for name, database in databases.items():
        if database["owner"] not in {*roles, "postgres"}:
            message = f"database '{name}' belongs to the role '{database['owner']}', which is not declared"
            at = f"services.postgresql.databases.{name}.owner"
            yield Fault(message, f"Add `services.postgresql.roles.{database['owner']}`.", at)
    for name, role in roles.items():
        for other in role["member_of"]:
            if other not in roles and not other.startswith("pg_"):
                yield Fault(
                    f"role '{name}' is a member of '{other}', which is not declared",
                    "Add it.",
                    f"services.postgresql.roles.{name}",
                )
