"""A model that looks at pictures, made up on the spot: its weights are random, all around them is real."""

from __future__ import annotations

import io
from pathlib import Path

SIDE = 28
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.content is string %}{{ m.content }}{% else %}"
    "{% for part in m.content %}{% if part.type == 'image' %}<image>\n{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_MORE_TOKENS = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]


def write_tiny_vision(directory: Path, tokenizer: Path) -> Path:
    """An Idefics3 in Hugging Face format. `tokenizer`: a directory with that of another model."""
    import torch
    import transformers

    tok = transformers.AutoTokenizer.from_pretrained(tokenizer)
    tok.add_special_tokens({"additional_special_tokens": _MORE_TOKENS})
    tok.chat_template = TEMPLATE
    small = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2}
    config = transformers.Idefics3Config(
        vision_config={**small, "num_hidden_layers": 1, "image_size": SIDE, "patch_size": SIDE // 2},
        text_config={
            **small,
            "model_type": "llama",
            "vocab_size": len(tok) + 32,
            "num_hidden_layers": 2,
            "num_key_value_heads": 2,
            "max_position_embeddings": 1024,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "pad_token_id": 2,
        },
        image_token_id=tok.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=2,
    )
    torch.manual_seed(0)
    model = transformers.Idefics3ForConditionalGeneration(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(directory)
    longest = {"longest_edge": SIDE}
    pixels = transformers.Idefics3ImageProcessorPil(size=longest, max_image_size=longest, do_image_splitting=False)
    transformers.Idefics3Processor(
        image_processor=pixels, tokenizer=tok, image_seq_len=1, chat_template=TEMPLATE
    ).save_pretrained(directory)
    return directory


def picture(color: str, width: int = SIDE, height: int = SIDE) -> bytes:
    """A PNG."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (width, height), color).save(file, "PNG")
    return file.getvalue()
