"""nginx: web sites, and what stands behind them."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployer.config import ConfigView, Fault, Field, Module, Submodule, host_files, out_of_sight, program_of, types

module = Module("nginx", "nginx: web sites, and what stands behind them.")

HOSTS_OWN = "/usr/sbin/nginx"
CONFIGURATION = "nginx-deployer/nginx.conf"
STATE = "nginx-deployer"
PATH = types.text("an absolute path without blanks and ;", pattern=r"/[^\s;{}\"'$]*")
UPSTREAM = types.text("an address such as http://127.0.0.1:8000, or http://unix:/run/app.sock", pattern=r"https?://[^\s;{}\"']+")
SERVER_NAME = types.text("a host name, perhaps with *", pattern=r"[A-Za-z0-9_*.-]{1,253}")

LOCATION = {
    "root": Field(types.null_or(PATH), "A directory on the host whose files are served.", None),
    "proxy": Field(types.null_or(UPSTREAM), "Who answers instead.", None),
    "redirect": Field(
        types.null_or(types.text("an address", pattern=r"(?:https?:/)?/[^\s;{}\"']*")), "Where to go instead.", None
    ),
    "settings": Field(types.string, "Lines of nginx's configuration.", "", "expires 1h;\n"),
}


def wrong_location(path: str) -> str:
    """What is wrong with the path of a location; empty: nothing."""
    return "" if re.fullmatch(r"(?:= |\^~ |~ )?/[^\s;{}\"']*", path) else "begins with / and has no blanks"


def wrong_site(name: str) -> str:
    """What is wrong with the name of a site; empty: nothing."""
    return "" if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}", name) else "has only letters, digits, - and ."


module.option(
    "services.nginx.package",
    types.null_or(types.package_or_host),
    "Where nginx comes from: ${pkgs.NAME}, or host: the host's own. null: there is none.",
    default=None,
    example="host",
)
module.option(
    "services.nginx.user",
    types.name,
    "With whose rights requests are answered.",
    default="www-data",
)
module.option(
    "services.nginx.settings",
    types.string,
    "Lines of nginx's configuration for all sites.",
    default="",
    example="client_max_body_size 20m;\n",
)
module.option(
    "services.nginx.sites",
    types.attributes_of(
        Submodule(
            {
                "names": Field(types.list_of(SERVER_NAME), "Host names that it answers to; empty: its own name.", []),
                "port": Field(types.port, "Where it listens.", 80),
                "open": Field(types.boolean, "Whether the firewall lets others in.", True),
                "certificate": Field(
                    types.null_or(PATH), "A file on the host: the certificate and those above it. Then it speaks TLS.", None
                ),
                "key": Field(types.null_or(PATH), "A file on the host: the certificate's key.", None),
                **LOCATION,
                "locations": Field(
                    types.attributes_of(Submodule(LOCATION, "a mapping that describes a location"), wrong_location),
                    "What is otherwise below some paths.",
                    {},
                    {"/api/": {"proxy": "http://127.0.0.1:8000"}},
                ),
                "check": Field(
                    types.null_or(PATH), "The path that must answer well before a generation is confirmed; null: none.", "/"
                ),
            },
            "a mapping that describes a site",
        ),
        wrong_site,
    ),
    "Web sites, by name. nginx must accept them before anything changes, and reloads: no connection breaks.",
    default={},
    example={"example.org": {"root": "/srv/www", "locations": {"/api/": {"proxy": "http://127.0.0.1:8000"}}}},
)

MAIN = """\
user {user};
worker_processes auto;
daemon off;
pid /run/nginx-deployer.pid;
error_log stderr;
events {{
  worker_connections 1024;
}}
http {{
  access_log off;
  server_tokens off;
  sendfile on;
  default_type application/octet-stream;
  types {{
{kinds}  }}
{temporary}{settings}{servers}}}
"""
KINDS = {
    "text/html": "html htm",
    "text/css": "css",
    "text/plain": "txt",
    "text/xml": "xml rss",
    "application/javascript": "js mjs",
    "application/json": "json map",
    "application/pdf": "pdf",
    "application/wasm": "wasm",
    "image/png": "png",
    "image/jpeg": "jpeg jpg",
    "image/gif": "gif",
    "image/svg+xml": "svg",
    "image/webp": "webp",
    "image/x-icon": "ico",
    "font/woff2": "woff2",
    "video/mp4": "mp4",
}
BODIES = tuple(f"{name}_temp_path bodies-of-nginx;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
"""In the directory that nginx is told: who judges the configuration has no other, since nothing is made before."""
FORWARDED = (
    "proxy_set_header Host $host;",
    "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
    "proxy_set_header X-Forwarded-Proto $scheme;",
)


def indented(lines: Iterator[str] | list[str], depth: int) -> str:
    """Lines of a block."""
    return "".join(f"{'  ' * depth}{line}\n" for line in lines)


def answering(one: Mapping[str, Any]) -> Iterator[str]:
    """What answers at a location."""
    if one["root"] is not None:
        yield f"root {one['root']};"
    if one["proxy"] is not None:
        yield f"proxy_pass {one['proxy']};"
        yield from FORWARDED
    if one["redirect"] is not None:
        yield f"return 301 {one['redirect']};"
    yield from one["settings"].splitlines()


def server(name: str, site: Mapping[str, Any]) -> Iterator[str]:
    """The block of a site."""
    secure = " ssl" if site["certificate"] is not None else ""
    yield f"listen {site['port']}{secure};"
    yield f"listen [::]:{site['port']}{secure};"
    yield f"server_name {' '.join(site['names'] or [name])};"
    if secure:
        yield f"ssl_certificate {site['certificate']};"
        yield f"ssl_certificate_key {site['key']};"
    locations = dict(site["locations"])
    if any(site[field] is not None for field in ("root", "proxy", "redirect")):
        locations.setdefault("/", site)
    for path, one in sorted(locations.items()):
        yield f"location {path} {{"
        yield from (f"  {line}" for line in answering(one))
        yield "}"


def wanted(config: ConfigView) -> bool:
    """Whether there is an nginx."""
    return config["services.nginx.package"] is not None


def program(config: ConfigView) -> str:
    """Where it is."""
    return program_of(config, config["services.nginx.package"], of_debian=HOSTS_OWN, own="bin/nginx")


def has_root(config: ConfigView) -> bool:
    """Whether it has the tree of its package as its root."""
    return config.is_tree(config["services.nginx.package"])


def files_of(site: Mapping[str, Any]) -> list[str]:
    """The files and directories of the host that a site names."""
    parts = [site, *site["locations"].values()]
    sockets = [socket for one in parts for socket in re.findall(r"https?://unix:(/[^:]*)", one["proxy"] or "")]
    return [*sockets, *(path for path in (*(one["root"] for one in parts), site["certificate"], site["key"]) if path is not None)]


@module.defines("etc")
def configuration(config: ConfigView) -> dict[str, object]:
    """All of it in one file, which nginx itself judges."""
    if not wanted(config):
        return {}
    blocks = [
        f"  server {{\n{indented(server(name, site), 2)}  }}\n" for name, site in sorted(config["services.nginx.sites"].items())
    ]
    temporary, judged_in = (BODIES, ["-p", "/run/"]) if has_root(config) else ((), [])
    text = MAIN.format(
        user=config["services.nginx.user"],
        kinds=indented([f"{kind} {endings};" for kind, endings in KINDS.items()], 2),
        temporary=indented([*temporary], 1),
        settings=indented(config["services.nginx.settings"].splitlines(), 1),
        servers="".join(blocks),
    )
    return {CONFIGURATION: {"text": text, "validate": [program(config), "-t", "-q", *judged_in, "-c", "{file}"]}}


def running(config: ConfigView) -> dict[str, object]:
    """How it starts and reloads. In a root there is no kill: there nginx tells itself, by the number in its file in /run."""
    if not has_root(config):
        return {"ExecStart": f"{program(config)} -c /etc/{CONFIGURATION}", "ExecReload": "/bin/kill -HUP $MAINPID"}
    start = f"{program(config)} -p /var/lib/{STATE}/ -c /etc/{CONFIGURATION}"
    named = [path for site in config["services.nginx.sites"].values() for path in files_of(site)]
    return {
        "ExecStart": start,
        "ExecReload": f"{start} -s reload",
        "StateDirectory": STATE,
        **host_files(named),
    }


@module.defines("systemd.services")
def service(config: ConfigView) -> dict[str, object]:
    """The server; in place of the distribution's own unit, where that has one."""
    if not wanted(config):
        return {}
    return {
        "nginx": {
            "description": "Web server",
            "after": ["network.target"],
            "wanted_by": ["multi-user.target"],
            "reload_on_change": True,
            "check": True,
            "service": {
                "Type": "exec",
                **running(config),
                "KillSignal": "SIGQUIT",
                "TimeoutStopSec": 5,
                "KillMode": "mixed",
                "Restart": "on-failure",
                "PrivateTmp": True,
                "ProtectSystem": "full",
                "ProtectHome": "read-only",
                "NoNewPrivileges": True,
            },
        }
    }


