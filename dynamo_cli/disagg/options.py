"""How a frontend uses prefill workers."""

from __future__ import annotations

from dataclasses import dataclass

from dynamo_cli.disagg.conditional import ConditionalDisagg

PREFILL_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class DisaggOptions:
    """`enforce`: refuse what cannot be prefilled remotely, instead of letting a decode worker compute it.

    `prefill_timeout_s`: a prefill worker that has not answered for so long has lost the request. `conditional`: None
    prefills every prompt remotely.
    """

    enforce: bool = False
    prefill_timeout_s: float = PREFILL_TIMEOUT_S
    conditional: ConditionalDisagg | None = None


DEFAULT = DisaggOptions()
