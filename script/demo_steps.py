"""The steps of the demonstration, in order. `demo.py` runs them."""

from __future__ import annotations

from typing import Final

from demo import Step

EXAMPLE: Final = "inventories/quickstart"
"""Copied before the first step, so that steps may edit it."""
HOSTS: Final = ("web1", "web2", "watch1")

_DEPLOYER: Final = 'deployer -i inventory.yaml -i "$LAB_INVENTORY"'
_PAGE: Final = "for address in 192.0.2.10 192.0.2.11; do curl -fsS http://$address:8080/; done"

STEPS: Final[tuple[Step, ...]] = (
    Step("The configurations are evaluated; nothing is connected to", f"{_DEPLOYER} check", text="all is well"),
    Step(
        "The HTTP service is built from source, in a sandbox, by a toolchain that is pinned by hash",
        f"{_DEPLOYER} build 2>&1 | grep -v '[.]deb'",
        text="-system",
        outside=True,
    ),
    Step("What would be done, as each host itself says", f"{_DEPLOYER} plan", text="hello.service"),
    Step(
        "The first deploy: the canary goes first, and each host proves itself healthy",
        f"{_DEPLOYER} deploy",
        text="confirmed",
    ),
    Step("Both web hosts serve the page", _PAGE, text="Hello, world"),
    Step("The same once more: nothing to do, one round trip a host", f"{_DEPLOYER} deploy", text="Nothing to do"),
    Step(
        "A changed page and a changed setting: only the web hosts change",
        "sed -i 's/Hello, world/Hello again/' page.html && sed -i 's/^      port = 8080/      # second edition\\n&/' web.yaml && "
        f"{_DEPLOYER} deploy",
        text="confirmed",
    ),
    Step("The new page is served", _PAGE, text="Hello again"),
    Step(
        "A broken setting: the canary finds it out, goes back by itself, and no other host is touched",
        f"sed -i 's/port = 8080/port = none/' web.yaml && {_DEPLOYER} deploy",
        exit_code=1,
        text="rolled back",
    ),
    Step("The page is served as before", _PAGE, text="Hello again"),
    Step(
        "Somebody changes hosts by hand",
        f"sed -i 's/port = none/port = 8080/' web.yaml && {_DEPLOYER} exec --on web2 -- "
        "sh -c 'systemctl stop hello.service; rm /etc/hello/hello.conf'",
    ),
    Step("Drift is found", f"{_DEPLOYER} drift", exit_code=1, text="hello.service"),
    Step("Drift is repaired", f"{_DEPLOYER} reconcile", text="repaired"),
    Step("Nothing has drifted any more", f"{_DEPLOYER} drift", text="No drift"),
    Step("One generation back, on the web hosts", f"{_DEPLOYER} rollback --on @web", text="confirmed"),
    Step("The first page is back", _PAGE, text="Hello, world"),
    Step("How the hosts stand", f"{_DEPLOYER} status --check", text="confirmed"),
    Step("What happened", f"{_DEPLOYER} history", text="rollback"),
    Step("The hosts are left as they were found", f"{_DEPLOYER} uninstall --yes", text="as it was before deployer"),
)
