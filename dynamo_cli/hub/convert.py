"""A GGUF model for engines that read Hugging Face's layout: config.json and safetensors in bfloat16."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dynamo_cli.errors import EngineMissing, ModelMissing
from dynamo_cli.hub.gguf import read_metadata
from dynamo_cli.hub.llama import llama_config, llama_tensor
from dynamo_cli.hub.paths import cache_dir, check_room, disk_errors

_FORM = "1"
"""Another one when what is written changes, so that it is written anew."""
_TEMPLATE = "chat_template.jinja"


def convert_gguf(gguf: Path, text: Path) -> Path:
    """The directory of the converted model, made in the cache when it is not there yet; safe in several processes.

    `text`: a directory with the model's tokenizer.json and, if it has one, chat_template.jinja. Quantized weights are
    written as what they stand for. Raises ModelMissing for a model that cannot be converted, ResourceMissing when the
    cache cannot be written, EngineMissing when the libraries that read GGUF tensors are not installed.
    """
    shelf = cache_dir() / "converted"
    target = shelf / f"{gguf.stem}-{_fingerprint(gguf, text)}"
    if target.is_dir():
        return target
    with disk_errors(shelf):
        shelf.mkdir(parents=True, exist_ok=True)
    with _alone(shelf, target.name):
        if target.is_dir():
            return target
        for leftover in shelf.glob(f".{target.name}.tmp-*"):  # of a conversion that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        with disk_errors(shelf):
            scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.tmp-", dir=shelf))
        try:
            _write(gguf, text, scratch)
            with disk_errors(target):
                scratch.chmod(0o755)
                os.rename(scratch, target)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return target


def _fingerprint(gguf: Path, text: Path) -> str:
    """Of the file as it is now, without reading it."""
    try:
        found = gguf.resolve().stat()
    except OSError as error:
        raise ModelMissing(f"{gguf}: cannot be read: {error.strerror}") from error
    told = f"{_FORM} {gguf.resolve()} {found.st_size} {found.st_mtime_ns} {text.name}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


@contextlib.contextmanager
def _alone(shelf: Path, name: str) -> Iterator[None]:
    """One process converts this model, others wait for it."""
    with disk_errors(shelf), (shelf / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(gguf: Path, text: Path, folder: Path) -> None:
    tensors = _tensors(gguf)
    try:
        config = llama_config(read_metadata(gguf), {tensor.name for tensor in tensors})
        names = [llama_tensor(tensor.name) for tensor in tensors]
    except ModelMissing as error:
        raise ModelMissing(f"{gguf}: {error}; give this engine the model in Hugging Face format") from error
    check_room(folder, sum(2 * int(tensor.n_elements) for tensor in tensors), "the converted model")
    with disk_errors(folder):
        _write_text(text, folder, config)
        _write_json(folder / "config.json", config)
        _write_weights(tensors, names, config, folder / "model.safetensors")


def _tensors(gguf: Path) -> list[Any]:
    try:
        from gguf import GGUFReader
    except ImportError:
        raise EngineMissing(
            "this engine reads no GGUF files, and what converts them is not installed; run `pip install gguf`"
        ) from None
    try:
        return list(GGUFReader(gguf).tensors)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise ModelMissing(f"{gguf}: not a usable GGUF file: {error}; fetch the model again") from error


def _write_text(text: Path, folder: Path, config: dict[str, Any]) -> None:
    shutil.copyfile(text / "tokenizer.json", folder / "tokenizer.json")
    tokens = {one["id"]: one["content"] for one in json.loads((folder / "tokenizer.json").read_bytes())["added_tokens"]}
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config["max_position_embeddings"],
        "clean_up_tokenization_spaces": False,
        "bos_token": tokens.get(config["bos_token_id"]),
        "eos_token": tokens.get(config["eos_token_id"]),
    }
    if (text / _TEMPLATE).exists():
        shutil.copyfile(text / _TEMPLATE, folder / _TEMPLATE)
        told["chat_template"] = (text / _TEMPLATE).read_text("utf-8")
    _write_json(folder / "tokenizer_config.json", {name: value for name, value in told.items() if value is not None})


def _write_weights(tensors: list[Any], names: list[tuple[str, str]], config: dict[str, Any], file: Path) -> None:
    """The safetensors format (https://github.com/huggingface/safetensors): one tensor at a time is in memory."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor, (name, _) in zip(tensors, names, strict=True):
        begin, end = end, end + 2 * int(tensor.n_elements)
        shape = [int(size) for size in reversed(tensor.shape)]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)
    with file.open("wb") as out:
        out.write(struct.pack("<Q", len(encoded)) + encoded)
        for tensor, (_, permuted) in zip(tensors, names, strict=True):
            out.write(_bfloat16(tensor, permuted, config).data)


def _bfloat16(tensor: Any, permuted: str, config: dict[str, Any]) -> Any:
    """The upper halves of the float32 values, rounded to nearest even: an array of uint16 in the tensor's shape."""
    import numpy
    from gguf import dequantize

    values = numpy.ascontiguousarray(dequantize(tensor.data, tensor.tensor_type), dtype=numpy.float32)
    if permuted:
        heads = config["num_attention_heads" if permuted == "q" else "num_key_value_heads"]
        values = _in_halves(values, heads)
    bits = values.view(numpy.uint32)
    return ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype(numpy.uint16)


def _in_halves(values: Any, heads: int) -> Any:
    """llama.cpp interleaves the halves of each head that the rotary embedding pairs; here they lie side by side."""
    rows, columns = values.shape
    return values.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns).copy()


def _write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
