"""Real shells with our completion script loaded: what they offer for a line, and what a TAB makes of it."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = REPOSITORY / "completions"
EXECUTABLE = Path(sys.executable).with_name("dynamo")
WAIT_S = 20.0


def needs(shell: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed")


SHELLS = [pytest.param(shell, marks=needs(shell)) for shell in ("bash", "zsh", "fish")]


def offers(shell: str, line: str, before: str = "") -> list[str]:
    """The words that `shell` offers in place of the last one of `line`, in the current directory.

    `before`: what the user's shell was told before.
    """
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](line, before)


def after_tab(shell: str, line: str, before: str = "") -> str:
    """The line as it stands after one TAB in an interactive shell: `@` marks the cursor."""
    out = Path("after-tab").absolute()
    with Terminal(shell, before) as terminal:
        terminal.tab_after(line)
        terminal.type(f"@\x01print_line '\x05' > {out}.new; mv {out}.new {out}\r")
        text = terminal.wait_for(out)
    out.unlink()
    return text


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{EXECUTABLE.parent}:{os.environ['PATH']}", "TERM": "dumb"}


def _bash(line: str, before: str) -> list[str]:
    words = [word for word in re.findall(r"""'[^']*'?|"[^"]*"?|[=:]+|(?:\\.|[^\s=:'"])+""", line) if word]
    words += [""] if line.endswith(" ") else []
    program = f"""
{before}
source {SCRIPTS}/dynamo.bash
compopt() {{ :; }}
COMP_LINE={shlex.quote(line)} COMP_POINT={len(line)}
COMP_WORDS=({" ".join(map(shlex.quote, words))}) COMP_CWORD={len(words) - 1}
_dynamo
set +u
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, env=environment(), timeout=WAIT_S)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines() if done.stdout.strip() else []


def _fish(line: str, before: str) -> list[str]:
    program = f"{before}\nsource {SCRIPTS}/dynamo.fish\ncomplete -C {shlex.quote(line)}"
    command = ["fish", "--no-config", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=WAIT_S)
    assert done.stderr == ""
    return [each.partition("\t")[0] for each in done.stdout.splitlines()]


ZSH_CAPTURE = """
compadd() {
    local -a hits
    if [[ ${@[1,(i)(-|--)]} != *-[OAD]\\ * ]]; then
        builtin compadd -A hits "$@"
        print -rl -- $hits >> captured
    fi
    builtin compadd "$@"
}
"""


def _zsh(line: str, before: str) -> list[str]:
    captured, done = Path("captured"), Path("captured.done")
    with Terminal("zsh", before + ZSH_CAPTURE) as terminal:
        terminal.tab_after(line)
        terminal.type("\x15\x15: > captured.done\r")
        terminal.wait_for(done, may_be_empty=True)
    done.unlink()
    found = captured.read_text().split("\n") if captured.exists() else []
    captured.unlink(missing_ok=True)
    return list(dict.fromkeys(filter(None, found)))


class Terminal:
    """An interactive shell without the user's own settings, in the current directory."""

    COMMANDS = {
        "bash": ["bash", "--norc", "--noprofile", "-i"],
        "zsh": ["zsh", "-f", "-i"],
        "fish": ["fish", "--no-config", "-i"],
    }
    START = {
        "bash": """bind 'set bell-style none'; bind 'set enable-bracketed-paste off'
source @scripts@/dynamo.bash
print_line() { printf '%s\\n' "$1"; }""",
        "zsh": """autoload -Uz compinit; compinit -D -u; bindkey -e; unsetopt beep
LISTMAX=10000
source @scripts@/dynamo.zsh
tab() { zle expand-or-complete; : > tabbed; }
zle -N tab; bindkey '^I' tab
print_line() { printf '%s\\n' "$1"; }""",
        "fish": """source @scripts@/dynamo.fish
function print_line; printf '%s\\n' "$argv[1]"; end""",
    }

    def __init__(self, shell: str, before: str = "") -> None:
        self._shell = shell
        self._start = f"{self.START[shell].replace('@scripts@', str(SCRIPTS))}\n{before}\n: > ready\n"

    def __enter__(self) -> Terminal:
        setup = Path("setup").absolute()
        setup.write_text(self._start)
        self._process, self._master = _spawn(self.COMMANDS[self._shell])
        self.type(f"source {setup}\r")
        self.wait_for(Path("ready"), may_be_empty=True)
        Path("ready").unlink()
        return self

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def tab_after(self, line: str) -> None:
        """zsh completes nothing while more keys wait."""
        self.type(f"{line}\t")
        if self._shell == "zsh":
            self.wait_for(Path("tabbed"), may_be_empty=True)
            Path("tabbed").unlink()

    def wait_for(self, file: Path, may_be_empty: bool = False) -> str:
        """The file's text, once the shell has written it."""
        deadline = time.monotonic() + WAIT_S
        while not file.exists() or not (may_be_empty or file.stat().st_size):
            assert time.monotonic() < deadline, f"no {file} after {WAIT_S} s"
            if select.select([self._master], [], [], 0.01)[0]:
                with suppress(OSError):
                    os.read(self._master, 65536)
        return file.read_text().rstrip("\n")

    def __exit__(self, *_: object) -> None:
        os.kill(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._master)


def _spawn(command: list[str]) -> tuple[int, int]:
    process, master = pty.fork()
    if process == 0:
        os.execvpe(command[0], command, environment())
    return process, master
