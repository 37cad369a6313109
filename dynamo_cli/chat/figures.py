"""What an answer cost, in words; what the server does not tell is left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from dynamo_cli.bench.answers import Usage

DOT = " · "


@dataclass(frozen=True)
class Figures:
    """`chunks` with text and `elapsed_s` from the first to the last of them. `worker` is empty when unknown."""

    ttft_s: float
    elapsed_s: float
    chunks: int
    usage: Usage | None = None
    worker: str = ""
    finish_reason: str | None = None

    @property
    def count(self) -> int:
        """The server's count of generated tokens, else the number of chunks."""
        return self.usage.completion_tokens if self.usage else self.chunks

    @property
    def rate(self) -> float | None:
        """Of the tokens (or chunks) after the first, per second."""
        return (self.count - 1) / self.elapsed_s if self.elapsed_s > 0 and self.count > 1 else None

    @property
    def tokens_per_s(self) -> float | None:
        return self.rate if self.usage else None

    def words(self, width: int = 0, first: str = "") -> str:
        """`TTFT 21 ms · 95.3 tok/s · 64 tokens · decode-1 · 512 of 530 prompt tokens cached`, after what is `first`.

        Shorter when it would not fit into a line of `width` letters; 0 is any width.
        """
        generated = [first, *self._generated()]
        line = DOT.join(part for part in (*generated, self._prompt(short=False)) if part)
        if not width or len(line) <= width:
            return line
        return DOT.join(part for part in (*generated, self._prompt(short=True)) if part)

    def _generated(self) -> list[str]:
        if not self.chunks:
            return ["no text", self.worker]
        unit, short = ("token", "tok") if self.usage else ("chunk", "chunks")
        limit = " (limit reached)" if self.finish_reason == "length" else ""
        return [
            f"TTFT {self.ttft_s * 1e3:.0f} ms",
            f"{self.rate:.1f} {short}/s" if self.rate else "",
            f"{self.count} {unit}{'' if self.count == 1 else 's'}{limit}",
            self.worker,
        ]

    def _prompt(self, short: bool) -> str:
        if self.usage is None or not self.usage.prompt_tokens:
            return ""
        prompt, cached = self.usage.prompt_tokens, self.usage.cached_tokens
        if short:
            return f"{cached}/{prompt} cached" if cached else f"{prompt} prompt"
        return f"{cached} of {prompt} prompt tokens cached" if cached else f"{prompt} prompt tokens"


@dataclass
class Totals:
    """The sum of a session's answers. Times are in seconds."""

    answers: int = 0
    tokens: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    ttfts_s: list[float] = field(default_factory=list)
    rated_tokens: int = 0
    rated_s: float = 0.0
    workers: dict[str, int] = field(default_factory=dict)

    def add(self, figures: Figures) -> None:
        self.answers += 1
        if figures.chunks:
            self.ttfts_s.append(figures.ttft_s)
        if figures.worker:
            self.workers[figures.worker] = self.workers.get(figures.worker, 0) + 1
        if figures.usage is None:
            return
        self.tokens += figures.usage.completion_tokens
        self.prompt_tokens += figures.usage.prompt_tokens
        self.cached_tokens += figures.usage.cached_tokens
        if figures.rate is not None:
            self.rated_tokens += figures.count - 1
            self.rated_s += figures.elapsed_s

    def words(self) -> str:
        """Several lines."""
        if not self.answers:
            return "no answers yet"
        lines = [f"answers        {self.answers}", f"tokens         {self.tokens} generated"]
        if self.prompt_tokens:
            lines.append(f"prompt tokens  {self.prompt_tokens}, {self.cached_tokens} of them cached")
        if self.ttfts_s:
            mean, worst = sum(self.ttfts_s) / len(self.ttfts_s), max(self.ttfts_s)
            lines.append(f"TTFT           {mean * 1e3:.0f} ms on average, {worst * 1e3:.0f} ms at most")
        if self.rated_s:
            lines.append(f"speed          {self.rated_tokens / self.rated_s:.1f} tok/s")
        if self.workers:
            named = ", ".join(f"{name} {count}" for name, count in sorted(self.workers.items()))
            lines.append(f"workers        {named}")
        return "\n".join(lines)
