"""`dynamo bench`: options in; text, files and an exit code out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from dynamo_cli.bench import prepare
from dynamo_cli.bench.campaign import Campaign
from dynamo_cli.bench.options import AUTO, Options, check
from dynamo_cli.bench.report import (
    Summary,
    compare,
    host_facts,
    read_results,
    render,
    render_comparison,
    write_results,
)
from dynamo_cli.bench.report.files import SUMMARY, summary_json
from dynamo_cli.bench.report.foreign import FORMATS
from dynamo_cli.bench.slo import Slo
from dynamo_cli.bench.target import await_model, default_url, find_model, parse_url
from dynamo_cli.errors import Cancelled, ResourceMissing, UsageError


class Outcome(NamedTuple):
    """`text` is for stdout, `remarks` are lines for stderr."""

    text: str
    exit_code: int = 0
    remarks: tuple[str, ...] = ()


def run_bench(options: Options) -> Outcome:
    """Raises DynamoError before anything is measured, KeyboardInterrupt when nothing was."""
    check(options)
    if options.compare is not None:
        return _comparison(*options.compare, options.json)
    options = options.completed()
    slo = prepare.objective(options)
    measure, campaign = _levels(options, slo), _campaign(options, slo)
    interrupted = False
    try:
        measure(campaign)
    except KeyboardInterrupt:
        if not campaign.points:
            raise
        interrupted = True
    summary = Summary(
        created=time.time(),
        mode=options.mode,
        args=options.public(),
        host=host_facts(),
        points=campaign.points,
        found=campaign.found,
        remarks=campaign.remarks,
    )
    remarks = _failures(options, summary)
    code = int(bool(remarks))
    if interrupted:
        remarks, code = ["interrupted: this is what was measured until then"], Cancelled.exit_code
    if options.output is not None:
        try:
            write_results(options.output, summary, campaign.records)
            remarks.insert(0, f"the files are in {options.output}")
        except ResourceMissing as error:  # what was measured is still told
            remarks, code = [*remarks, str(error)], error.exit_code
    return Outcome(_text(options, summary, campaign), code, tuple(remarks))


def _text(options: Options, summary: Summary, campaign: Campaign) -> str:
    if options.format is not None:
        (records,) = campaign.records.values()
        return msgspec.json.encode(FORMATS[options.format](summary, records)).decode()
    return summary_json(summary).decode().rstrip() if options.json else render(summary)


def _comparison(a: Path, b: Path, as_json: bool) -> Outcome:
    comparison = compare(read_results(a), read_results(b))
    if as_json:
        return Outcome(msgspec.json.format(msgspec.json.encode(comparison), indent=2).decode())
    return Outcome(render_comparison(comparison))


def _campaign(options: Options, slo: Slo | None) -> Campaign:
    """Raises DynamoError for what is wrong with the options, then for what is wrong with the server."""
    work = prepare.workload(options)
    if options.output is not None:
        _check_output(options.output)
    address = parse_url(options.url or default_url())
    if options.ready_timeout:
        model = await_model(address, options.model, options.ready_timeout, work.headers)
    else:
        model = find_model(address, options.model, work.headers)
    left_out = list(work.trace.notes) if work.trace is not None else []
    return Campaign(address, model.name, replace(work, ask_worker=model.of_ours), slo, remarks=left_out)


def _levels(options: Options, slo: Slo | None) -> Callable[[Campaign], None]:
    """What the campaign is to measure. Raises UsageError."""
    if options.find_max_rate and slo is not None:
        return lambda campaign: campaign.max_rate(slo, options.rate)
    if options.sweep == AUTO:
        return Campaign.knee
    if options.sweep is not None:
        concurrencies = prepare.concurrencies(options.sweep)
        return lambda campaign: campaign.concurrencies(concurrencies)
    if options.sweep_rate is not None:
        rates = prepare.rates(options.sweep_rate)
        return lambda campaign: campaign.rates(rates)
    return Campaign.one


def _check_output(directory: Path) -> None:
    """An earlier result is replaced; anything else is not. Raises UsageError, ResourceMissing."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        taken = any(directory.iterdir()) and not _is_result(directory)
    except OSError as error:
        raise ResourceMissing(f"--output {directory}: cannot be made: {error.strerror}") from None
    if taken:
        raise UsageError(f"--output {directory}: holds other files; name a new directory or one of an earlier result")


def _is_result(directory: Path) -> bool:
    if not (directory / SUMMARY).is_file():
        return False
    try:
        read_results(directory)
    except UsageError:
        return False
    return True


def _failures(options: Options, summary: Summary) -> list[str]:
    """Why the exit code is 1. A search goes through rates that fail; it fails when it finds none."""
    reports = [point.report for point in summary.points]
    if options.find_max_rate:
        return [] if summary.found else ["no rate meets the SLO"]
    failed, asked = sum(sum(report.errors.values()) for report in reports), sum(report.requests for report in reports)
    complaints = []
    if failed > options.max_error_rate * asked:
        complaints.append(f"{failed} of {asked} requests failed")
    if not asked:
        complaints.append("no request was sent")
    if reports and all(report.goodput and report.goodput.misses for report in reports):
        complaints.append("the SLO is missed" + (" at every level" if len(reports) > 1 else ""))
    return complaints
