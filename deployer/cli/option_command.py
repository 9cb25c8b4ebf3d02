"""`deployer option`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import click

from deployer.cli.display import Display
from deployer.cli.options import json_option, project
from deployer.cli.project import NoConfiguration, Project
from deployer.config.errors import UnknownOption
from deployer.config.library import all_modules
from deployer.config.module import Option
from deployer.config.places import beginnings
from deployer.config.reference import describe, find_field, reference
from deployer.config.types import NOTHING
from deployer.errors import JsonValue, raise_all

if TYPE_CHECKING:
    from deployer.config import Explained


@click.command("option")
@click.argument("name", required=False)
@click.option("--on", "selector", metavar="SELECTOR", help="Show its value on these hosts too; know what their modules declare.")
@click.option("--reference", "whole", is_flag=True, help="The reference page of all options, in Markdown.")
@json_option
@click.pass_context
def command(context: click.Context, name: str | None, selector: str | None, whole: bool) -> None:
    """Explain the option NAME, what stands within it, or all that begin so. Without NAME, list all options.

    `deployer option systemd.services.web.wanted_by` explains a part: any name may stand for that of the service.
    """
    if whole:
        click.echo(reference(all_modules()), nl=False)
        return
    options = {path: option for module in all_modules() for path, option in module.options.items()}
    values: dict[str, Explained] = {}
    if selector is not None:
        what = project(context)
        options |= _declared_on(what, selector)
    if name is None:
        _show(context, options)
        return
    explained = _explained(name, options)
    if selector is not None and explained:
        values = _values_on(what, selector, name)
    display = Display(context.obj)
    if context.obj.as_json:
        document = [_document(option) for option in explained]
        told: dict[str, JsonValue] = {host: _plain(one.value) for host, one in values.items()}
        display.data({"options": [*document], **({"values": told} if selector is not None else {})})
        return
    for option in explained:
        display.text("\n".join([*describe(option), "", f"Declared at {option.declared}"]))
    for host, one in values.items():
        where = ", ".join(str(origin.place) for origin in one.origins if origin.holds and origin.place is not None)
        display.text(f"On {host}: {json.dumps(_plain(one.value), ensure_ascii=False)}{f' ({where})' if where else ''}")


def _explained(name: str, options: Mapping[str, Option]) -> list[Option]:
    """The option of a name, the part of one, or those below it. Raises `UnknownOption`."""
    if name in options:
        return [options[name]]
    below = [option for path, option in sorted(options.items()) if path.startswith(name + ".")]
    if below:
        return below
    for path in beginnings(name):
        if path in options:
            field = find_field(options[path], name[len(path) + 1 :])
            if field is None:
                raise UnknownOption(name, None, tuple(_parts(options[path])), options[path].declared)
            return [Option(name, field.type, field.description, field.default, field.example, options[path].declared)]
    raise UnknownOption(name, None, tuple(options))


def _parts(option: Option) -> Iterator[str]:
    from deployer.config.reference import fields

    yield from (f"{option.path}.{name}" for name, _ in fields(option.type))


def _show(context: click.Context, options: Mapping[str, Option]) -> None:
    if context.obj.as_json:
        Display(context.obj).data({"options": [_document(option) for _, option in sorted(options.items())]})
        return
    for path, option in sorted(options.items()):
        if not option.internal:
            click.echo(f"{path:24} {option.description}")


def _declared_on(what: Project, selector: str) -> dict[str, Option]:
    """What modules declare that the hosts' configurations import."""
    options: dict[str, Option] = {}
    for host in what.select(selector):
        if host.configuration is None:
            raise NoConfiguration(host.name, host.place)
        options |= what.evaluator.options_of(host.configuration)
    return options


def _values_on(what: Project, selector: str, name: str) -> dict[str, Explained]:
    """What hosts have for an option or a part of one; nothing for hosts whose configuration does not say it."""
    from deployer.config import HostView
    from deployer.errors import DeployerError

    values: dict[str, Explained] = {}
    errors: list[DeployerError] = []
    for host in what.select(selector):
        assert host.configuration is not None
        try:
            found = what.evaluator.explain(HostView.of(host), host.configuration, name)
        except UnknownOption:
            continue
        except DeployerError as error:
            errors.append(error)
            continue
        if name in found:
            values[host.name] = found[name]
    raise_all(errors)
    return values


def _document(option: Option) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = {
        "name": option.path,
        "type": option.type.description,
        "description": option.description,
        "declared": option.declared.to_json(),
    }
    if option.default is not NOTHING:
        document["default"] = _plain(option.default)
    if option.example is not None:
        document["example"] = _plain(option.example)
    return document


def _plain(value: object) -> JsonValue:
    made: JsonValue = json.loads(json.dumps(value, default=str))
    return made