@module.defines("ports")
def listening(config: ConfigView) -> dict[str, object]:
    """One entry for each port; sites may share one."""
    opened: dict[int, bool] = {}
    said: dict[int, str] = {}
    for name, site in sorted(config["services.nginx.sites"].items()):
        opened[site["port"]] = opened.get(site["port"], False) or site["open"]
        said.setdefault(site["port"], f"services.nginx.sites.{name}")
    if not wanted(config):
        return {}
    return {f"nginx-{port}": {"port": port, "open": is_open, "option": said[port]} for port, is_open in opened.items()}


@module.defines("checks")
def answers(config: ConfigView) -> dict[str, object]:
    """Each site answers to its first name."""
    made: dict[str, object] = {}
    for name, site in config["services.nginx.sites"].items():
        if site["check"] is not None and wanted(config):
            secure, host = site["certificate"] is not None, (site["names"] or [name])[0].replace("*", "www")
            made[f"site-{name}"] = {
                "kind": "http",
                "url": f"http{'s' if secure else ''}://127.0.0.1:{site['port']}{site['check']}",
                "headers": {"Host": host},
                "status": ["200-399"],
            } | ({"verify": False, "server_name": host} if secure else {})
    return made


@module.package_or_host("services.nginx", unit="nginx")
def hosts_programs(config: ConfigView) -> list[str]:
    """What the host must bring, where it is the host's own."""
    return [HOSTS_OWN]


