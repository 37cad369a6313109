"""Lean HTTP/1.1 on httptools: a server without task, queue or await per request, and a client of unix sockets."""
