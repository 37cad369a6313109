"""The scanner's lines against documents whose lines are known because they were written together."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dynamo_cli.topology.layers import tomllib
from dynamo_cli.topology.positions import KeyPath, key_lines, split_key

EXAMPLE = '''\
# a comment with [brackets] and "quotes"
name = "agg"        # a = 1
"quoted key" = 1
'single' = """
a = 1
[not.a.table]
"""
a.b . "c.d" = 2

[ workers . "de\\u0063ode" ]  # decode
args = [
  "--x",   # one
  "]", ["nested"],

  { k = 1, l.m = "}" },
]
lit = \'\'\'
x''\'\'\'
options = { a = { b = 1 }, c = [1, 2] }
when = 1979-05-27 07:32:00
[workers]
z = 1
[[list]]
n = 1
[[list]]
n = 2
[list.sub]
m = 3
[[list.deep]]
o = 4
[[list.deep]]
o = 5
'''

EXPECTED: dict[KeyPath, int] = {
    ("name",): 2,
    ("quoted key",): 3,
    ("single",): 4,
    ("a", "b", "c.d"): 8,
    ("workers",): 10,
    ("workers", "decode"): 10,
    ("workers", "decode", "args"): 11,
    ("workers", "decode", "args", 0): 12,
    ("workers", "decode", "args", 1): 13,
    ("workers", "decode", "args", 2, 0): 13,
    ("workers", "decode", "args", 3, "l", "m"): 15,
    ("workers", "decode", "lit"): 17,
    ("workers", "decode", "options", "a", "b"): 19,
    ("workers", "decode", "options", "c", 1): 19,
    ("workers", "decode", "when"): 20,
    ("workers", "z"): 22,
    ("list",): 23,
    ("list", 0, "n"): 24,
    ("list", 1, "n"): 26,
    ("list", 1, "sub", "m"): 28,
    ("list", 1, "deep", 0, "o"): 30,
    ("list", 1, "deep", 1, "o"): 32,
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_of_an_example(newline: str) -> None:
    text = EXAMPLE.replace("\n", newline)
    lines = key_lines(text)
    assert {path: lines.get(path) for path in EXPECTED} == EXPECTED
    assert set(lines) == paths_of(tomllib.loads(text))


def test_split_key_ends_where_the_key_ends() -> None:
    assert split_key("a . \"b.c\".'d' = 1") == (("a", "b.c", "d"), 14)
    assert split_key("model") == (("model",), 5)
    for text in ("", "=1", "a.=1", ".a=1", '"a', "[0]"):
        with pytest.raises(ValueError):
            split_key(text)


def paths_of(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Every path a parsed document has."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return ({path} if path else set()).union(*(paths_of(item, (*path, key)) for key, item in items))


class Writer:
    """Writes a TOML document and remembers the line of each path it writes."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.text = ""
        self.lines: dict[KeyPath, int] = {}

    def choose(self, *options: Any) -> Any:
        return self.draw(st.sampled_from(options))

    def mark(self, path: KeyPath) -> None:
        self.lines.setdefault(path, self.text.count("\n") + 1)

    def noise(self) -> None:
        self.text += self.choose("", "", "\n", "\r\n", "  ", "# x = [1, \"'\n", "\t# [a]\r\n", "\n\n")
        if not self.text.endswith("\n") and self.text.strip(" ") and not self.text.endswith(" "):
            self.text += "\n"

    def key(self, path: KeyPath) -> None:
        """The last part of `path`, in one of the ways a key is written."""
        self.mark(path)
        name = str(path[-1])
        literal = f"'{name}'" if "'" not in name else json.dumps(name)
        bare = name if name.isalnum() and name.isascii() else literal
        self.text += self.choose(bare, literal, json.dumps(name), json.dumps(name, ensure_ascii=False))

    def dotted(self, table: KeyPath, names: list[str]) -> KeyPath:
        path = table
        for position, name in enumerate(names):
            path = (*path, name)
            self.text += self.choose(".", " . ") if position else ""
            self.key(path)
        return path

    def value(self, path: KeyPath, depth: int) -> None:
        kind = self.choose("scalar", "scalar", "string", "array", "table") if depth else "scalar"
        if kind == "string":
            self.text += self.choose(*STRINGS)
        elif kind == "array":
            self.array(path, depth)
        elif kind == "table":
            self.inline(path, depth)
        else:
            self.text += self.choose("1", "-2.5e3", "true", "inf", "1979-05-27 07:32:00", "07:32:00", "0xff", '"#]}"')

    def array(self, path: KeyPath, depth: int) -> None:
        self.text += "["
        for index in range(self.draw(st.integers(0, 3))):
            self.text += self.choose("", " ", "\n", " # ] comment\n", "\r\n\t")
            self.mark((*path, index))
            self.value((*path, index), depth - 1)
            self.text += self.choose(",", " , ", "\n,", ", # ,\n")
        self.text += self.choose("", "\n", " ") + "]"

    def inline(self, path: KeyPath, depth: int) -> None:
        self.text += "{ "
        for number in range(self.draw(st.integers(0, 3))):
            self.text += ", " if number else ""
            inner = self.dotted(path, [f"i{number}", *self.draw(st.lists(NAMES, max_size=1))])
            self.text += self.choose("=", " = ")
            self.value(inner, depth - 1)
        self.text += " }"

    def pairs(self, table: KeyPath) -> None:
        for number in range(self.draw(st.integers(0, 4))):
            self.noise()
            path = self.dotted(table, [self.draw(NAMES) + str(number), *self.draw(st.lists(NAMES, max_size=2))])
            self.text += self.choose("=", " = ", "\t=")
            self.value(path, 3)
            self.text += self.choose("\n", "\r\n", " # end = 1\n", "  \n")

    def document(self) -> None:
        self.pairs(())
        arrays: dict[KeyPath, int] = {}
        for number in range(self.draw(st.integers(0, 4))):
            self.noise()
            of_array = self.choose(True, False)
            name = self.choose("lists", "more") if of_array else f"t{number}"
            self.text += "[[ " if of_array else "["
            path = self.dotted((), [name])
            if of_array:
                arrays[path] = arrays.get(path, -1) + 1
                path = (*path, arrays[path])
                self.mark(path)
            else:
                path = self.dotted_rest(path)
            self.text += " ]]\n" if of_array else "] # [x]\n"
            self.pairs(path)

    def dotted_rest(self, path: KeyPath) -> KeyPath:
        for name in self.draw(st.lists(NAMES, max_size=2)):
            self.text += "."
            path = (*path, name)
            self.key(path)
        return path


NAMES = st.sampled_from(
    ["a", "b1", "with space", "do.t", "qu'ote", 'dou"ble', "ünï", "back\\slash", "#", "[", "=", "]"]
)
STRINGS = (
    '"\\" \\\\"',
    "'\\'",
    '"""\nx = 1\n\\"" a"" """',
    '"""a"""""',
    "'''\n[[x]]\n''y'''",
    "'''a'''''",
    '""',
    "''",
    '""""""',
    '"""\r\n\\\n  b"""',
)


@settings(max_examples=250)
@given(st.data())
def test_lines_of_generated_documents(data: st.DataObject) -> None:
    writer = Writer(data.draw)
    writer.document()
    parsed = tomllib.loads(writer.text)
    lines = key_lines(writer.text)
    assert lines == writer.lines
    assert set(lines) == paths_of(parsed)
