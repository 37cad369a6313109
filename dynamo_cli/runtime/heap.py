"""The C library's heap."""

from __future__ import annotations


def give_back() -> None:
    """Pages that were freed go back to the system: the C library keeps those between pages in use until it is asked.

    2 ms for the 15 MB that reading a tokenizer of 50,000 tokens leaves. Only glibc can be asked.
    """
    import ctypes

    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
