"""Starts of each engine family as their lines tell them, with a clock of our own."""

from __future__ import annotations

import pytest

from dynamo_cli.runtime.control import Progress
from dynamo_cli.supervisor.phases.rule import bar_progress
from dynamo_cli.supervisor.phases.tables import family, rules_of
from dynamo_cli.supervisor.phases.tracker import LoadTracker, Stage

VLLM_GPU = """\
(APIServer pid=71) INFO 03-02 10:00:00 [model.py:733] Resolved architecture: Qwen3ForCausalLM =>
Fetching 5 files:  40%|████      | 2/5 [00:03<00:05,  1.93s/it] => download 2/5
model-00001-of-00004.safetensors:  23%|██▎       | 1.12G/4.87G [00:20<01:07, 55.1MB/s] => download 23 %
(EngineCore pid=99) INFO 03-02 10:01:31 [core.py:133] Initializing a V1 LLM engine (v0.32.0) with config: => load
(EngineCore pid=99) INFO 03-02 10:01:40 [gpu_model_runner.py:5040] Starting to load model /models/q... => weights
Loading safetensors checkpoint shards:   0% Completed | 0/8 [00:00<?, ?it/s] => weights 0/8
Loading safetensors checkpoint shards:  38% Completed | 3/8 [00:04<00:07,  1.41s/it] => weights 3/8
(EngineCore pid=99) INFO 03-02 10:01:52 [default_loader.py:384] Loading weights took 11.84 seconds => KV cache
(EngineCore pid=99) INFO 03-02 10:01:53 [gpu_model_runner.py:4879] Model loading took 15.27 GiB memory => KV cache
(EngineCore pid=99) INFO 03-02 10:02:00 [backends.py:1069] Using cache directory: /c for vLLM's torch.compile => compile
(EngineCore pid=99) INFO 03-02 10:02:00 [backends.py:1128] Dynamo bytecode transform time: 6.11 s => compile
(EngineCore pid=99) INFO 03-02 10:02:24 [backends.py:399] Compiling a graph for compile range (1, 8192) => compile
(EngineCore pid=99) INFO 03-02 10:02:31 [monitor.py:34] torch.compile takes 30.1 s in total => KV cache
(EngineCore pid=99) INFO 03-02 10:02:33 [gpu_worker.py:760] Available KV cache memory: 54.1 GiB => KV cache
(EngineCore pid=99) INFO 03-02 10:02:33 [kv_cache_utils.py:2327] GPU KV cache size: 443,216 tokens => KV cache
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):  43%|████▎     | 29/67 [00:02<00:03, 12.15it/s] => \
graph capture 29/67
(EngineCore pid=99) INFO 03-02 10:02:39 [gpu_model_runner.py:6582] Graph capturing finished in 6 secs => warm-up
(EngineCore pid=99) INFO 03-02 10:02:40 [core.py:402] init engine (profile, create kv cache, warmup model) took 46 s \
=> warm-up
"""
VLLM_CPU = """\
(Worker pid=17) INFO 03-02 18:27:02 [cpu_model_runner.py:68] Starting to load model /models/s... => weights
Loading safetensors checkpoint shards: 100% Completed | 1/1 [00:00<00:00,  3.64it/s] => weights 1/1
(Worker pid=17) INFO 03-02 18:27:03 [default_loader.py:501] Loading weights took 0.28 seconds => KV cache
(Worker pid=17) INFO 03-02 18:27:04 [cpu_model_runner.py:87] Warming up model for the compilation... => compile
(EngineCore pid=16) INFO 03-02 18:28:05 [shm_broadcast.py:871] No available shared memory broadcast block => compile
(EngineCore pid=16) INFO 03-02 18:29:17 [kv_cache_utils.py:2327] CPU KV cache size: 46,592 tokens => KV cache
"""
SGLANG = """\
[2026-03-02 09:06:05 TP0] Init torch distributed begin. => load
[2026-03-02 09:06:10 TP0] Load weight begin. avail mem=137.34 GB => weights
Loading safetensors checkpoint shards:  10% Completed | 3/30 [00:02<00:18,  1.5it/s] => weights 3/30
[2026-03-02 09:06:40 TP0] Load weight end. type=Qwen3ForCausalLM, dtype=torch.bfloat16, avail mem=14.5 GB => KV cache
[2026-03-02 09:06:41 TP0] KV Cache is allocated. #tokens: 2090351, K size: 23.92 GB => KV cache
[2026-03-02 09:06:41 TP0] Capture cuda graph begin. This can take up to several minutes. => graph capture
Capturing batches (bs=512 avail_mem=11.47 GB):   8%|▊         | 4/52 [00:01<00:12,  3.9it/s] => graph capture 4/52
[2026-03-02 09:07:05 TP0] Capture cuda graph end. Time elapsed: 24.12 s. => warm-up
[2026-03-02 09:07:08] The server is fired up and ready to roll! => first token
"""
TRTLLM = """\
[03/02/2026-16:33:00] [TRT-LLM] [RANK 0] [I] Prefetching 15.30GB checkpoint files. => weights
Loading safetensors weights in parallel: 100%|██████████| 4/4 [00:00<00:00, 205.99it/s] => weights 4/4
Loading weights:  12%|█▏        | 143/1190 [00:07<00:54, 19.26it/s] => weights 143/1190
[TensorRT-LLM][INFO] [MemUsageChange] Allocated 26.91 GiB for max tokens in paged KV cache (220480). => KV cache
[03/02/2026-16:36:00] [TRT-LLM] [RANK 0] [I] Running autotuner warmup... => warm-up
[03/02/2026-16:36:30] [TRT-LLM] [I] Run generation-only CUDA graph warmup for batch size=64 => graph capture
"""
LLAMACPP = """\
srv    load_model: loading model '/models/a.gguf' => load
llama_model_loader: loaded meta data with 27 key-value pairs and 272 tensors from /models/a.gguf => weights
load_tensors: loading model tensors, this can take a while... (mmap = true) => weights
llama_context: constructing llama_context => KV cache
llama_kv_cache:        CPU KV buffer size =   180.00 MiB => KV cache
common_init_from_params: warming up the model with an empty run - please wait ... (--no-warmup to disable) => warm-up
main: model loaded => first token
"""
STARTS = {"vllm": (VLLM_GPU, VLLM_CPU), "sglang": (SGLANG,), "trtllm": (TRTLLM,), "llamacpp": (LLAMACPP,)}


