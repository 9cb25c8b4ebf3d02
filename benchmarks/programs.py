"""Three programs to deploy: nginx, Redis, and a FastAPI application on uvicorn; in our language, and as Debian's and pip's names.

The wheels are those of a lock file, so that all sides have the same; so are the Debian packages, of one suite.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SUITE: Final = "bookworm"
SECURITY: Final = "bookworm-security"
_LOCK: Final = Path(__file__).resolve().parent.parent / "tests" / "lab" / "fastapi.pylock.toml"
_FILES: Final = "https://files.python" + "hosted.org/"
APPLICATION: Final = '''\
import ssl

import uvicorn
from fastapi import FastAPI

application = FastAPI()


@application.get("/")
def library() -> str:
    """The TLS library that it runs with."""
    return ssl.OPENSSL_VERSION


if __name__ == "__main__":
    uvicorn.run(application, host="127.0.0.1", port=8000, log_level="warning")
'''
_NGINX: Final = """\
daemon off;
error_log stderr;
pid /run/nginx/nginx.pid;
events {}
http {
  access_log off;
  client_body_temp_path /var/lib/nginx/body;
  proxy_temp_path /var/lib/nginx/proxy;
  fastcgi_temp_path /var/lib/nginx/fastcgi;
  uwsgi_temp_path /var/lib/nginx/uwsgi;
  scgi_temp_path /var/lib/nginx/scgi;
  server { listen 8080; location / { return 200 "here"; } }
}
"""


@dataclass(frozen=True, slots=True)
class Program:
    """A program: what Debian has of it, and what we run."""

    name: str
    debian: tuple[str, ...]
    """What `apt-get install` is told."""
    service: Mapping[str, str]
    """Of its unit, besides what all have."""
    check: Mapping[str, object]
    root: str = ""
    """The package that is its root."""
    wheels: bool = False
    """Whether it also has those of the lock file."""

    def configuration(self) -> dict[str, Any]:
        """Of a host that runs it."""
        common = {"User": self.name, "StateDirectory": self.name, "RuntimeDirectory": self.name}
        service = {"wanted_by": ["multi-user.target"], "check": True, "service": {**common, **self.service}}
        return {
            "users": {self.name: {}},
            "etc": {"nginx-bench.conf": {"text": _NGINX}} if self.name == "nginx" else {},
            "systemd": {
                "services": {self.name: service},
                "roots": {self.name: f"${{pkgs.{self.root}}}"} if self.root else {},
            },
            "checks": {self.name: self.check},
        }


PROGRAMS: Final = (
    Program(
        "nginx",
        ("nginx",),
        {"ExecStart": "/usr/sbin/nginx -c /etc/nginx-bench.conf"},
        {"kind": "http", "url": "http://127.0.0.1:8080/"},
        root="nginx",
    ),
    Program(
        "redis",
        ("redis-server",),
        {"ExecStart": "/usr/bin/redis-server --port 6379 --daemonize no --dir /var/lib/redis"},
        {"kind": "tcp", "address": "127.0.0.1", "port": 6379, "send": "PING\r\n", "expect": "PONG"},
        root="redis",
    ),
    Program(
        "fastapi",
        ("python3", "python3-venv"),
        {"ExecStart": "${pkgs.application}/bin/python3 -m application"},
        {"kind": "http", "url": "http://127.0.0.1:8000/"},
        wheels=True,
    ),
)


def requirements() -> str:
    """The wheels of the lock file, as pip reads them."""
    lock = tomllib.loads(_LOCK.read_text(encoding="utf-8"))
    return "".join(
        f"{one['name']}=={one['version']} --hash=sha256:{one['wheels'][0]['hashes']['sha256']}\n" for one in lock["packages"]
    )


def write_packages(directory: Path, suites: Iterable[str]) -> Path:
    """`packages.yaml` and all that it names, in a new directory."""
    (directory / "source").mkdir(parents=True)
    (directory / "source" / "application.py").write_text(APPLICATION, encoding="utf-8")
    (directory / "pylock.toml").write_text(_LOCK.read_text(encoding="utf-8").replace("https://FILES/", _FILES), encoding="utf-8")
    sets = {"nginx": "nginx", "redis": "redis-server", "python": "python3"}
    # As in the peers' base: nothing that only people read.
    common = {"kind": "debian", "suite": list(suites), "omit": ["documentation", "translations"]}
    packages = {
        **{name: {**common, "packages": [wanted]} for name, wanted in sets.items()},
        "application": {"kind": "python", "interpreter": "python", "lock": "pylock.toml", "source": "./source"},
    }
    file = directory / "packages.yaml"
    file.write_text(json.dumps(packages), encoding="utf-8")
    return file


def write_hosts(directory: Path, hosts: Mapping[str, Iterable[Program]]) -> Path:
    """An inventory with a configuration for each host, which runs these programs."""
    for name, programs in hosts.items():
        parts = {f"{name}-{program.name}.yaml": program.configuration() for program in programs}
        for part, configuration in parts.items():
            (directory / part).write_text(json.dumps(configuration), encoding="utf-8")
        (directory / f"{name}.yaml").write_text(json.dumps({"imports": list(parts)}), encoding="utf-8")
    inventory = {"packages": "packages.yaml", "hosts": {name: {"configuration": f"{name}.yaml"} for name in hosts}}
    file = directory / "bench.yaml"
    file.write_text(json.dumps(inventory), encoding="utf-8")
    return file
