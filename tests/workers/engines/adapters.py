"""Weights of a LoRA adapter for the default model."""

from __future__ import annotations

import json
from pathlib import Path

HIDDEN, KEYS, LAYERS, RANK = 576, 192, 30, 8


def write_adapter(folder: Path) -> Path:
    """LoRA weights that change every answer."""
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(1)
    weights = {}
    for layer in range(LAYERS):
        for name, width in (("q_proj", HIDDEN), ("v_proj", KEYS)):
            key = f"base_model.model.model.layers.{layer}.self_attn.{name}"
            weights[f"{key}.lora_A.weight"] = torch.randn(RANK, HIDDEN)
            weights[f"{key}.lora_B.weight"] = torch.randn(width, RANK)
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    form = {"peft_type": "LORA", "r": RANK, "lora_alpha": RANK, "target_modules": ["q_proj", "v_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(form))
    return folder
