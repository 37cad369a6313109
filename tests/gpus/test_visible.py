from __future__ import annotations

import pytest

from dynamo_cli.gpus.gpu import Gpu
from dynamo_cli.gpus.visible import find_gpu, visible_gpus

GPUS = [Gpu(index=0, uuid="GPU-aab"), Gpu(index=1, uuid="GPU-abc"), Gpu(index=2, uuid="GPU-bcd")]


@pytest.mark.parametrize(
    ("wanted", "indexes"),
    [
        (None, [0, 1, 2]),
        ("0,1,2", [0, 1, 2]),
        ("2,0", [2, 0]),
        (" 1 , GPU-bcd", [1, 2]),
        ("gpu-b", [2]),
        ("GPU-a", []),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("0,7,1", [0]),
        ("0,0", [0]),
    ],
)
def test_as_cuda_reads_it(wanted: str | None, indexes: list[int]) -> None:
    found = visible_gpus(GPUS, wanted)
    assert [gpu.index for gpu in found.gpus] == indexes
    hidden = f"CUDA_VISIBLE_DEVICES={wanted} leaves {len(indexes)} of 3"
    assert found.reason == ("" if len(indexes) == 3 else hidden)


def test_find_by_index_uuid_or_its_beginning() -> None:
    assert find_gpu(GPUS, "1") is GPUS[1]
    assert find_gpu(GPUS, "GPU-aab") is GPUS[0]
    assert find_gpu(GPUS, "GPU-b") is GPUS[2]
    assert find_gpu(GPUS, "GPU-a") is None
    assert find_gpu(GPUS, "9") is None
    assert find_gpu(GPUS, "") is None


def test_a_whole_uuid_may_begin_another() -> None:
    gpus = [Gpu(index=0, uuid="GPU-1"), Gpu(index=1, uuid="GPU-12")]
    assert find_gpu(gpus, "GPU-1") is gpus[0]
