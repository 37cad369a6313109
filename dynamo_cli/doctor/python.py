"""The interpreter, its environment, the packages in it, and what compiling kernels needs."""

from __future__ import annotations

import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dynamo_cli import __version__
from dynamo_cli.doctor.check import Check, Question, error, ok, skipped, warn
from dynamo_cli.doctor.machine import Machine
from dynamo_cli.doctor.packages import installed, packages_checks, packages_import_check, read_packages

OLDEST, NEWEST = (3, 10), (3, 13)
COMPILERS = ("vllm", "sglang", "tensorrt_llm")
"""Engines that compile kernels when they start."""


class Environment(NamedTuple):
    """`active` is what VIRTUAL_ENV says."""

    prefix: str
    virtual: bool
    active: str = ""


class Installed(NamedTuple):
    """Where this package is, and the `dynamo` that a shell would start, "" for none."""

    version: str
    home: str
    on_path: str
    beside: str


def questions(machine: Machine) -> Iterator[Question]:
    yield Question("python", lambda: python_check(sys.version_info[:2], platform.python_version(), sys.executable))
    yield Question("environment", lambda: environment_check(read_environment(machine)))
    yield Question("dynamo", lambda: dynamo_check(read_installed(machine)))
    yield Question("packages", lambda: packages_checks(read_packages()))
    yield Question("imports", lambda: packages_import_check(read_packages(), machine.asked.thorough))
    yield Question("python-headers", lambda: headers_check(_headers(), _compiling(machine)))
    yield Question("c-compiler", lambda: compiler_check(_compiler(), _compiling(machine)))
    yield Question("libnuma", lambda: numa_check(_has_numa(), bool(installed("vllm")) and not machine.driver.gpus))


def python_check(version: tuple[int, int], words: str, executable: str) -> Check:
    detail, range_ = f"{words}, {executable}", "3.10 to 3.13"
    if version < OLDEST:
        return error("python", f"{detail}: too old", f"install Python {range_}")
    if version > NEWEST:
        return warn("python", f"{detail}: newer than what was tested, {range_}", f"use Python {range_}")
    return ok("python", detail)


def environment_check(environment: Environment) -> Check:
    if environment.active and Path(environment.active).resolve() != Path(environment.prefix).resolve():
        why = f"runs from {environment.prefix}, but the active one is {environment.active}"
        return warn("environment", why, f"source {environment.prefix}/bin/activate")
    return ok("environment", f"{environment.prefix} ({'a' if environment.virtual else 'no'} virtual environment)")


def dynamo_check(found: Installed) -> Check:
    detail = f"{found.version} in {found.home}"
    if found.on_path and found.beside and Path(found.on_path).resolve() != Path(found.beside).resolve():
        return warn("dynamo", f"{detail}, but `dynamo` means {found.on_path}", f"put {found.beside} first in PATH")
    return ok("dynamo", detail)


def headers_check(headers: str, needed_by: list[str]) -> Check:
    name = "python-headers"
    if headers:
        return ok(name, headers)
    if not needed_by:
        return skipped(name, "not installed; only GPU engines need them")
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-dev"
    return warn(name, f"Python.h is missing: {' and '.join(needed_by)} compile kernels", f"sudo apt install {package}")


def compiler_check(compiler: str, needed_by: list[str]) -> Check:
    if compiler:
        return ok("c-compiler", compiler)
    if not needed_by:
        return skipped("c-compiler", "none; only GPU engines need one")
    return warn("c-compiler", f"none: {' and '.join(needed_by)} compile kernels", "sudo apt install build-essential")


def numa_check(there: bool, needed: bool) -> Check:
    if there:
        return ok("libnuma", "libnuma.so.1")
    if not needed:
        return skipped("libnuma", "not installed; only vllm on the CPU needs it")
    return warn("libnuma", "not installed: vllm on the CPU needs it", "sudo apt install libnuma1")


def read_environment(machine: Machine) -> Environment:
    return Environment(sys.prefix, sys.prefix != sys.base_prefix, machine.environ.get("VIRTUAL_ENV", ""))


def read_installed(machine: Machine) -> Installed:
    import dynamo_cli

    beside = Path(sys.executable).with_name("dynamo")
    on_path = shutil.which("dynamo", path=machine.environ.get("PATH")) or ""
    home = str(Path(dynamo_cli.__file__).parent)
    return Installed(__version__, home, on_path, str(beside) if beside.exists() else "")


def _compiling(machine: Machine) -> list[str]:
    """Who compiles kernels here."""
    return [name for name in COMPILERS if installed(name)] or (["GPU engines"] if machine.driver.gpus else [])


def _headers() -> str:
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return str(header) if header.exists() else ""


def _compiler() -> str:
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), "")


def _has_numa() -> bool:
    import ctypes

    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError:
        return False
    return True
