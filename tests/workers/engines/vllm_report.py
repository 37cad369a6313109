"""Run as a program, in vLLM's environment: load a model on the CPU, so that vLLM writes what it says of its memory.

Its own line about weights ("Model loading took X GiB") is of GPUs alone; here its parameters are counted where that is
measured, before they are laid out anew for the CPU.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

ENVIRONMENT = {
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_HOST_IP": "127.0.0.1",
    "GLOO_SOCKET_IFNAME": "lo",
    "HF_HUB_OFFLINE": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
}


def main(model: str, settings: dict[str, Any]) -> None:
    os.environ |= ENVIRONMENT
    from vllm import LLM
    from vllm.model_executor.model_loader import base_loader

    original = base_loader.process_weights_after_loading

    def counting(loaded: Any, *more: Any) -> None:
        storages = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in loaded.parameters()}
        print(f"its parameters are {sum(storages.values())} bytes", flush=True)
        original(loaded, *more)

    base_loader.process_weights_after_loading = counting
    LLM(model, skip_tokenizer_init=True, enforce_eager=True, **settings)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
