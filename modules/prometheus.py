"""Monitoring: node_exporter, which tells how a host stands, and Prometheus, which asks."""

import json
from collections.abc import Iterator

from deployer.config import ConfigView, Fault, Field, Module, Submodule, command_line, program_of, types

module = Module("prometheus", "Monitoring: node_exporter, which tells how a host stands, and Prometheus, which asks.")

EXPORTER = "/usr/bin/prometheus-node-exporter"
PROMETHEUS, PROMTOOL = "/usr/bin/prometheus", "/usr/bin/promtool"
CONFIGURATION = "prometheus-deployer/prometheus.yml"
NETWORK = types.text("an address, or a network such as 192.0.2.0/24", pattern=r"[0-9A-Fa-f.:]+(?:/[0-9]{1,3})?")

module.option(
    "services.node_exporter.package",
    types.null_or(types.package_or_host),
    "Where node_exporter comes from: ${pkgs.NAME}, or host: the host's own, whose unit ours replaces. null: there is none.",
    default=None,
    example="host",
)
module.option("services.node_exporter.port", types.port, "Where it listens.", default=9100)
module.option(
    "services.node_exporter.sources",
    types.list_of(NETWORK),
    "Whom the firewall lets in; empty: nobody.",
    default=[],
    example=["192.0.2.9"],
)
module.option(
    "services.node_exporter.arguments",
    types.list_of(types.word),
    "More arguments.",
    default=[],
    example=["--collector.systemd"],
)
module.option(
    "services.prometheus.package",
    types.null_or(types.package_or_host),
    "Where Prometheus comes from: ${pkgs.NAME}, or host: the host's own, whose unit ours replaces. null: there is none.",
    default=None,
    example="host",
)
module.option("services.prometheus.address", types.word, "The address on which it listens.", default="127.0.0.1")
module.option("services.prometheus.port", types.port, "Where it listens.", default=9090)
module.option("services.prometheus.retention", types.duration, "How long samples are kept.", default="15d")
module.option(
    "services.prometheus.scrape",
    types.attributes_of(
        Submodule(
            {
                "targets": Field(types.list_of(types.word), "Whom to ask, as HOST:PORT."),
                "interval": Field(types.duration, "Seconds between two questions.", 15.0),
                "path": Field(types.word, "What to ask for.", "/metrics"),
            },
            "a mapping that describes whom to ask",
        )
    ),
    "Whom to ask, by job. The host's promtool must accept it before anything changes.",
    default={},
    example={"node": {"targets": ["web1:9100", "web2:9100"]}},
)


def exporter(config: ConfigView) -> str:
    """Where node_exporter is."""
    return program_of(config, config["services.node_exporter.package"], of_debian=EXPORTER, own="bin/node_exporter")


def server(config: ConfigView, program: str) -> str:
    """Where a program of Prometheus is."""
    return program_of(config, config["services.prometheus.package"], of_debian=f"/usr/bin/{program}", own=f"bin/{program}")


@module.defines("etc")
def configuration(config: ConfigView) -> dict[str, object]:
    """Whom Prometheus asks. JSON is YAML."""
    if config["services.prometheus.package"] is None:
        return {}
    jobs = [
        {
            "job_name": name,
            "scrape_interval": f"{one['interval'] * 1000:.0f}ms",
            "metrics_path": one["path"],
            "static_configs": [{"targets": one["targets"]}],
        }
        for name, one in sorted(config["services.prometheus.scrape"].items())
    ]
    text = json.dumps({"scrape_configs": jobs}, indent=2) + "\n"
    return {CONFIGURATION: {"text": text, "validate": [server(config, "promtool"), "check", "config", "{file}"]}}


