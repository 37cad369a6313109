from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.bench.chaos.skipped import Skipped
from dynamo_cli.bench.chaos.small_disk import small_disk


def test_a_full_disk_takes_nothing_until_it_is_emptied(tmp_path: Path) -> None:
    place = tmp_path / "small"
    try:
        with small_disk(place, 256) as disk:
            disk.fill()
            with pytest.raises(OSError, match="No space left"):
                (place / "more").write_bytes(b"1")
            disk.empty()
            (place / "more").write_bytes(bytes(100_000))
    except Skipped as skipped:
        pytest.skip(str(skipped))
    assert list(place.iterdir()) == []
