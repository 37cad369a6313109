"""The document's schemas, ready to judge what is sent and received."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator

from dynamo_cli.frontend.openapi.document import document


@cache
def schema_of(name: str, closed: bool = False) -> Draft202012Validator:
    """`closed`: what the schema does not know is wrong, too; for answers, of which it should know all."""
    components = copy.deepcopy(document()["components"])
    if closed:
        for schema in components["schemas"].values():
            if "properties" in schema:
                schema["additionalProperties"] = False
    return Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})


def problems(name: str, value: Any, closed: bool = True) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in schema_of(name, closed).iter_errors(value)]
