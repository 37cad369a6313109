"""Images, audio and video as vLLM takes them: decoded, by kind, each kind in the order of the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dynamo_cli.errors import InvalidRequest
from dynamo_cli.protocol.media import Media, MediaKind
from dynamo_cli.workers.engines.vllm.failure import one_line

KINDS: tuple[MediaKind, ...] = ("image", "audio", "video")


def modalities_of(model_config: Any) -> tuple[MediaKind, ...]:
    """What the model takes besides text, and was not started without (--limit-mm-per-prompt)."""
    if not getattr(model_config, "is_multimodal_model", False):
        return ()
    from vllm.multimodal import MULTIMODAL_REGISTRY

    limits = MULTIMODAL_REGISTRY.get_processing_info(model_config).allowed_mm_limits
    return tuple(kind for kind in KINDS if limits.get(kind, 0) != 0)


def multi_modal_data(media: Sequence[Media]) -> dict[str, list[Any]]:
    """vLLM's `multi_modal_data`. Takes time. Raises InvalidRequest for what is not of its kind."""
    readers: dict[MediaKind, Any] = {}
    found: dict[str, list[Any]] = {}
    for one in media:
        if one.kind not in readers:
            readers[one.kind] = _reader(one.kind)
        try:
            found.setdefault(one.kind, []).append(readers[one.kind].load_bytes(one.data))
        except ImportError as error:
            raise InvalidRequest(f"{one.kind}: vLLM lacks what decodes it here: {one_line(str(error))}") from None
        except Exception as error:
            raise InvalidRequest(f"{one.kind}: vLLM cannot read it: {one_line(str(error))}") from None
    return found


def _reader(kind: MediaKind) -> Any:
    from vllm.multimodal.media import AudioMediaIO, ImageMediaIO, VideoMediaIO

    if kind == "video":
        return VideoMediaIO(ImageMediaIO())
    return ImageMediaIO() if kind == "image" else AudioMediaIO()
