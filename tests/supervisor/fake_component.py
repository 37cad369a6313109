"""A component in miniature: an admin socket that says "ready" and answers any completion with one token.

Usage: fake_component.py [--fail-times N FILE]: the first N starts, counted in FILE, end with exit code 3.
"""

from __future__ import annotations

import json
import os
import signal
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from dynamo_cli.runtime.paths import DeploymentPaths


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer({"status": "ready", "reason": ""})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        probed = self.headers.get("x-dynamo-probe") == "1"
        self._answer({"choices": [{}]} if probed else {"error": {"message": "not a probe"}}, 200 if probed else 400)

    def _answer(self, body: object, status: int = 200) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


def fail_at_first(times: int, file: Path) -> None:
    count = int(file.read_text()) if file.exists() else 0
    if count < times:
        file.write_text(str(count + 1))
        print(f"start number {count + 1} fails", file=sys.stderr)
        sys.exit(3)


def main() -> None:
    if "--fail-times" in sys.argv:
        at = sys.argv.index("--fail-times")
        fail_at_first(int(sys.argv[at + 1]), Path(sys.argv[at + 2]))
    path = DeploymentPaths(os.environ["DYNAMO_DEPLOYMENT"]).admin_socket(os.environ["DYNAMO_SERVICE"])
    path.unlink(missing_ok=True)
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: sys.exit(0))
    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        print("serving", flush=True)
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    main()
