"""`deployer repl`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from deployer.cli.display import Display
from deployer.cli.eval_command import SeveralHosts, shown, traced
from deployer.cli.explored import Explored, completions, inner, wrapped
from deployer.cli.options import project
from deployer.cli.project import NoConfiguration, Project
from deployer.cli.prompt import Prompt
from deployer.config import HostView

if TYPE_CHECKING:
    from deployer.config import Explained
    from deployer.inventory import Host

BANNER = """\
{host} of {count} hosts. Nothing is evaluated before you look at it, and nothing here changes anything.
  config.etc["motd"].text   config.systemd   option("activation.unit_timeout")   trace("checks")   hosts   use("NAME")
Leave with Ctrl-D."""


class Session:
    """What the names at the prompt mean: the configuration of one host at a time."""

    def __init__(self, what: Project, host: Host, display: Display) -> None:
        """`host` is the one to begin with."""
        self._what, self._display = what, display
        self.names: dict[str, Any] = {
            "option": self.option,
            "trace": self.trace,
            "hosts": [one.name for one in what.select(None)],
            "use": self.use,
        }
        self._begin(host)

    def use(self, name: str) -> None:
        """Look at another host from here on. Raises that there is none, or several."""
        self._begin(_one(self._what, name))

    def option(self, path: str) -> Any:
        """The value of an option, or of a part of one; of all that begin so, by name."""
        found = self._explained(path)
        values = {name: one.value for name, one in found.items()}
        return wrapped(self._look, path, values.get(path, values))

    def trace(self, path: str) -> None:
        """Print what defines an option, and which definitions hold."""
        self._display.text("\n".join(traced(self._explained(path))))

    def show(self, value: object) -> None:
        """Print a value: a mapping as YAML, all else as Python has it."""
        found = inner(value)
        self._display.text(shown(found) if isinstance(found, dict) else repr(found))

    def complete(self, text: str, number: int) -> str | None:
        """As readline asks."""
        found = completions(text, self._options, self.names)
        return found[number] if number < len(found) else None

    def _begin(self, host: Host) -> None:
        if host.configuration is None:
            raise NoConfiguration(host.name, host.place)
        self._host, self._configuration = HostView.of(host), host.configuration
        self._options = self._what.evaluator.options_of(host.configuration)
        self._known: dict[str, Any] = {}
        self.names.update(host=host.name, config=Explored(self._look, self._options))

    def _look(self, path: str) -> Any:
        if path not in self._known:
            self._known[path] = self._explained(path)[path].value
        return self._known[path]

    def _explained(self, path: str) -> Mapping[str, Explained]:
        return self._what.evaluator.explain(self._host, self._configuration, path)


@click.command("repl")
@click.argument("selector", metavar="HOST", required=False)
@click.pass_context
def command(context: click.Context, selector: str | None) -> int:
    """Look around in HOST's configuration at a Python prompt; without HOST, in that of the inventory's first.

    At the prompt: `config`, by attribute and by item, `option(PATH)`, `trace(PATH)`, `hosts`, `host`, and `use(NAME)` for
    another host. Values are evaluated when they are looked at. Lines from a pipe are read to the first error, which gives
    the exit code. Connects to nothing.
    """
    what = project(context)
    display = Display(what.settings)
    hosts = what.select(None)
    session = Session(what, _one(what, selector) if selector is not None else hosts[0], display)
    prompt = Prompt(session.names, session.show, as_json=what.settings.as_json)
    if not sys.stdin.isatty():
        return prompt.read(iter(sys.stdin))
    with contextlib.suppress(ImportError):
        import readline

        readline.set_completer(session.complete)
        readline.parse_and_bind("tab: complete")
    return prompt.talk(BANNER.format(host=session.names["host"], count=len(hosts)))


def _one(what: Project, selector: str) -> Host:
    hosts = what.select(selector)
    if len(hosts) != 1:
        raise SeveralHosts(selector, tuple(host.name for host in hosts))
    return hosts[0]
