"""Last lines of engines that failed, in their own wording, and lines that look bad and are not."""

from __future__ import annotations

from typing import NamedTuple


class Excerpt(NamedTuple):
    """`says`: what the hint holds. `code`: how the process ended."""

    name: str
    engine: str
    text: str
    says: tuple[str, ...]
    argv: tuple[str, ...] = ()
    code: int = 1


TORCH_OOM = """\
(EngineCore pid=99) ERROR 03-02 10:01:52 [core.py:1012] EngineCore failed to start.
(EngineCore pid=99) ERROR 03-02 10:01:52 [core.py:1012] Traceback (most recent call last):
(EngineCore pid=99) ERROR 03-02 10:01:52 [core.py:1012]   File "/v/vllm/v1/engine/core.py", line 1003, in run_engine
(EngineCore pid=99) ERROR 03-02 10:01:52 [core.py:1012]     engine_core = EngineCoreProc(*args, **kwargs)
(EngineCore pid=99) ERROR 03-02 10:01:52 [core.py:1012] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate \
2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which 512.00 MiB is free. Process 4711 has 61.00 GiB memory in use.
(APIServer pid=71) Traceback (most recent call last):
(APIServer pid=71)   File "/v/vllm/v1/engine/utils.py", line 1432, in wait_for_engine_startup
(APIServer pid=71) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
KV_CACHE = """\
(EngineCore pid=14) ERROR 03-02 18:24:36 [core.py:1012]     _check_enough_kv_cache_memory(
(EngineCore pid=14) ERROR 03-02 18:24:36 [core.py:1012]   File "/v/vllm/v1/core/kv_cache_utils.py", line 1030, in _check
(EngineCore pid=14) ERROR 03-02 18:24:36 [core.py:1012] ValueError: To serve at least one request with the model's max \
seq len (8192), (0.35 GiB KV cache is needed, which is larger than the available KV cache memory (0.05 GiB). Based on \
the available memory, the estimated maximum model length is 1088. Try increasing `gpu_memory_utilization`
(APIServer pid=13) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
"""
FREE_MEMORY = """\
ERROR 03-02 10:01:52 [core.py:708] ValueError: Free memory on device cuda:0 (60.21/79.1 GiB) on startup is less than \
desired GPU memory utilization (0.9, 71.19 GiB). Decrease GPU memory utilization or reduce GPU memory used by others.
"""
DERIVED = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, User-specified max_model_len (100000) is greater than the derived max_model_len \
(max_position_embeddings=8192 or model_max_length=None in model's config.json). To allow overriding this maximum, set \
the env var VLLM_ALLOW_LONG_MAX_MODEL_LEN=1. [type=value_error, input_value=ArgsKwargs((), {}), input_type=ArgsKwargs]
    For further information visit https://errors.pydantic.dev/2.14/v/value_error
"""
GATED = """\
Traceback (most recent call last):
  File "/v/huggingface_hub/utils/_http.py", line 409, in hf_raise_for_status
    response.raise_for_status()
requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/meta-llama/L/config.json

The above exception was the direct cause of the following exception:

huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6)

Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.
Access to model meta-llama/Llama-3.1-8B is restricted. You must have access to it and be authenticated to access it. \
Please log in.
"""
NOT_FOUND = """\
huggingface_hub.errors.RepositoryNotFoundError: 401 Client Error. (Request ID: Root=1-6)

Repository Not Found for url: https://huggingface.co/api/models/no-such/model/revision/main.
Please make sure you specified the correct `repo_id` and `repo_type`.
If you are trying to access a private or gated repo, make sure you are authenticated.
"""
OFFLINE = """\
    raise LocalEntryNotFoundError(
huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the specified \
revision on the local disk and outgoing traffic has been disabled. To enable repo look-ups and downloads online, pass
"""
SGLANG_GRAPHS = """\
[2026-03-02 01:41:18 TP7] Scheduler hit an exception: Traceback (most recent call last):
  File "/s/sglang/srt/model_executor/cuda_graph_runner.py", line 269, in __init__
    raise Exception(
Exception: Capture cuda graph failed: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 7 has a total capacity of \
95.00 GiB of which 101.12 MiB is free.
Possible solutions:
1. set --mem-fraction-static to a smaller value (e.g., 0.8 or 0.7)
2. set --cuda-graph-max-bs to a smaller value (e.g., 16)

[2026-03-02 01:41:18] Received sigquit from a child process. It usually means the child failed.
"""
SGLANG_WEIGHTS = """\
W0302 01:41:15.002805    73 topology.cpp:156] No RDMA devices found, check your device installation
[2026-03-02 01:41:18] Scheduler hit an exception: Traceback (most recent call last):
    raise ValueError(
ValueError: Loaded weights leave no GPU memory for the KV cache under --mem-fraction-static=0.7. Raise \
--mem-fraction-static above 0.773 (minimum viable = 1 - available/pre = 0.7730).
"""
SGLANG_LITTLE = "RuntimeError: Not enough memory. Please try to increase --mem-fraction-static."
TRTLLM_OOM = """\
[TensorRT-LLM][ERROR] Failed to allocate the KV cache
RuntimeError: [TensorRT-LLM][ERROR] CUDA runtime error in cudaMallocAsync(ptr, n, mPool, mStream): out of memory
"""
LLAMA_OOM = """\
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 45108.64 MiB on device 0: cudaMalloc failed: out of memory
llama_model_load: error loading model: unable to allocate CUDA0 buffer
llama_model_load_from_file_impl: failed to load model
"""
LLAMA_CPU = """\
ggml_backend_cpu_buffer_type_alloc_buffer: failed to allocate buffer of size 437944320
alloc_tensor_range: failed to allocate CPU buffer of size 437944320
llama_model_load: error loading model: unable to allocate CPU buffer
"""
LLAMA_MAGIC = """\
gguf_init_from_file_ptr: invalid magic characters: '<!do', expected 'GGUF'
llama_model_load: error loading model: llama_model_loader: failed to load model from /models/a.gguf
"""
LLAMA_SHORT = """\
llama_model_load: error loading model: tensor 'blk.9.ffn_up.weight' data is not within the file bounds, model is \
corrupted or incomplete
llama_model_load_from_file_impl: failed to load model
"""
LLAMA_ARCH = (
    "llama_model_load: error loading model: error loading model architecture: unknown model architecture: 'foo'"
)
BFLOAT = """\
ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has compute \
capability 7.5. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for example: --dtype=half.
"""
ARCHITECTURE = """\
pydantic_core._pydantic_core.ValidationError: 1 validation error for ModelConfig
  Value error, Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: dict_keys([])
"""
REMOTE_CODE = """\
RuntimeError: Failed to load the model config. If the model is a custom model not yet available in the HuggingFace \
transformers library, consider setting `trust_remote_code=True` in LLM or using the `--trust-remote-code` flag in the \
CLI.
"""
NCCL = """\
[rank1]:[E302 10:00:00.123 ProcessGroupNCCL.cpp:629] [Rank 1] Watchdog caught collective operation timeout: \
WorkNCCL(SeqNum=3, OpType=ALLREDUCE, Timeout(ms)=600000) ran for 600041 milliseconds before timing out.
terminate called after throwing an instance of 'c10::DistBackendError'
"""
NCCL_AFTER_OOM = TORCH_OOM + "[rank1]: torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3356\n"
SHM = "RuntimeError: unable to write to file </torch_4711_123_0>: No space left on device (28)"
PORT = "ERROR:    [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use"
ULIMIT = "torch.AcceleratorError: x\nOSError: [Errno 24] Too many open files: '/proc/stat'"
GLIBC = "ImportError: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by /v/sgl.so)"
HIDDEN = "(EngineCore pid=9) ERROR 03-02 10:01:52 [core.py:10] ModuleNotFoundError: No module named 'flashinfer'"
DRIVER = "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your driver"
CPU_OOM = """\
RuntimeError: [enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
allocate 34359738368 bytes. Error code 12 (Cannot allocate memory)
"""
SURVIVED = PORT + "\nINFO: trying another port\n" + DRIVER

EXCERPTS = (
    Excerpt(
        "gpu memory",
        "vllm",
        TORCH_OOM,
        ("2.00 GiB wanted, 512.00 MiB free of 79.10 GiB", "--gpu-memory-utilization 0.85"),
    ),
    Excerpt(
        "gpu memory with flags",
        "vllm",
        TORCH_OOM,
        ("--gpu-memory-utilization 0.75", "--max-model-len 16384"),
        ("w", "--gpu-memory-utilization=0.8", "--max-model-len", "32768"),
    ),
    Excerpt("gpu memory, no known engine", "", TORCH_OOM, ("out of GPU memory", "smaller share")),
    Excerpt("kv cache", "vllm", KV_CACHE, ("8192 tokens", "give --max-model-len 1088")),
    Excerpt("kv cache, engine told by its words", "", KV_CACHE, ("--max-model-len 1088",)),
    Excerpt("memory held by others", "vllm", FREE_MEMORY, ("60.21 of 79.1 GiB", "--gpu-memory-utilization 0.74")),
    Excerpt("context", "vllm", DERIVED, ("8192 tokens, and 100000", "give --max-model-len 8192")),
    Excerpt("gated", "vllm", GATED, ("meta-llama/Llama-3.1-8B is gated", "HF_TOKEN")),
    Excerpt("unknown model", "vllm", NOT_FOUND, ("no model no-such/model", "HF_TOKEN")),
    Excerpt("offline", "vllm", OFFLINE, ("not on this disk", "dynamo pull")),
    Excerpt("sglang graphs", "sglang", SGLANG_GRAPHS, ("448.00 MiB wanted", "--mem-fraction-static 0.83")),
    Excerpt("sglang weights", "sglang", SGLANG_WEIGHTS, ("--mem-fraction-static 0.78",)),
    Excerpt("sglang cache", "sglang", SGLANG_LITTLE, ("--mem-fraction-static 0.93",)),
    Excerpt("trtllm", "trtllm", TRTLLM_OOM, ("out of GPU memory", "--kv_cache_free_gpu_memory_fraction 0.85")),
    Excerpt("llama.cpp gpu", "llamacpp", LLAMA_OOM, ("out of GPU memory", "--n-gpu-layers")),
    Excerpt(
        "llama.cpp gpu with flags",
        "",
        LLAMA_OOM,
        ("--ctx-size 16384",),
        ("llama-server", "--ctx-size", "32768"),
    ),
    Excerpt("llama.cpp cpu", "llamacpp", LLAMA_CPU, ("out of memory",)),
    Excerpt("no gguf", "llamacpp", LLAMA_MAGIC, ("cannot be opened",)),
    Excerpt("short gguf", "llamacpp", LLAMA_SHORT, ("broken", "fetch it again")),
    Excerpt("llama.cpp architecture", "llamacpp", LLAMA_ARCH, ("architecture foo",)),
    Excerpt("bfloat16", "vllm", BFLOAT, ("give --dtype half",)),
    Excerpt("architecture", "vllm", ARCHITECTURE, ("architecture FooForCausalLM",)),
    Excerpt("remote code", "vllm", REMOTE_CODE, ("code of its own", "--trust-remote-code")),
    Excerpt("nccl", "vllm", NCCL, ("did not hear from each other", "NCCL_DEBUG"), code=-6),
    Excerpt("nccl after memory", "vllm", NCCL_AFTER_OOM, ("out of GPU memory",)),
    Excerpt("shared memory", "vllm", SHM, ("/dev/shm is too small", "--shm-size")),
    Excerpt("port", "sglang", PORT, ("port 8000 is in use",)),
    Excerpt("descriptors", "vllm", ULIMIT, ("ulimit -n",)),
    Excerpt("glibc", "sglang", GLIBC, ("GLIBC_2.38",)),
    Excerpt("module", "sglang", HIDDEN, ("flashinfer is not installed",)),
    Excerpt("driver", "vllm", DRIVER, ("NVIDIA driver is older",)),
    Excerpt("cpu memory", "vllm", CPU_OOM, ("32.0 GiB wanted",)),
    Excerpt("the last failure counts", "vllm", SURVIVED, ("NVIDIA driver is older",)),
    Excerpt("illegal instruction", "llamacpp", "load_backend: loaded CPU backend", ("AVX2",), code=-4),
    Excerpt("bus error", "vllm", "", ("/dev/shm",), code=-7),
)

HARMLESS = """\
(APIServer pid=13) WARNING 03-02 18:24:10 [system_utils.py:255] Found ulimit of 20000 and failed to automatically \
increase with error. This can cause fd limit errors like `OSError: [Errno 24] Too many open files`.
(EngineCore pid=16) INFO 03-02 18:28:05 [shm_broadcast.py:871] No available shared memory broadcast block found in 60 s
(APIServer pid=71) RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}
W1126 18:27:02.335000 17032 torch/_library/triton.py:53] Triton not available, find_triton_kernels = []
/v/torch/cuda/__init__.py:174: UserWarning: CUDA initialization: The NVIDIA driver on your system is too old (found \
version 11040).
INFO 03-02 10:00:00 [worker.py:1] retrying after: CUDA out of memory. Tried to allocate 1.00 GiB.
WARNING 03-02 10:00:00 [loader.py:1] No module named 'flashinfer', falling back
I0302 00:00:00.000000 1 grpc.cc:1] Address already in use (os error 98), trying the next port
[2026-03-02 01:41:18] INFO: Repository Not Found for url: https://huggingface.co/api/models/a/b, using the local one
print_info: BOS token        = 1 '<|im_start|>'
llama_model_loader: - kv  20:  tokenizer.chat_template str  = {% for message in messages %}
Detected the chat template content format to be 'string'.
Initializing a V1 LLM engine (v0.32.0) with config: trust_remote_code=False, dtype=torch.bfloat16, quantization=None
GET /health HTTP/1.1" 401 Unauthorized
KeyError: 'gpu_memory_utilization'
Segmentation fault (core dumped)
Killed
0.00.123 W llama_context: n_ctx_per_seq (8192) < n_ctx_train (131072) -- the full capacity will not be utilized
"""
