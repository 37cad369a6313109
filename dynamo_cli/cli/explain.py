from __future__ import annotations

import typer

from dynamo_cli.cli.common import OfDeployment, chosen_deployment


def register(app: typer.Typer) -> None:
    @app.command(short_help="Tell how a request went.")
    def explain(
        request: str = typer.Argument(None, metavar="[REQUEST_ID]", help="Or its beginning. Default: list the last."),
        number: int = typer.Option(20, "-n", metavar="N", min=1, max=50, help="Without an id: how many to list."),
        json: bool = typer.Option(False, "--json", help="As data."),
        deployment: OfDeployment = None,
    ) -> None:
        """Tell which workers a request was weighed for and went to, why, and how it ended.

        The id is that of the header x-request-id or of the answer. Frontends remember the last 2,000 requests
        (DYN_EXPLAIN_REQUESTS); of older ones the access line of the log is shown, if it is still there.
        """
        from dynamo_cli.supervisor import explaining, explanation

        chosen = chosen_deployment(deployment)
        if request is None:
            told = chosen.client.requests()
            requests, lines = explaining.newest_first(told)[:number], []
            if not requests:
                lines = [explaining.reach(told)]
        else:
            requests, lines = explaining.find(chosen, request)
        if json:
            import msgspec

            print(msgspec.json.encode({"requests": requests, "access_lines": lines if request else []}).decode())
        elif request is None:
            print("\n".join(lines) if lines else explanation.listing(requests))
        else:
            print("\n\n".join(explanation.explanation(one) for one in requests) if requests else "\n".join(lines))
