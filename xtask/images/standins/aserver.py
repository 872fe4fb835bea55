"""Stand-in for aserver: one program with the real one's subcommands, options and variables."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import fpstore
import publicdata
import updater
from shared import env, truth

Run = Callable[[argparse.Namespace], None]


def command(parser: argparse._SubParsersAction, name: str, module_options: list[tuple], run: Run) -> None:
    """A subcommand whose options may be given as `--name value` or as a variable."""
    sub = parser.add_parser(name, allow_abbrev=False)
    for option, variable, default in module_options:
        convert = truth if isinstance(default, bool) else int if isinstance(default, int) else str
        # A string default is converted by argparse like a value given by hand; the variable is checked by `env`.
        sub.add_argument(f"--{option}", type=convert, default=env(variable, default, convert))
    sub.set_defaults(run=run)


def main() -> None:
    """Finds the subcommand and runs it."""
    parser = argparse.ArgumentParser(prog="aserver", allow_abbrev=False)
    parser.add_argument("--debug", action="store_true")
    groups = parser.add_subparsers(required=True, metavar="fpindex|fpstore|publicdata")
    fpindex = groups.add_parser("fpindex").add_subparsers(required=True)
    command(fpindex, "updater", updater.OPTIONS, updater.run)
    store = groups.add_parser("fpstore").add_subparsers(required=True)
    command(store, "server", fpstore.SERVER_OPTIONS, fpstore.run_server)
    command(store, "gateway", fpstore.GATEWAY_OPTIONS, fpstore.run_gateway)
    public = groups.add_parser("publicdata").add_subparsers(required=True)
    command(public, "export", publicdata.OPTIONS, publicdata.run)
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
