"""``python -m bench``: one command for each thing that is measured."""

from __future__ import annotations

import importlib

import click

COMMANDS = (
    "throughput",
    "latency",
    "growth",
    "churn",
    "worker",
    "guards",
    "report",
)


class _Commands(click.Group):
    """Imports a command when it is asked for, and what it measures with it."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"bench.{name}").command
        return command


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Measure, and write docs/benchmarks.md from what was measured."""


if __name__ == "__main__":
    main(prog_name="python -m bench")
