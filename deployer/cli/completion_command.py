"""`deployer completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from deployer.errors import ExitCode


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print a script that completes commands, options and their values.

    Bash: `eval "$(deployer completion bash)"` in ~/.bashrc; zsh: the same in ~/.zshrc; fish: save it below
    ~/.config/fish/completions/.
    """
    kind = get_completion_class(shell)
    if kind is None:
        context.exit(int(ExitCode.USAGE))
    root = context.find_root().command
    click.echo(kind(root, {}, "deployer", "_DEPLOYER_COMPLETE").source())
