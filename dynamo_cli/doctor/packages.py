"""What this package requires, and whether it is installed: by what the installer wrote down."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

from dynamo_cli.doctor import children
from dynamo_cli.doctor.check import Check, counted, error, ok, skipped, warn

DISTRIBUTION = "dynamo-cli"
INSTALL = f"pip install --upgrade {DISTRIBUTION}"
IMPORT_S = 60.0
MODULES = {"nvidia-ml-py": "pynvml"}
"""Import names that are not the distribution's."""
IMPORTING = """
import importlib, os, sys
answer = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except BaseException as error:
        lines = f"{type(error).__name__}: {error}".strip().splitlines()
        print(name, lines[-1], sep="\\t", file=answer, flush=True)
print("done", file=answer, flush=True)
"""
"""What a module prints while it is imported goes elsewhere than the answer."""
DONE = "done"


class Package(NamedTuple):
    """`found` is the version that is installed, "" when none is; `fits` whether `wanted` allows it."""

    name: str
    wanted: str
    found: str
    fits: bool = True


def packages_checks(packages: list[Package] | None) -> Iterator[Check]:
    if packages is None:
        yield warn("packages", f"{DISTRIBUTION} itself is not installed, so nothing says what it requires", INSTALL)
        return
    good = [each for each in packages if each.found and each.fits]
    if good:
        words = f"{len(good)} of {counted(len(packages), 'required package')}"
        yield ok("packages", f"{words}: {', '.join(f'{each.name} {each.found}' for each in good)}")
    for each in packages:
        if not each.found:
            yield error(f"package-{each.name}", "is not installed", INSTALL)
        elif not each.fits:
            yield error(f"package-{each.name}", f"{each.found} is installed, {each.wanted} is required", INSTALL)


def read_packages() -> list[Package] | None:
    """What holds for this interpreter; None when this package was not installed by an installer."""
    from packaging.requirements import Requirement

    try:
        wanted = [Requirement(line) for line in requires(DISTRIBUTION) or ()]
    except PackageNotFoundError:
        return None
    needed = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    found = [(each, installed(each.name)) for each in needed]
    return [
        Package(each.name, str(each.specifier), has, not has or each.specifier.contains(has, prereleases=True))
        for each, has in found
    ]


def installed(distribution: str) -> str:
    """The version, "" when it is not."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return ""


def import_check(name: str, modules: Iterable[str], failures: list[str] | None) -> Check:
    """`failures` as `import_failures` tells them."""
    count = counted(len(list(modules)), "module")
    if failures is None:
        return error(name, f"importing {count} took longer than {IMPORT_S:g} s", "is the disk very slow, or the host?")
    if failures:
        return error(name, "; ".join(failures), "reinstall it: pip install --force-reinstall PACKAGE")
    return ok(name, f"{count} imported")


def packages_import_check(packages: list[Package] | None, thorough: bool) -> Check:
    if not thorough:
        return skipped("imports", "only with --thorough")
    modules = [MODULES.get(each.name, each.name.replace("-", "_")) for each in packages or () if each.found]
    return import_check("imports", modules, import_failures(modules))


def import_failures(modules: Iterable[str]) -> list[str] | None:
    """`MODULE: the error's last line` of each that cannot be imported, in a process of its own; None after IMPORT_S."""
    ended = children.run([sys.executable, "-c", IMPORTING, *modules], IMPORT_S)
    if ended.code is None:
        return None
    lines = ended.out.decode(errors="replace").splitlines()
    failures = [line.replace("\t", ": ", 1) for line in lines if line != DONE]
    if DONE not in lines:
        how = f"signal {-ended.code}" if ended.code < 0 else f"code {ended.code}"
        failures.append(f"the process that imported ended with {how}")
    return failures
