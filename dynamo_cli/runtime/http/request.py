"""A request as the handlers see it."""

from __future__ import annotations

import itertools
import re
import secrets

REQUEST_ID = b"x-request-id"
_VALID_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_number = itertools.count(1)
_prefix = b"req-" + secrets.token_hex(6).encode()


class Request:
    """`path` has no query and no escapes. `headers` have lower-case names; repeated ones are joined by commas.

    `extra`: complete header lines that every answer to it carries.
    """

    __slots__ = ("_id", "body", "extra", "headers", "keep_alive", "method", "path", "trusted", "version")

    def __init__(self, method: str, path: str, headers: dict[bytes, bytes], version: str, trusted: bool) -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.version = version
        self.trusted = trusted
        self.keep_alive = True
        self.body = b""
        self.extra = b""
        self._id = b""

    @property
    def id(self) -> bytes:
        """The client's x-request-id if it is visible ASCII of up to 128 bytes, else one of ours."""
        if not self._id:
            given = self.headers.get(REQUEST_ID, b"")
            self._id = given if _VALID_ID.fullmatch(given) else b"%b-%x" % (_prefix, next(_number))
        return self._id
