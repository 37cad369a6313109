from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    @app.command()
    def ps(
        all_: bool = typer.Option(False, "-a", "--all", help="Those that are stopped, too."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """List the deployments of this user."""
        from dynamo_cli.supervisor import listing

        rows = listing.listed(all_)
        if json:
            import msgspec

            print(msgspec.json.encode(rows).decode())
        else:
            print("\n".join(listing.lines(rows)))
