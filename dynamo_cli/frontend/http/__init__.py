"""A lean HTTP/1.1 server: httptools parses, callbacks answer; no task, queue or await per request."""
