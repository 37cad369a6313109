"""What [router] asks for beyond the frontends: processes that choose for all of them."""

from __future__ import annotations

from dynamo_cli.topology.parts import Topology
from dynamo_cli.topology.report import Report
from dynamo_cli.topology.words import quoted

ROUTER = "router"


def check_router(topology: Topology, report: Report) -> None:
    """Add what would keep router processes from doing their work, or from having their names."""
    router = topology.router
    if router.enforce_disagg and not report.touches((ROUTER, "enforce_disagg")):
        _check_enforced(topology, report)
    if not router.replicas or report.touches((ROUTER, "replicas")):
        return
    if router.mode != "kv" and not report.touches((ROUTER, "mode")):
        what = f'router processes are for mode = "kv", this is {quoted(router.mode)}; change the mode or leave it out'
        report.add((ROUTER, "replicas"), what)
    if router.replica_sync is False:
        report.add((ROUTER, "replica_sync"), "router processes have to hear what frontends route; leave it out")
    for section, names in (("workers", topology.workers), ("services", topology.services)):
        for name in names:
            base, _, number = name.rpartition("-")
            if name == ROUTER:
                report.add((section, name), "the name is taken by the router processes; choose another one")
            elif section == "services" and base == ROUTER and number.isdecimal() and ROUTER not in topology.workers:
                report.add((section, name), "is what a router process is called; choose another name")


def _check_enforced(topology: Topology, report: Report) -> None:
    """What must be prefilled remotely needs somebody who does it."""
    if topology.router.conditional_disagg is not None:
        what = "prompts cannot both have to leave and stay (conditional_disagg); leave one of the two out"
        report.add((ROUTER, "enforce_disagg"), what)
    elif not any(pool.role == "prefill" for pool in topology.workers.values()):
        report.add((ROUTER, "enforce_disagg"), 'every request would be refused: no pool has role = "prefill"')
