from __future__ import annotations

import typer

from dynamo_cli.errors import UsageError


def register(app: typer.Typer) -> None:
    @app.command()
    def completions(shell: str = typer.Argument(help="bash, zsh or fish.")) -> None:
        """Print the completion script of a shell.

        For bash: source <(dynamo completions bash)
        """
        from dynamo_cli.cli.completion import SHELLS, script

        if shell not in SHELLS:
            raise UsageError(f"there are no completions for {shell}; choose one of {', '.join(SHELLS)}")
        print(script(shell), end="")
