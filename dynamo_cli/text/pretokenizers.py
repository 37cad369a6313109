"""How each known `tokenizer.ggml.pre` cuts a text into words before byte-pair merging.

The patterns are applied one after the other, each inside the pieces the one before has left: matches and the gaps
between them become pieces. They follow llama.cpp, which is the engine these files are made for; where it differs
from a model's original tokenizer, its ids are the ones that count.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PreTokenizer:
    """`whole_words`: a word that is itself in the vocabulary is taken without merging. `add_bos`: the default."""

    patterns: tuple[str, ...]
    whole_words: bool = False
    add_bos: bool = False


DIGIT = r"\p{N}"
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"

_SHORT = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
_SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = rf"{_SHORT}|{_WORD}|\p{{N}}{{1,3}}|{_SYMBOLS}|{_SPACES}"
_QWEN2 = rf"{_SHORT}|{_WORD}|\p{{N}}|{_SYMBOLS}|{_SPACES}"

_UPPER, _LOWER = r"((?=[\p{L}])([^a-z]))", r"((?=[\p{L}])([^A-Z]))"
_HEAD, _SLASHED = r"[^\r\n\p{L}\p{N}]?", r" ?[^\s\p{L}\p{N}]+[\r\n/]*"
_TEKKEN = rf"{_HEAD}{_UPPER}*{_LOWER}+|{_HEAD}{_UPPER}+{_LOWER}*|\p{{N}}|{_SLASHED}|{_SPACES}"
_GPT4O = rf"{_HEAD}{_UPPER}*{_LOWER}+{_SHORT}?|{_HEAD}{_UPPER}+{_LOWER}*{_SHORT}?|\p{{N}}{{1,3}}|{_SLASHED}|{_SPACES}"

_ASCII_SYMBOL = r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"
_DEEPSEEK3 = (
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    rf"{_ASCII_SYMBOL}[A-Za-z]+|[^\r\n\p{{L}}\p{{P}}\p{{S}}]?[\p{{L}}\p{{M}}]+| ?[\p{{P}}\p{{S}}]+[\r\n]*|{_SPACES}",
)
_DEEPSEEK_CODER = (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-\x{d7ff}&&[^\s]]+", r"\p{N}")
_BLOOM = r" ?[^(\s|.,!?…。，、।۔،)]+"
_SEED = rf"{_SHORT}|{_WORD}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}\r\n]+|{_SPACES}"
_BAILING = rf"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])|{_WORD}|\p{{N}}|{_SYMBOLS}|\s*[\r\n]|\s+(?!\S)|\s+"
_QWEN35 = rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{_SPACES}"
_JAIS2_SPACES = "|".join(rf"\s{{{width}}}(?!\S)" for width in ("512", "256", "128", "64", "32", "16", "8", "4", "1,2"))
_JAIS2 = rf"{_SHORT}|{_WORD}|\p{{N}}{{1,3}}|{_SYMBOLS}|\s*[\r\n]+|{_JAIS2_SPACES}|\s"
_MINICPM5 = rf"{_SHORT}|{_WORD}|\p{{N}}+|{_SYMBOLS}|{_SPACES}"
_EXAONE_MOE = (
    rf"{_SHORT}|{_HEAD}(?:\p{{L}}\p{{M}}*(?: \p{{L}}\p{{M}}*)*)+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]?"
    r"|\s*[\r\n]|\s+(?!\S)|\s+"
)
_DEFAULT = (r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", "[0-9][0-9][0-9]")


def _table() -> dict[str, PreTokenizer]:
    groups: dict[PreTokenizer, str] = {
        PreTokenizer(_DEFAULT): "default",
        PreTokenizer((GPT2,)): "gpt-2 phi-2 jina-es jina-de gigachat jina-v2-es jina-v2-de a.x-4.0 mellum modern-bert "
        "exaone4 mpt olmo jais trillion granite-docling",
        PreTokenizer((DIGIT, GPT2)): "smollm starcoder refact command-r codeshell exaone minerva-7b mellum2",
        PreTokenizer((r"[\p{P}\$\+<=>\^~\|`]+", GPT2, "[0-9][0-9][0-9]")): "falcon",
        PreTokenizer((_LLAMA3,), whole_words=True, add_bos=True): "llama3 llama-v3 llama-bpe falcon3 falcon-h1 pixtral "
        "midm-2.0 lfm2 jina-v5-nano",
        PreTokenizer((_LLAMA3,)): "dbrx smaug-bpe glm4 chatglm-bpe",
        PreTokenizer((_QWEN2,)): "qwen2 deepseek-r1-qwen kormo megrez f2llmv2 stablelm2 hunyuan grok-2 solar-open",
        PreTokenizer((_TEKKEN,), whole_words=True, add_bos=True): "tekken",
        PreTokenizer((_GPT4O,)): "gpt-4o llama4 kanana2 talkie minimax-m2",
        PreTokenizer(_DEEPSEEK3): "deepseek-v3 hunyuan-dense joyai-llm hy_v4",
        PreTokenizer(_DEEPSEEK_CODER): "deepseek-coder",
        PreTokenizer((_BLOOM,)): "poro-chat bloom gpt3-finnish",
        PreTokenizer((_BLOOM, DIGIT)): "viking",
        PreTokenizer((_SEED,)): "seed-coder",
        PreTokenizer((_BAILING,)): "bailingmoe bailingmoe2 llada-moe",
        PreTokenizer((_QWEN35,)): "qwen35",
        PreTokenizer((_JAIS2,)): "jais-2",
        PreTokenizer((r"\p{N}{1,3}", _MINICPM5), whole_words=True): "minicpm5",
        PreTokenizer((_EXAONE_MOE,)): "exaone-moe",
        PreTokenizer((r"\p{N}+", r"(?=(\d{3})+(?!\d))")): "superbpe",
    }
    return {name: pre for pre, names in groups.items() for name in names.split()}


PRE_TOKENIZERS = _table()
