"""From request records to figures, and from figures to text and files."""

from dynamo_cli.bench.report.compare import Comparison, compare
from dynamo_cli.bench.report.comparison import render_comparison
from dynamo_cli.bench.report.console import render
from dynamo_cli.bench.report.figures import make_report
from dynamo_cli.bench.report.files import Results, read_results, write_results
from dynamo_cli.bench.report.host import host_facts
from dynamo_cli.bench.report.model import Goodput, Point, ProcessUse, Report, Run, Spread, Summary, WorkerShare

__all__ = [
    "Comparison",
    "Goodput",
    "Point",
    "ProcessUse",
    "Report",
    "Results",
    "Run",
    "Spread",
    "Summary",
    "WorkerShare",
    "compare",
    "host_facts",
    "make_report",
    "read_results",
    "render",
    "render_comparison",
    "write_results",
]
