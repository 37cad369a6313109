"""Random texts of the kinds that tell tokenizers apart."""

from __future__ import annotations

import random

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ETAOIN .,;:!?'\"-",
    "0123456789 .,+-*/=%$€½²٣४",
    " \t\n\r\x0b\x0c\x85\u00a0\u2003\u2028\u3000",
    "\x00\x01\x07\x1b\x7f\x80\u200b\u200d\ufeff\ufffd",
    "天地玄黃宇宙洪荒日月盈昃辰宿列张你好世界、。！？「」",
    "あいうえおカタカナひらがな한국어안녕하세요",
    "😀🎉👨‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽❤️☕",
    "e\u0301a\u0308n\u0303\u0327o\u0302\u0301 हिन्दी ไทย עברית العربية\u064b\u0651",
    "ÄÖÜäöüßéèçñøåÆ ſ ﬁ İı Ωω Жж",
    "{}[]()<>=+-*/%&|^~#@$_\\`;:,.!?\"' \n\t",
    "∀∃∑∫√≤≥≠∞←→⇒■●★♥©®™",
)
WORDS = (
    "the quick brown fox don't I'LL we've It's HELLO World naïve 12345 3.14 1,000,000 100% a_b camelCase snake_case "
    "def return import self None True for(int i=0;i<n;++i){ <html></html> http://a.b/c?d=e&f=g \\n // /* */ --- *** "
    "    \t\t \n\n \r\n <|im_start|> <|im_end|> <|endoftext|> <repo_name> <|im_ start|> <s> </s>"
).split(" ")


# Blocks that have long been full, so that every Unicode version agrees on them.
BLOCKS = (
    (0x1, 0x377),
    (0x400, 0x52F),
    (0x5D0, 0x5EA),
    (0x904, 0x939),
    (0x3041, 0x3096),
    (0x4E00, 0x9FA5),
    (0xAC00, 0xD7A3),
    (0x1F300, 0x1F5FF),
    (0x20000, 0x2A6D6),
)


def random_texts(count: int, seed: int) -> list[str]:
    dice = random.Random(seed)
    return [_text(dice) for _ in range(count)]


def _text(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.35:
        return "".join(dice.choices(dice.choice(ALPHABETS), k=dice.randint(1, 40)))
    if kind < 0.65:
        return dice.choice((" ", "", "\n", "  ")).join(dice.choices(WORDS, k=dice.randint(1, 15)))
    if kind < 0.95:
        letters = "".join(dice.sample(ALPHABETS, k=dice.randint(2, 5)))
        return "".join(dice.choices(letters, k=dice.randint(1, 60)))
    return "".join(chr(_code_point(dice)) for _ in range(dice.randint(1, 20)))


def _code_point(dice: random.Random) -> int:
    low, high = dice.choice(BLOCKS)
    return dice.randint(low, high)
