"""What a deployment that is ready says: where it is, how to ask it, and what to try next. Pure."""

from __future__ import annotations

import json
import shlex
from typing import NamedTuple

from dynamo_cli.runtime.control import DeploymentStatus

QUESTION = "What color is the sky?"


class Example(NamedTuple):
    """A first request: its path and body, the same in Python, and what of the answer is to be seen."""

    path: str
    body: dict[str, object]
    call: str
    shown: str


def banner(status: DeploymentStatus) -> str:
    """URL, model, a request to paste into a shell, one for Python, and the commands to try next."""
    if not status.url:
        return f"{status.deployment} is ready"
    examples = [f"  {curl(status)}", "\n".join(f"  {line}" for line in snippet(status))] if status.models else []
    return "\n\n".join([_where(status), *examples, f"next: {_next(status)}"])


def brief(status: DeploymentStatus) -> str:
    """The same without Python, for who left it in the background."""
    if not status.url:
        return f"{status.deployment} is ready"
    example = [f"  {curl(status)}"] if status.models else []
    return "\n".join([_where(status), *example, f"next: {_next(status)}"])


def curl(status: DeploymentStatus) -> str:
    """For the first model. Certificates are not checked: whom a client is to trust nobody here can know."""
    example = _example(status)
    words = [f"curl {status.url}/v1/{example.path}"]
    if _speaks_tls(status):
        words.append("-k")
    if status.access.client_certificate:
        words.append("--cert client.pem --key client.key")
    if status.access.api_keys:
        words.append('-H "Authorization: Bearer $API_KEY"')
    words.append("-H 'Content-Type: application/json'")
    return " ".join([*words, "-d", shlex.quote(json.dumps(example.body, ensure_ascii=False))])


def snippet(status: DeploymentStatus) -> list[str]:
    """The lines of a Python program that uses the package `openai`."""
    example, keys = _example(status), status.access.api_keys
    imports = ["import os"] if keys else []
    arguments = [f'base_url="{status.url}/v1"', 'api_key=os.environ["API_KEY"]' if keys else 'api_key="none"']
    if _speaks_tls(status):
        imports.append("import httpx")
        certificate = ', cert=("client.pem", "client.key")' if status.access.client_certificate else ""
        arguments.append(f"http_client=httpx.Client(verify=False{certificate})")
    return [
        *imports,
        "from openai import OpenAI",
        f"client = OpenAI({', '.join(arguments)})",
        f"answer = client.{example.call}",
        f"print(answer.{example.shown})",
    ]


def _where(status: DeploymentStatus) -> str:
    key = "\n  it asks for an API key: `export API_KEY=...` first" if status.access.api_keys else ""
    return "  ".join([f"ready at {status.url}/v1", *status.models]) + key


def _speaks_tls(status: DeploymentStatus) -> bool:
    return status.url.startswith("https:")


def _example(status: DeploymentStatus) -> Example:
    model = status.models[0]
    name = json.dumps(model, ensure_ascii=False)
    kind = status.kinds.get(model, "chat")
    if kind == "embeddings":
        call = f'embeddings.create(model={name}, input="{QUESTION}")'
        return Example("embeddings", {"model": model, "input": QUESTION}, call, "data[0].embedding[:4]")
    if kind == "completions":
        body = {"model": model, "prompt": QUESTION, "max_tokens": 32}
        call = f'completions.create(model={name}, prompt="{QUESTION}", max_tokens=32)'
        return Example("completions", body, call, "choices[0].text")
    messages = [{"role": "user", "content": QUESTION}]
    call = f"chat.completions.create(model={name}, messages={json.dumps(messages)})"
    return Example("chat/completions", {"model": model, "messages": messages}, call, "choices[0].message.content")


def _next(status: DeploymentStatus) -> str:
    name = status.deployment
    answers = bool(status.models) and status.kinds.get(status.models[0]) != "embeddings"
    steps = [
        *(["`dynamo chat` talks to it"] if answers else []),
        f"`dynamo top {name}` shows what it does",
        *(["`dynamo bench` measures it"] if answers else []),
        f"{'' if status.detached else 'Ctrl-C or '}`dynamo down {name}` stops it",
    ]
    return ", ".join(steps)
