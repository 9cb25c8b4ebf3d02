"""`deployer eval`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click
import yaml

from deployer.cli.display import Display
from deployer.cli.options import json_option, project
from deployer.cli.project import NoConfiguration
from deployer.errors import ConfigurationError, JsonValue

if TYPE_CHECKING:
    from deployer.config import Explained
    from deployer.config.origins import Origin
    from deployer.errors import Place


class SeveralHosts(ConfigurationError):
    """One host was to be named, and several were."""

    selector: str
    hosts: tuple[str, ...]

    @property
    def message(self) -> str:
        """Which."""
        return f"{self.selector!r} means {len(self.hosts)} hosts: {', '.join(self.hosts[:5])}{', …' if self.hosts[5:] else ''}"

    @property
    def remedy(self) -> str:
        """What to write."""
        return "Name one host: values differ from host to host."


@click.command("eval")
@click.argument("selector", metavar="HOST")
@click.argument("option", required=False, default="")
@click.option("--trace", is_flag=True, help="Show every definition, with its place, and which of them hold.")
@json_option
@click.pass_context
def command(context: click.Context, selector: str, option: str, trace: bool) -> None:
    """Show what HOST has for OPTION: an option, a part of one, or all that begin so. Without OPTION, show them all.

    Only what is asked for is evaluated, so this helps where another part of the configuration is wrong. Connects to nothing.
    """
    from deployer.config import HostView

    what = project(context)
    hosts = what.select(selector)
    if len(hosts) != 1:
        raise SeveralHosts(selector, tuple(host.name for host in hosts))
    host = hosts[0]
    if host.configuration is None:
        raise NoConfiguration(host.name, host.place)
    found = what.evaluator.explain(HostView.of(host), host.configuration, option)
    display = Display(what.settings)
    if what.settings.as_json:
        display.data(_document(host.name, found, trace=trace))
    elif trace:
        display.text("\n".join(traced(found)))
    else:
        values = {path: one.value for path, one in found.items()}
        display.text(shown(values.get(option, values)))


def _document(host: str, found: Mapping[str, Explained], *, trace: bool) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {"host": host, "values": {path: _plain(one.value) for path, one in found.items()}}
    if trace:
        document["definitions"] = {path: [_origin(origin) for origin in one.origins] for path, one in found.items()}
    return document


def _origin(origin: Origin) -> JsonValue:
    place: JsonValue = origin.place.to_json() if origin.place is not None else None
    return {"place": place, "value": _plain(origin.value), "priority": origin.priority, "holds": origin.holds}


def traced(found: Mapping[str, Explained]) -> Iterator[str]:
    """Lines that tell values, and what defines each."""
    for path, one in found.items():
        yield f"{path}:"
        yield from (f"  {line}" for line in shown(one.value).splitlines())
        yield ""
        yield from (f"  {line}" for line in _rows(one.origins))
        yield ""


def _rows(found: Sequence[Origin]) -> Sequence[str]:
    from deployer.ui import table

    cells = [("holds" if one.holds else "-", one.weight, _where(one.place), json.dumps(_plain(one.value))) for one in found]
    return table(("", "WEIGHT", "DEFINED AT", "AS"), cells).splitlines() if cells else ("nothing defines it",)


def _where(place: Place | None) -> str:
    return str(place) if place is not None else "-"


class _Dumper(yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper):  # type: ignore[misc]
    """Texts of several lines as they are, not folded into one."""


_Dumper.add_representer(
    str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)
)


def shown(value: Any) -> str:
    """As YAML, so that it can be read back; a single value as it is."""
    plain = _plain(value)
    if isinstance(plain, str) and "\n" not in plain:
        return plain
    text: str = yaml.dump(plain, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=120)
    return text.removesuffix("\n").removesuffix("\n...")


def _plain(value: Any) -> JsonValue:
    made: JsonValue = json.loads(json.dumps(value, default=str))
    return made
