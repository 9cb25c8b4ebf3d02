"""`deployer pack`."""

from __future__ import annotations

import platform
from pathlib import Path

import click

from deployer.cli.display import Display
from deployer.cli.environments import Workbench, packages_option
from deployer.cli.options import build_options, json_option, store_option
from deployer.cli.settings import STORE_DIR


@click.command("pack")
@packages_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="The file.")
@click.option("-p", "--program", metavar="PROGRAM", help="What it starts.  [default: what its first argument says]")
@click.option("--base", default="", metavar="NAME", help="The root tree that is /usr.  [default: the package itself]")
@click.option(
    "--compression",
    type=click.Choice(["gzip", "xz", "zstd"]),
    default="gzip",
    show_default=True,
    help="xz is smaller; gzip is on every machine.",
)
@build_options
@store_option
@json_option
@click.argument("name", metavar="NAME")
@click.pass_context
def command(
    context: click.Context,
    package_file: Path | None,
    output: Path,
    program: str | None,
    base: str,
    compression: str,
    name: str,
) -> None:
    """Write one file that runs a package's program on any Linux of this architecture, without deployer, and without root.

    It unpacks itself once, below ~/.cache/deployer/packs, and is started from there.
    """
    from deployer.environments.packing import Pack, write_pack
    from deployer.packages.interpreter import interpreter
    from deployer.packages.launcher_tree import launcher_tree

    bench = Workbench(context.obj, package_file)
    environment = bench.compose([name], base=base)
    python, launcher = interpreter(bench.packages, platform.machine(), STORE_DIR), launcher_tree(STORE_DIR)
    needed = (*environment.needed, python, launcher)
    if program:
        bench.have(environment.needed)
        bench.check_program(environment, name, program)
    bench.have(needed)
    contents = bench.store.closure([made.output for made in needed])
    spec = environment.spec(store="", store_directory=STORE_DIR, keep=None)
    pack = Pack(spec, python.output, launcher.output, program or "", compression, contents)
    size = write_pack(bench.store, pack, output)
    display = Display(context.obj)
    if context.obj.as_json:
        display.data({"package": name, "file": str(output), "bytes": size, "paths": len(contents)})
    else:
        display.text(f"{output}: {len(contents)} store paths, {size} bytes")
