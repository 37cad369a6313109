"""Downloads from a hub, whoever makes them."""

from __future__ import annotations

from dynamo_cli.supervisor.phases.rule import Rule

RULES = (
    Rule("download", "Fetching ", bar=True),  # huggingface_hub: "Fetching 5 files:  40%|████      | 2/5 ["
    Rule("download", ".safetensors: ", bar=True),  # and each file: "model.safetensors:  23%|██▎       | 62.9M/269M ["
    Rule("download", ".gguf: ", bar=True),
    Rule("download", "Downloading shards:", bar=True),
    Rule("download", "Downloading from https://www.modelscope"),
    Rule("download", "common_download_file_single_online: trying to download"),
)
