"""What a machine lacks or limits: ports, drivers, libraries, shared memory, descriptors, disks."""

from __future__ import annotations

import re

from dynamo_cli.supervisor.hints.rule import Advice, Failed, rule


def _port(match: re.Match[str], failed: Failed) -> Advice:
    port = match.groupdict().get("port") or failed.value("--port")
    what = f"port {port} is in use" if port else "a port it wants is in use"
    return Advice(what, "give it another port, or end who listens there (`ss -ltnp` names it)")


def _collective(match: re.Match[str], failed: Failed) -> Advice:
    return Advice(
        "the GPUs of this engine did not hear from each other",
        "look for the first failure above it; NCCL_DEBUG=INFO says more, NCCL_P2P_DISABLE=1 goes around a broken link",
    )


RULES = (
    rule(
        "port",
        r"error while attempting to bind on address \('[^']*', (?P<port>\d+)\).*[Aa]ddress already in use"
        r"|\[Errno 98\] Address already in use|EADDRINUSE|Address already in use \(os error 98\)"
        r"|couldn't bind HTTP server socket.*port: \d+",
        _port,
        "ERROR:    [Errno 98] error while attempting to bind on address ('127.0.0.1', 8000): address already in use",
    ),
    rule(
        "driver",
        r"NVIDIA driver on your system is too old|CUDA driver version is insufficient for CUDA runtime version"
        r"|unsupported display driver / cuda driver combination|forward compatibility was attempted on non supported",
        (
            "the NVIDIA driver is older than the CUDA of this engine",
            "update the driver, or install the engine for the CUDA version that `nvidia-smi` shows",
        ),
        "RuntimeError: The NVIDIA driver on your system is too old (found version 11040). Please update your GPU "
        "driver",
    ),
    rule(
        "driver-mismatch",
        r"Driver/library version mismatch",
        ("the NVIDIA driver was updated while it was loaded", "reboot, or reload the nvidia kernel modules"),
        "Failed to initialize NVML: Driver/library version mismatch",
    ),
    rule(
        "no-kernel",
        r"no kernel image is available for execution on the device",
        ("this engine is not built for this GPU", "install a build that names the GPU's architecture"),
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    ),
    rule(
        "no-gpu",
        r"No CUDA GPUs are available|Found no NVIDIA driver on your system|Failed to infer device type"
        r"|no CUDA-capable device is detected|Torch not compiled with CUDA enabled",
        ("the engine finds no GPU", "give it one (`gpus = 1`), or take an engine for CPUs; `dynamo doctor` says more"),
        "RuntimeError: Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a "
        "driver",
    ),
    rule(
        "gpu-count",
        r"CUDA error: invalid device ordinal",
        ("the engine asks for more GPUs than it was given", "let `gpus` and the tensor parallel size agree"),
        "RuntimeError: CUDA error: invalid device ordinal",
    ),
    rule(
        "shared-memory",
        r"unable to (?:allocate|open) shared memory|unable to write to file </torch_|insufficient shared memory"
        r"|[Ee]rror while creating shared memory segment /dev/shm|No space left on device: '/(?:psm_|dev/shm)",
        (
            "the shared memory /dev/shm is too small",
            "enlarge it (`mount -o remount,size=8G /dev/shm`, in a container --shm-size 8g or --ipc host)",
        ),
        "RuntimeError: unable to write to file </torch_4711_1234567_0>: No space left on device (28)",
    ),
    rule(
        "descriptors",
        r"Too many open files",
        ("it has too many files open", "raise the limit (`ulimit -n 65536`) before `dynamo up`"),
        "OSError: [Errno 24] Too many open files",
    ),
    rule(
        "threads",
        r"can't start new thread|pthread_create\(\) failed|fork: (?:retry: )?Resource temporarily unavailable",
        (
            "it may start no more threads or processes",
            "raise the limit (`ulimit -u`, pids.max of its control group), or set OMP_NUM_THREADS",
        ),
        "RuntimeError: can't start new thread",
    ),
    rule(
        "disk",
        r"No space left on device|\bENOSPC\b|Disk quota exceeded",
        ("the disk is full", "make room, or point HF_HOME and XDG_CACHE_HOME to another disk"),
        "OSError: [Errno 28] No space left on device",
    ),
    rule(
        "library",
        r"((?:lib)?[\w+.-]+\.so(?:\.\d+)*): cannot open shared object file|version `(GLIBC\w*_[\d.]+)' not found",
        ("the library {0} is missing", "install it, or add its directory to LD_LIBRARY_PATH"),
        "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory",
    ),
    rule(
        "module",
        r"^(?:\(.*?\) )?(?:[A-Z]+ .*\] )?ModuleNotFoundError: No module named '([\w.]+)'",
        ("the Python package {0} is not installed", "install it into the environment that the engine runs in"),
        "ModuleNotFoundError: No module named 'flashinfer'",
    ),
    rule(
        "instruction",
        r"\b[Ii]llegal instruction\b|requires a CPU with AVX",
        (
            "this CPU lacks instructions the engine was built with (such as AVX2 or AVX-512)",
            "take a build for this CPU, or another machine",
        ),
        "Illegal instruction (core dumped)",
    ),
    rule(
        "bus-error",
        r"^(?:.*: )?Bus error\b",
        ("a memory-mapped file could not be read or grown", "look for a full /dev/shm, or a truncated model file"),
        "Bus error (core dumped)",
    ),
    rule(
        "arguments",
        r"error: (?:unrecognized arguments: |invalid argument: |unknown argument: |No such option: )(.{1,120})",
        ("the engine does not know {0}", "correct its `args`"),
        "api_server.py: error: unrecognized arguments: --max-model-length 4096",
    ),
    rule(
        "collective",
        r"Watchdog caught collective operation timeout|NCCL error|nccl(?:System|UnhandledCuda|Remote)Error"
        r"|NCCL WARN .*(?:timed? ?out|failed)|DistStoreError: (?:Timed out|wait timeout)",
        _collective,
        "torch.distributed.DistBackendError: NCCL error in: ProcessGroupNCCL.cpp:3356, unhandled cuda error",
        consequence=True,
    ),
)
