"""What is told of one service, without its secrets."""

from __future__ import annotations

from collections.abc import Mapping

from dynamo_cli.logs.files import log_file
from dynamo_cli.protocol.detail import ProbeResult, ServiceDetail
from dynamo_cli.runtime.paths import DeploymentPaths
from dynamo_cli.runtime.redact import redact_command, redact_environment
from dynamo_cli.supervisor.crashes.secrets import shown, without
from dynamo_cli.supervisor.launcher import Launcher
from dynamo_cli.topology.process import ProcessSpec


def detail_of(
    spec: ProcessSpec, launcher: Launcher, paths: DeploymentPaths, probes: list[ProbeResult]
) -> ServiceDetail:
    """Of the process that runs by this spec, or would."""
    return told(spec, launcher.command(spec), launcher.added(spec), launcher.inherited, paths, probes)


def told(
    spec: ProcessSpec,
    command: list[str],
    added: Mapping[str, str],
    inherited: Mapping[str, str],
    paths: DeploymentPaths,
    probes: list[ProbeResult],
) -> ServiceDetail:
    """A secret of its environment is covered wherever it appears."""
    everything = shown({**inherited, **added})
    return ServiceDetail(
        name=spec.name,
        argv=[without(word, everything.secrets) for word in redact_command(command)],
        cwd=spec.cwd,
        env={name: without(value, everything.secrets) for name, value in redact_environment(added).items()},
        inherited={name: value for name, value in everything.variables.items() if name not in added},
        ports=spec.ports,
        asked=spec.probe.kind,
        probes=probes,
        log=str(log_file(paths, spec.name)),
    )
