"""The `deployer` command: global options, the list of commands, and what becomes of errors."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from deployer import __version__
from deployer.cli.lazy import LazyGroup
from deployer.cli.passwords import password_from_environment
from deployer.cli.settings import INVENTORY, STORE_ROOT, Settings
from deployer.errors import DeployerError, ExitCode

COMMANDS: Final[dict[str, str]] = {
    "audit": "Tell which packages in use have been fixed since they were locked",
    "build": "Build the hosts' systems into the controller's store",
    "cache": "Be a binary cache for others",
    "check": "Read the inventory and evaluate every configuration",
    "completion": "Print a script that completes commands in your shell",
    "deploy": "Bring hosts to their configurations, canary first",
    "derivation": "Show derivations as JSON",
    "develop": "Be in the shell that a project asks for in its shell.yaml",
    "drift": "Show where hosts differ from what they were given",
    "eval": "Show the value of an option, and what made it",
    "exec": "Run a command on hosts",
    "generations": "List, compare, keep and remove hosts' generations",
    "history": "Show past rollouts",
    "host-access": "Print what lets a login deploy without being root",
    "inventory": "Show hosts, groups and variables, as ansible-inventory does",
    "key": "Make the keys that sign store paths",
    "lab": "Boot real local hosts to try things on",
    "lock": "Pin what the packages need, by hash",
    "option": "Explain an option of the configuration",
    "pack": "Write one file that runs a package's program anywhere",
    "package": "Build packages, and show what they are made from",
    "plan": "Show what deploy would do, exactly",
    "reconcile": "Repair drift",
    "repl": "Look around in a configuration at a Python prompt",
    "resume": "Go on with a rollout whose controller died",
    "rollback": "Return hosts to an earlier generation",
    "run": "Run a program of a package on this machine",
    "schema": "Print the JSON Schema of configurations",
    "shell": "Be in a shell that has packages, on this machine",
    "status": "Show generation, state and health of hosts",
    "store": "Look into the store and change it, as nix-store does",
    "unlock": "Break the locks that a dead controller left",
    "uninstall": "Leave hosts as they were before deployer",
}
"""Name to summary."""

INTERRUPTED: Final = 130
_COLLECT_AFTER: Final = 50_000
"""New objects until Python looks for cycles. Its own 700 cost a twentieth of a command's time, mostly over modules that stay."""


@click.group(
    cls=LazyGroup,
    package="deployer.cli",
    summaries=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "-i",
    "--inventory",
    "inventories",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Inventory file, directory or program; may be given several times, later ones win.  [default: inventory.yaml]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one document, or one event a line.")
@click.option("--no-color", is_flag=True, help="No colours, also on a terminal (NO_COLOR does the same).")
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="DEPLOYER_LOG",
    help="Append every event to FILE as well, as JSON lines.",
    metavar="FILE",
)
@click.option(
    "--store-root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help=f"Where the controller's store lies.  [default: {STORE_ROOT}, else ~/.local/share/deployer/root]",
)
@click.version_option(__version__, prog_name="deployer")
@click.pass_context
def program(
    context: click.Context,
    inventories: tuple[Path, ...],
    as_json: bool,
    no_color: bool,
    log: Path | None,
    store_root: Path | None,
) -> None:
    """Declarative, atomic, self-healing deployments over SSH.

    Exit codes: 0 done; 1 failed, and rolled back where something had changed; 2 usage or configuration error;
    3 some hosts failed within the budget; 4 a host needs a person.
    """
    from_environment = tuple(Path(part) for part in os.environ.get("DEPLOYER_INVENTORY", "").split(os.pathsep) if part)
    context.obj = Settings(
        inventories=inventories or from_environment or (INVENTORY,),
        as_json=as_json,
        color=not no_color and "NO_COLOR" not in os.environ,
        log=log,
        store_root=store_root,
        become_password=password_from_environment(),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program and exit. Raises nothing but `SystemExit`."""
    gc.set_threshold(_COLLECT_AFTER)
    # A Python that was started by its mere name, in an environment without PATH, does not know where it lies.
    sys.executable = sys.executable or os.readlink("/proc/self/exe")
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(given))


def run(arguments: Sequence[str]) -> int:
    """Run the program; return its exit code."""
    as_json = "--json" in arguments[: arguments.index("--")] if "--" in arguments else "--json" in arguments
    try:
        result = program.main(list(arguments), prog_name="deployer", standalone_mode=False)
    except click.exceptions.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return int(ExitCode.USAGE)
    except DeployerError as error:
        from deployer.cli.display import print_error

        print_error(error, as_json=as_json)
        return int(error.exit_code)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return INTERRUPTED
    return int(result) if isinstance(result, int) else int(ExitCode.DONE)
