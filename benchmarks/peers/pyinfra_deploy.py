"""The work of the fleet benchmark for pyinfra. `unit_name` is the tool's own name on the hosts.

What follows a change is done only after one: that is the least that a deploy can do for this work.
"""

from __future__ import annotations

from io import StringIO

from pyinfra import host  # type: ignore[import-not-found]
from pyinfra.operations import files, server, systemd  # type: ignore[import-not-found]

NAME = str(host.data.unit_name)
UNIT = f"""[Unit]
Description=Sleeps

[Service]
ExecStart=/bin/sleep infinity
User={NAME}
Environment=TOKEN={host.data.token}

[Install]
WantedBy=multi-user.target
"""

files.directory(path=f"/etc/{NAME}", mode="755")
for number in range(1, 6):
    files.put(src=StringIO(f"file {number}\n"), dest=f"/etc/{NAME}/{number}", mode="644")
server.user(  # noqa: S604 - the account's login shell
    user=NAME,
    comment="Runs the benchmark's unit",
    system=True,
    ensure_home=False,
    shell="/usr/sbin/nologin",
)
setting = files.put(src=StringIO("net.core.somaxconn = 4096\n"), dest=f"/etc/sysctl.d/60-{NAME}.conf", mode="644")
server.shell(commands=[f"/usr/lib/systemd/systemd-sysctl /etc/sysctl.d/60-{NAME}.conf"], _if=setting.did_change)
temporary = files.put(src=StringIO(f"d /run/{NAME} 0755 root root -\n"), dest=f"/etc/tmpfiles.d/{NAME}.conf", mode="644")
server.shell(commands=[f"systemd-tmpfiles --create /etc/tmpfiles.d/{NAME}.conf"], _if=temporary.did_change)
unit = files.put(src=StringIO(UNIT), dest=f"/etc/systemd/system/{NAME}.service", mode="644")
systemd.daemon_reload(_if=unit.did_change)
systemd.service(service=f"{NAME}.service", running=True, enabled=True)
systemd.service(service=f"{NAME}.service", running=True, restarted=True, _if=unit.did_change)
server.shell(commands=[f"systemctl is-active --quiet {NAME}.service"], _if=unit.did_change)
