"""What children write reaches the files: under a flood, when the keeper dies, and when the supervisor does."""

from __future__ import annotations

import os
import signal
import sys
import zlib
from pathlib import Path

import psutil
import pytest

from dynamo_cli.logs.files import archives, log_file
from dynamo_cli.logs.tail import last_lines, merged
from dynamo_cli.supervisor.processes import alive, command_line, identify
from tests.supervisor.harness import Running, detached, foreground, gone, until
from tests.supervisor.plans import custom_plan

COUNT, WIDTH = 1_000_000, 100
FLOOD_S, HALF_A_CORE = 10, 0.5
FLOOD = f"""
import time, zlib
crc, began, rows = 0, time.monotonic(), 1000
for start in range(0, {COUNT}, rows):
    lines = "".join(f"{{n:09d}} {{n * 2654435761 % 2**32:010d}}".ljust({WIDTH - 1}, ".") + chr(10)
                    for n in range(start, start + rows)).encode()
    crc = zlib.crc32(lines, crc)
    view = memoryview(lines)
    while view:
        view = view[__import__("os").write(1, view):]
    ahead = (start + rows) / {COUNT} * {FLOOD_S} - (time.monotonic() - began)
    if ahead > 0:
        time.sleep(ahead)
print("wrote", crc, flush=True)
time.sleep(1000)
"""


def keeper(running: Running) -> psutil.Process:
    children = psutil.Process(running.status().supervisor_pid).children()
    return next(p for p in children if any("keeper.py" in word for word in command_line(p.pid)))


@pytest.mark.slow
@pytest.mark.alone
def test_a_hundred_megabytes_in_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DYN_LOG_MAX_BYTES", str(16 << 20))
    monkeypatch.setenv("DYN_LOG_KEEP", "20")
    script = tmp_path / "flood.py"
    script.write_text(FLOOD)
    with detached(custom_plan(f"exec {sys.executable} {script}")) as running:
        supervisor = psutil.Process(running.status().supervisor_pid)
        file, sizes = log_file(running.paths, "decode-0"), []

        def over() -> bool:
            sizes.append(supervisor.memory_info().rss)
            return any(line.startswith("wrote ") for line in last_lines(file, 1))

        until(over, 60.0, "the end of the flood")
        crc, count = 0, 0
        for line in merged([("decode-0", file)]):
            if not line.text.startswith("wrote "):
                assert line.text.startswith(f"{count:09d} ") and len(line.text) == WIDTH - 1 and line.time
                crc, count = zlib.crc32(f"{line.text}\n".encode(), crc), count + 1
        parts = archives(file)
        assert (count, last_lines(file, 1)) == (COUNT, [f"wrote {crc}"])
        assert len(parts) == 7 and max(sizes) - min(sizes) < 8 << 20
        used, supervised = sum(keeper(running).cpu_times()[:2]), sum(supervisor.cpu_times()[:2])
        assert used + supervised < HALF_A_CORE * FLOOD_S
        with capsys.disabled():
            sizes_told = f"{min(sizes) >> 20}-{max(sizes) >> 20} MiB"
            print(f"\n100 MB of log: supervisor {sizes_told}, {supervised:.1f} CPU-s, keeper {used:.1f} CPU-s")


def test_another_keeper_takes_over_and_nothing_is_lost(tmp_path: Path) -> None:
    counting = "i=0; while true; do i=$((i+1)); echo line $i; sleep 0.002; done"
    with foreground(custom_plan(counting)) as running:
        running.until("READY")
        first = keeper(running)
        first.kill()
        file = log_file(running.paths, "decode-0")
        before = until(lambda: len(list(merged([("a", file)]))))
        until(lambda: len(list(merged([("a", file)]))) > before + 100)
        assert keeper(running).pid != first.pid and running.status().services[0].restarts == 0
        texts = [line.text for line in merged([("a", file)])]
        assert texts == [f"line {number + 1}" for number in range(len(texts))]
        assert (
            "the log keeper ended with code -9; another one takes over"
            in log_file(running.paths, "supervisor").read_text()
        )


def test_the_keeper_goes_on_without_its_supervisor_and_ends_with_the_last_writer(clean_environment: Path) -> None:
    with foreground(custom_plan("while true; do echo still here; sleep 0.01; done"), "-d") as running:
        until(lambda: running.process.poll() is not None, what="the end of `up -d`")
        status = running.until("READY")
        worker, supervisor = identify(status.services[0].pid or 0), psutil.Process(status.supervisor_pid)
        kept = identify(keeper(running).pid)
        assert worker and kept
        supervisor.kill()
        until(lambda: not alive(identify(supervisor.pid) or kept) or not supervisor.is_running())
        file = log_file(running.paths, "decode-0")
        size = file.stat().st_size
        until(lambda: file.stat().st_size > size + 500)
        assert alive(kept) and alive(worker)
        os.killpg(worker.pid, signal.SIGKILL)
        until(lambda: not alive(kept), what="the end of the keeper")
        gone(clean_environment, 3.0)


def test_the_last_words_of_a_child_are_there_when_it_is_reported() -> None:
    with foreground(custom_plan("echo my last words; exit 1")) as running:
        _, _, err = running.finish()
        assert "exited with code 1: my last words" in err


@pytest.mark.parametrize(
    ("name", "value"), [("DYN_LOG_MAX_BYTES", "many"), ("DYN_LOG_KEEP", "-1"), ("DYN_LOG", "loud")]
)
def test_wrong_settings_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with foreground(custom_plan("exec sleep 1000")) as running:
        code, _, err = running.finish()
    assert code == 2 and err.startswith(f"dynamo: {name}={value}: ") and err.count("\n") == 1
