from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from dynamo_cli.cli.completion.shells import SHELLS, check_shell
from dynamo_cli.errors import UsageError

USAGE = "give a SHELL (bash, zsh or fish) to print its script, or install or uninstall"


class _Shells(TyperGroup):
    """A word that is no subcommand was meant as a shell."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            check_shell(args[0])
        return super().resolve_command(ctx, args)


def register(app: typer.Typer) -> None:
    group = typer.Typer(cls=_Shells, rich_markup_mode=None)
    app.add_typer(group, name="completions", short_help="Print or install the completions of a shell.")

    @group.callback(invoke_without_command=True)
    def completions(context: typer.Context) -> None:
        """Print the completion script of a shell, or install it where that shell finds it.

        For this bash alone: source <(dynamo completions bash)
        """
        if context.invoked_subcommand is None:
            raise UsageError(f"completions: {USAGE}")

    for shell in SHELLS:
        _print_command(group, shell)
    _install_commands(group)


def _print_command(group: typer.Typer, shell: str) -> None:
    @group.command(name=shell, help=f"Print the script for {shell}.")
    def print_script() -> None:
        from dynamo_cli.cli.completion.scripts import script

        print(script(shell), end="")


def _install_commands(group: typer.Typer) -> None:
    path_help = "A file or directory to use instead of the shell's own."

    @group.command()
    def install(
        shell: str = typer.Argument(None, metavar="[SHELL]", help="Default: yours, by $SHELL or what runs this."),
        dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be written."),
        path: Path = typer.Option(None, metavar="PATH", help=path_help),
    ) -> None:
        """Write the script to where the shell loads it from by itself. No file that you wrote is changed."""
        from dynamo_cli.cli.completion.install import install

        print("\n".join(install(shell, path, dry_run)))

    @group.command()
    def uninstall(
        shell: str = typer.Argument(None, metavar="[SHELL]", help="Default: every one."),
        dry_run: bool = typer.Option(False, "--dry-run", help="Only say what would be removed."),
        path: Path = typer.Option(None, metavar="PATH", help=path_help),
    ) -> None:
        """Remove what install wrote."""
        from dynamo_cli.cli.completion.install import uninstall

        print("\n".join(uninstall(shell, path, dry_run)))
