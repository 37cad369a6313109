"""As much of the Hugging Face hub as its library asks for, on a port of this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

COMMIT = "c" * 40


@contextmanager
def hub_server(files: dict[str, bytes]) -> Iterator[str]:
    """Serves `files` ("ORG/NAME/path" -> content); yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            path = urlsplit(self.path).path.strip("/")
            if path.startswith("api/models/"):
                content = _listing(path.removeprefix("api/models/"), files)
            else:
                repository, _, rest = path.partition("/resolve/")
                content = files.get(f"{repository}/{rest.partition('/')[2]}")
            self.send_response(404 if content is None else 200)
            content = content or b"{}"
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _listing(asked: str, files: dict[str, bytes]) -> bytes | None:
    """`asked`: ORG/NAME, with /revision/X or /tree/X behind it."""
    repository = "/".join(asked.split("/")[:2])
    sizes = {
        name.removeprefix(f"{repository}/"): len(content)
        for name, content in files.items()
        if name.startswith(f"{repository}/")
    }
    if not sizes:
        return None
    if "/tree/" in asked:
        return json.dumps([{"type": "file", "path": n, "size": s, "oid": COMMIT} for n, s in sizes.items()]).encode()
    siblings = [{"rfilename": name, "size": size} for name, size in sizes.items()]
    return json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
