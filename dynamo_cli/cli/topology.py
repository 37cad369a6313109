from __future__ import annotations

from pathlib import Path

import typer


def register(app: typer.Typer) -> None:
    group = typer.Typer(rich_markup_mode=None)
    app.add_typer(group, name="topology", short_help="List, show and describe topology files.")

    @group.callback()
    def topology() -> None:
        """List topology files, show what one says in the end, or print their JSON schema."""

    @group.command(name="list", short_help="The topologies in a directory.")
    def list_files(
        directory: str = typer.Argument("", metavar="[DIRECTORY]", help="Default: ./topologies, else here."),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """The topologies in a directory, each with its first line of comment."""
        from dynamo_cli.errors import UsageError
        from dynamo_cli.topology.shelf import find_topologies

        folder = Path(directory or ("topologies" if Path("topologies").is_dir() else "."))
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such directory")
        found = list(find_topologies(folder))
        if json:
            import msgspec

            rows = [{**each._asdict(), "file": str(each.file)} for each in found]
            print(msgspec.json.encode(rows).decode())
            return
        width = max((len(str(each.file)) for each in found), default=0)
        for each in found:
            print(f"{str(each.file).ljust(width)}  {each.about or ', '.join(each.parts)}")

    @group.command(short_help="What a topology says in the end.")
    def show(
        file: str = typer.Argument(metavar="FILE", help="A topology, such as topologies/agg.toml."),
        sets: list[str] = typer.Option(
            [], "--set", metavar="KEY=VALUE", help="Change a key, as `up` does. Repeatable."
        ),
        json: bool = typer.Option(False, "--json", help="Print JSON."),
    ) -> None:
        """What a topology says after the files it extends, its variables and --set, and where each value stands."""
        from dynamo_cli.topology.load import load_topology, read_document
        from dynamo_cli.topology.show import covered, toml_lines

        load_topology(Path(file), sets)
        document = read_document(Path(file), sets)
        if json:
            import msgspec

            print(msgspec.json.encode(covered(document.values)).decode())
        else:
            print("\n".join(toml_lines(document)).lstrip("\n"))

    @group.command(short_help="The JSON schema of topology files.")
    def schema() -> None:
        """The JSON schema of topology files, for editors that check and complete them."""
        import json

        from dynamo_cli.topology.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