@module.asserts
def sites_are_whole(config: ConfigView) -> Iterator[Fault]:
    """There is somebody to serve them, and each serves something."""
    sites = config["services.nginx.sites"]
    if {*sites} - {*config["static_sites"]} and not wanted(config):
        remedy = "Add `package: host`, or `package: ${pkgs.NAME}`."
        yield Fault("`services.nginx` has sites, and no `package` that serves them", remedy, "services.nginx.sites")
    for name, site in sites.items():
        at = f"services.nginx.sites.{name}"
        if (site["certificate"] is None) != (site["key"] is None):
            yield Fault(f"site '{name}' needs both a `certificate` and its `key`", "Add the other.", at)
        for path, one in [("", site), *site["locations"].items()]:
            where = f"location '{path}' of site '{name}'" if path else f"site '{name}'"
            given = [field for field in ("root", "proxy", "redirect") if one[field] is not None]
            if len(given) > 1:
                yield Fault(f"{where} has {' and '.join(f'`{field}`' for field in given)}", "Keep one of them.", at)
            if not given and (not one["settings"] if path else not site["locations"]):
                yield Fault(f"{where} serves nothing", "Add `root`, `proxy` or `redirect`.", at)


@module.asserts
def files_are_seen(config: ConfigView) -> Iterator[Fault]:
    """In a root, /usr is the tree's, and what the tree has no place for can't be shown."""
    for name, site in config["services.nginx.sites"].items() if has_root(config) else ():
        for path in files_of(site):
            if remedy := out_of_sight(path):
                message = f"site '{name}' names {path}, which nginx does not see: its root is the tree of its package"
                yield Fault(message, remedy, f"services.nginx.sites.{name}")
