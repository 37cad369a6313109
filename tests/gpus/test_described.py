from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dynamo_cli.errors import UsageError
from dynamo_cli.gpus.catalogue import MODELS, find_model
from dynamo_cli.gpus.closeness import Closeness, closeness
from dynamo_cli.gpus.described import described_gpus
from dynamo_cli.gpus.gpu import GpuInventory
from dynamo_cli.gpus.health import Driver, GpuHealth
from tests.gpus.machines import DGX, SPLIT


@pytest.mark.parametrize(
    ("words", "count", "name", "gib", "near"),
    [
        ("8xH100-80GB", 8, "NVIDIA H100 80GB HBM3", 79, Closeness.NVLINK_ALL),
        ("8xH200", 8, "NVIDIA H200", 140, Closeness.NVLINK_ALL),
        ("4xA100-40GB-PCIe", 4, "NVIDIA A100-PCIE-40GB", 40, Closeness.NUMA),
        ("2xL40S", 2, "NVIDIA L40S", 44, Closeness.SWITCH),
        ("l4", 1, "NVIDIA L4", 22, Closeness.NVLINK_ALL),
        ("8xV100-SXM2-32GB", 8, "Tesla V100-SXM2-32GB", 32, Closeness.NVLINK),
    ],
)
def test_machines_in_a_word(words: str, count: int, name: str, gib: int, near: Closeness) -> None:
    gpus = described_gpus(words).gpus
    assert [gpu.index for gpu in gpus] == list(range(count))
    assert {(gpu.name, gpu.memory_total // 2**30) for gpu in gpus} == {(name, gib)}
    assert {gpu.memory_free - gpu.memory_total for gpu in gpus} == {0}
    assert closeness(gpus if count != 4 else gpus[:2]) is (near if count != 4 else Closeness.NVLINK_ALL)


def test_mig_and_several_groups() -> None:
    gpus = described_gpus("1xH100-80GB:mig-1g.10gb*7, 2xL4").gpus
    assert [gpu.mig for gpu in gpus] == [True, False, False] + [False] * 7
    assert {gpu.profile for gpu in gpus[3:]} == {"1g.10gb"}
    assert len({gpu.uuid for gpu in gpus}) == 10
    assert [gpu.numa for gpu in gpus[:3]] == [0, 0, 1]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("8xH1000", "--gpus 8xH1000: unknown GPU H1000; known are B200, H200, H200-NVL, H100-80GB, "),
        ("A100", "--gpus A100: unknown GPU A100; known are "),
        ("", "--gpus : expected 8xH100-80GB or a .json file, found nothing"),
        ("0xL4", "--gpus 0xL4: expected 8xH100-80GB or a .json file, found 0xL4"),
        ("99xL4", "--gpus 99xL4: expected 8xH100-80GB"),
        ("64xL4,L4", "--gpus 64xL4,L4: 65 GPUs, at most 64 are in one machine"),
        ("L4:mig-1g.5gb", "--gpus L4:mig-1g.5gb: L4 has no MIG profile 1g.5gb; it has none"),
        ("H200:mig-1g.10gb", "--gpus H200:mig-1g.10gb: H200 has no MIG profile 1g.10gb; it has mig-1g.18gb, "),
        ("H100-80GB:mig-3g.40gb*3", "--gpus H100-80GB:mig-3g.40gb*3: a H100-80GB has 7 MIG slices, these are 9"),
        ("H100-80GB:half", "--gpus H100-80GB:half: expected mig-1g.10gb*7, found half"),
        ("none.json", "--gpus none.json: cannot be read: No such file or directory"),
    ],
)
def test_words_that_describe_nothing(words: str, line: str) -> None:
    with pytest.raises(UsageError) as caught:
        described_gpus(words)
    assert str(caught.value).startswith(line) and "\n" not in str(caught.value)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_name_is_found(model: object) -> None:
    assert isinstance(model, tuple)
    assert find_model(model[0]) is model and find_model(model[1]) is model
    assert find_model(f"{model[0]}-SXM".upper()) is model


def test_a_file(tmp_path: Path) -> None:
    file = tmp_path / "machine.json"
    file.write_bytes(msgspec.json.encode(GpuInventory(DGX)))
    assert described_gpus(str(file)).gpus == DGX
    whole, parts = SPLIT[0], SPLIT[3:6]
    file.write_bytes(msgspec.json.encode(Driver(count=1, gpus=(GpuHealth(gpu=whole, instances=parts),))))
    assert described_gpus(str(file)).gpus == (whole, *parts)
    file.write_text('{"gpus": [{"index": "x"}]}')
    with pytest.raises(UsageError, match=r"machine.json: Expected `int`, got `str` - at `\$.gpus\[0\].index`$"):
        described_gpus(str(file))
