"""Guided decoding in the words of llama.cpp."""

from __future__ import annotations

import pytest

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.engine import GuidedDecoding
from dynamo_cli.workers.engines.llamacpp.grammar import grammar_of


@pytest.mark.parametrize(
    ("regex", "written"),
    [
        ("[0-9]+", "/[0-9]+/"),
        ("a/b", r"/a\/b/"),
        (r"a\/b", r"/a\/b/"),
        (r"a\\/b", r"/a\\\/b/"),
        ("a\nb", r"/a\nb/"),
        ("a\\\nb", r"/a\nb/"),
        (r"\d\.", r"/\d\./"),
    ],
)
def test_a_regular_expression_stands_between_slashes_on_one_line(regex: str, written: str) -> None:
    assert grammar_of(GuidedDecoding(regex=regex)) == "%llguidance {}\nstart: " + written


def test_choices_are_json_strings() -> None:
    grammar = grammar_of(GuidedDecoding(choice=('a"b', "c\n\x01", "☂")))
    assert grammar == '%llguidance {}\nstart: "a\\"b" | "c\\n\\u0001" | "☂"'


def test_white_space_of_json_is_fixed_unless_the_schema_says_how() -> None:
    assert '"whitespace_flexible":false' in grammar_of(GuidedDecoding(json={"type": "null"}))
    own = grammar_of(GuidedDecoding(json={"x-guidance": {"whitespace_flexible": True}}))
    assert own == '%llguidance {}\nstart: %json {"x-guidance":{"whitespace_flexible":true}}'


def test_a_grammar_goes_as_it_is_unless_it_is_of_the_kind_that_is_not_checked() -> None:
    assert grammar_of(GuidedDecoding(grammar='root ::= "a"')) == 'root ::= "a"'
    with pytest.raises(InvalidRequest, match="GBNF"):
        grammar_of(GuidedDecoding(grammar=" %llguidance {}\nstart: x"))