@pytest.mark.parametrize(
    ("engine", "start"), [(engine, start) for engine, starts in STARTS.items() for start in starts]
)
@pytest.mark.parametrize("known", [True, False])
def test_a_start_is_told_by_its_lines(engine: str, start: str, known: bool) -> None:
    tracker = LoadTracker(rules_of(engine if known else "", ()), 0.0)
    for now, line in enumerate(start.splitlines()):
        written, _, words = line.partition(" =>")
        tracker.hear([written], float(now))
        assert tracker.look(float(now)).words == words.strip(), written


def test_many_lines_at_once_end_where_the_last_one_is() -> None:
    tracker = LoadTracker(rules_of("vllm", ()), 0.0)
    tracker.hear(VLLM_GPU.splitlines()[:7], 1.0)
    assert tracker.look(1.0).words == "weights 3/8"


def test_a_bar_that_is_drawn_anew_counts_where_it_is_now() -> None:
    drawn = "\r".join(f"Capturing CUDA graphs: {p:3}%|#   | {p}/100 [00:01<00:02]" for p in (1, 50, 99))
    tracker = LoadTracker(rules_of("vllm", ()), 0.0)
    tracker.hear([drawn], 1.0)
    assert tracker.look(1.0).progress == Progress(99.0, 99, 100)


@pytest.mark.parametrize(
    ("line", "progress"),
    [
        ("Fetching 5 files:   0%|          | 0/5 [00:00<?, ?it/s]", Progress(0.0, 0, 5)),
        ("Loading pt checkpoint shards:  50% Completed | 1/2 [00:01<00:01,  1.0s/it]", Progress(50.0, 1, 2)),
        ("a.gguf:  99%|█████████▉| 91.2M/92.0M [00:09<00:00]", Progress(99.0)),
        ("the model is 100% loaded", None),
        ("", None),
    ],
)
def test_bars(line: str, progress: Progress | None) -> None:
    assert bar_progress(line) == progress


def test_words_of_a_bar_in_a_sentence_are_no_phase() -> None:
    tracker = LoadTracker(rules_of("vllm", ()), 0.0)
    tracker.hear(["Capturing CUDA graphs is off", "Fetching something else"], 1.0)
    assert tracker.look(1.0) == Stage(spent={})


def test_what_it_says_itself_never_leads_back() -> None:
    tracker = LoadTracker(rules_of("vllm", ()), 0.0)
    tracker.say("load", 1.0)
    assert tracker.look(1.0).phase == "load"
    tracker.hear(["Starting to load model m..."], 2.0)
    tracker.say("load", 3.0)
    assert tracker.look(3.0).phase == "weights"
    tracker.say("first token", 4.0)
    tracker.say("first token", 5.0)
    assert tracker.look(5.0).phase == "first token"
    tracker.say("no such phase", 6.0)
    assert tracker.look(6.0).phase == "first token"
    tracker.say("registering", 7.0)
    assert tracker.look(7.0).phase == "registering", "or one that waits for room in discovery would seem to compute"


def test_seconds_of_the_phase_and_of_all_before() -> None:
    tracker = LoadTracker(rules_of("vllm", ()), 0.0)
    tracker.hear(["Starting to load model m..."], 1.0)
    tracker.hear(["Model loading took 1 GiB"], 13.5)
    stage = tracker.look(15.0)
    assert (stage.phase, stage.seconds, stage.spent) == ("KV cache", 1.5, {"weights": 12.5, "KV cache": 1.5})


def test_only_steps_of_ten_percent_are_news() -> None:
    tracker = LoadTracker(rules_of("vllm", ()), 0.0)
    told = []
    for percent in range(0, 101):
        tracker.hear([f"Capturing CUDA graphs: {percent}%|#  | {percent}/100 [00:01<"], float(percent))
        stage = tracker.look(float(percent))
        told += [stage.words] if stage.news else []
    assert told == [f"graph capture {percent}/100" for percent in range(0, 101, 10)]


@pytest.mark.parametrize(
    ("engine", "argv", "name"),
    [
        ("vllm", ("python", "-m", "dynamo_cli", "worker"), "vllm"),
        ("", ("python3", "-m", "sglang.launch_server", "--tp", "2"), "sglang"),
        ("custom", ("sh", "-c", "exec vllm serve m"), "vllm"),
        ("", ("trtllm-serve", "m"), "trtllm"),
        ("", ("/opt/llama-server", "-m", "m.gguf"), "llamacpp"),
        ("custom", ("python", "mine.py"), ""),
    ],
)
def test_families(engine: str, argv: tuple[str, ...], name: str) -> None:
    assert family(engine, argv) == name
