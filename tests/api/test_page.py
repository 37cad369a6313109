from __future__ import annotations

from tests.documented import BLOCK, DOCS


def test_each_block_of_the_page_is_one_that_a_test_runs() -> None:
    """The engine in tests/workers/engines and with its topology in tests/integration, the endpoint beside this file."""
    text = (DOCS / "custom_engine.md").read_text()
    assert [language for language, _ in BLOCK.findall(text)] == ["python", "toml", "python"]
    assert text.count("\n") < 60