@module.defines("systemd.services")
def node_exporter(config: ConfigView) -> dict[str, object]:
    """Who tells."""
    if config["services.node_exporter.package"] is None:
        return {}
    listens = f"--web.listen-address=:{config['services.node_exporter.port']}"
    return {
        "prometheus-node-exporter": {
            "description": "Tells Prometheus how the host stands",
            "wanted_by": ["multi-user.target"],
            "check": True,
            "service": {
                "ExecStart": command_line([exporter(config), listens, *config["services.node_exporter.arguments"]]),
                "DynamicUser": True,
                "User": "node-exporter",
                "Restart": "on-failure",
                # It tells how full file systems are, also one that is mounted there.
                "ProtectHome": "read-only",
            },
        }
    }


@module.defines("systemd.loaded_programs")
def loaded(config: ConfigView) -> dict[str, list[str]]:
    """A node_exporter of a root tree measures the host: with a root of its own it would see other file systems and releases."""
    name, is_tree = "prometheus-node-exporter", config.is_tree(config["services.node_exporter.package"])
    return {name: [exporter(config)]} if is_tree and name not in config["systemd.roots"] else {}


@module.defines("systemd.services")
def prometheus(config: ConfigView) -> dict[str, object]:
    """Who asks."""
    if config["services.prometheus.package"] is None:
        return {}
    command = [
        server(config, "prometheus"),
        f"--config.file=/etc/{CONFIGURATION}",
        "--storage.tsdb.path=/var/lib/prometheus/metrics2",
        f"--storage.tsdb.retention.time={config['services.prometheus.retention']:.0f}s",
        f"--web.listen-address={config['services.prometheus.address']}:{config['services.prometheus.port']}",
    ]
    return {
        "prometheus": {
            "description": "Prometheus",
            "wanted_by": ["multi-user.target"],
            "reload_on_change": True,
            "check": True,
            "service": {
                "User": "prometheus",
                "ExecStart": command_line(command),
                "ExecReload": "/bin/kill -HUP $MAINPID",
                # The kill is the host's, also where Prometheus has a root of its own.
                "RootDirectoryStartOnly": True,
                "StateDirectory": "prometheus",
                "TimeoutStopSec": 20,
                "Restart": "on-failure",
                "NoNewPrivileges": True,
                "ProtectHome": True,
                "ProtectSystem": "full",
            },
        }
    }


@module.package_or_host("services.node_exporter")
def hosts_exporter(config: ConfigView) -> list[str]:
    """What the host must bring, where it is the host's own."""
    return [EXPORTER]


@module.package_or_host("services.prometheus", users={"prometheus": {"description": "Prometheus"}}, unit="prometheus")
def hosts_programs(config: ConfigView) -> list[str]:
    """What the host must bring, where it is the host's own."""
    return [PROMETHEUS, PROMTOOL]


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """Where they listen."""
    made: dict[str, object] = {}
    if config["services.node_exporter.package"] is not None:
        sources, port = config["services.node_exporter.sources"], config["services.node_exporter.port"]
        option = "services.node_exporter.port"
        made["node-exporter"] = {"port": port, "open": bool(sources), "sources": sources, "option": option}
    if config["services.prometheus.package"] is not None:
        listens = {"port": config["services.prometheus.port"], "address": config["services.prometheus.address"]}
        made["prometheus"] = listens | {"option": "services.prometheus.port"}
    return made


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """Both answer."""
    asked = {
        "node-exporter": ("node_exporter", config["services.node_exporter.port"], "/metrics"),
        "prometheus": ("prometheus", config["services.prometheus.port"], "/-/ready"),
    }
    return {
        name: {"kind": "http", "url": f"http://127.0.0.1:{port}{path}"}
        for name, (service, port, path) in asked.items()
        if config[f"services.{service}.package"] is not None
    }


@module.asserts
def somebody_asks(config: ConfigView) -> Iterator[Fault]:
    """Whom to ask is said to somebody."""
    if config["services.prometheus.scrape"] and config["services.prometheus.package"] is None:
        remedy = "Add `package: host`, or `package: ${pkgs.NAME}`."
        yield Fault("`services.prometheus` says whom to ask, and has no `package`", remedy, "services.prometheus.scrape")
