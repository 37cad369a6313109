"""Every option of the reference, tried on the parsers and settings of our components as the tables have it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import pytest

import dynamo_cli.frontend.__main__ as frontend
import dynamo_cli.routing.service.arguments as router
import dynamo_cli.workers.arguments as worker
from dynamo_cli.cli.main import run
from dynamo_cli.errors import UsageError
from dynamo_cli.frontend import door
from dynamo_cli.frontend.intake import Intake
from dynamo_cli.frontend.request_trace.options import trace_options
from dynamo_cli.runtime.arguments import ComponentParser
from dynamo_cli.runtime.config import RuntimeConfig
from dynamo_cli.runtime.flags.flag import ON, Flag
from dynamo_cli.runtime.flags.page import page
from dynamo_cli.runtime.flags.refusal import heed_variables
from dynamo_cli.runtime.logs import log_settings
from dynamo_cli.runtime.spans import span_settings

REPOSITORY = Path(__file__).parents[1]
FLAGS: dict[str, tuple[Flag, ...]] = {
    "frontend": frontend.FLAGS,
    "router": router.FLAGS,
    "worker": worker.FLAGS,
}
PARSERS: dict[str, Callable[[], ComponentParser]] = {
    "frontend": cast("Callable[[], ComponentParser]", frontend._parser),
    "router": cast("Callable[[], ComponentParser]", router._parser),
    "worker": cast("Callable[[], ComponentParser]", worker._parser),
}
READS = {"frontend": ("frontend", "variables", "older"), "router": ("router",), "worker": ("worker",)}


class Sample(NamedTuple):
    """`value` and `other` are no default; without `other`, `value` is the only one, and `wrong` is an error.

    `beside`: variables without which the option has nothing to change.
    """

    value: str
    other: str = ""
    wrong: str = ""
    beside: dict[str, str] = {}


TRACED, EXPORTED = {"DYN_REQUEST_TRACE": "1"}, {"OTEL_EXPORT_ENABLED": "1"}
PAIR = {"DYN_TLS_CERT_PATH": "cert.pem", "DYN_TLS_KEY_PATH": "key.pem"}
SAMPLES = {
    "--http-host": Sample("127.0.0.2", "::1"),
    "--http-port": Sample("8123", "8124"),
    "--tls-cert-path": Sample("a.pem", "b.pem", beside=PAIR),
    "--tls-key-path": Sample("a.pem", "b.pem", beside=PAIR),
    "--tls-client-ca-cert-path": Sample("a.pem", "b.pem", beside=PAIR),
    "--namespace": Sample("mine", "yours"),
    "--namespace-prefix": Sample("mi", "yo"),
    "--migration-limit": Sample("0", "7"),
    "--migration-max-seq-len": Sample("100", "200"),
    "--model-name": Sample("mine", "yours"),
    "--model-path": Sample("/mine", "/yours"),
    "--metrics-prefix": Sample("mine", "yours"),
    "--active-decode-blocks-threshold": Sample("0.5", "0.75"),
    "--active-prefill-tokens-threshold": Sample("5", "6"),
    "--active-prefill-tokens-threshold-frac": Sample("0.5", "0.75"),
    "--discovery-backend": Sample("mem", "file"),
    "--request-plane": Sample("tcp", wrong="nats"),
    "--event-plane": Sample("mem", "tcp"),
    "--endpoint": Sample("a.b.c", "dyn://d.e.f"),
    "--engine-request-limit": Sample("4", "5"),
    "--custom-jinja-template": Sample("mine.jinja", "yours.jinja"),
    "--use-vllm-tokenizer": Sample("true"),
    "--headless": Sample("true"),
    "--disaggregation-mode": Sample("prefill", "decode"),
    "--enforce-disagg": Sample("true"),
    "--router-conditional-disagg": Sample("true"),
    "--router-conditional-disagg-config": Sample(
        '{"eff_isl_threshold": 5}', '{"policy": "isl_or_load"}', beside={"DYN_ROUTER_CONDITIONAL_DISAGG": "1"}
    ),
    "--is-prefill-worker": Sample("true"),
    "--is-decode-worker": Sample("true"),
    "--health-check-payload": Sample('{"token_ids": [7]}', '{"prompt": "Hi"}'),
    "DYN_HEALTH_CHECK_ENABLED": Sample("1"),
    "DYN_CANARY_WAIT_TIME": Sample("7"),
    "DYN_HEALTH_CHECK_REQUEST_TIMEOUT": Sample("7"),
    "DYN_MM_ALLOW_URLS": Sample("1"),
    "DYN_MM_ALLOW_INTERNAL": Sample("1"),
    "DYN_MM_LOCAL_PATH": Sample("/"),
    "DYN_MM_MAX_FILE_SIZE_MB": Sample("5"),
    "DYN_MM_FETCH_TIMEOUT_SECS": Sample("5"),
    "DYN_SYSTEM_PORT": Sample("8081"),
    "DYN_SYSTEM_HOST": Sample("127.0.0.2"),
    "--router-mode": Sample("random", "least-loaded"),
    "--kv-cache-block-size": Sample("32", "64"),
    "--router-kv-overlap-score-credit": Sample("0.5", "2"),
    "--router-kv-overlap-score-credit-decay": Sample("0.5", "2"),
    "--router-prefill-load-scale": Sample("0.5", "2"),
    "--router-decode-active-request-weight": Sample("0.5", "2"),
    "--router-host-cache-hit-weight": Sample("0.5", "0.9"),
    "--router-disk-cache-hit-weight": Sample("0.5", "0.9"),
    "--router-temperature": Sample("0.5", "1"),
    "--router-kv-events": Sample("false"),
    "--router-track-active-blocks": Sample("false"),
    "--router-track-output-blocks": Sample("true"),
    "--router-assume-kv-reuse": Sample("false"),
    "--router-track-prefill-tokens": Sample("false"),
    "--router-replica-sync": Sample("false"),
    "--router-ttl-secs": Sample("5", "6.5"),
    "--router-max-tree-size": Sample("1000", "2000"),
    "--router-prune-target-ratio": Sample("0.5", "0.25"),
    "--router-predicted-ttl-secs": Sample("5", "6"),
    "--router-session-affinity-ttl-secs": Sample("60", "90"),
    "--router-approximate-cache-policy": Sample("lru", "ttl"),
    "--router-session-affinity-mode": Sample("soft", "hard"),
    "DYN_FILE_KV": Sample("/tmp/mine"),
    "DYN_TCP_RPC_HOST": Sample("127.0.0.2"),
    "DYN_LOG": Sample("debug"),
    "DYN_LOGGING_JSONL": Sample("1"),
    "DYN_LOG_USE_LOCAL_TZ": Sample("1"),
    "OTEL_EXPORT_ENABLED": Sample("1"),
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": Sample("http://127.0.0.1:9", beside=EXPORTED),
    "OTEL_SERVICE_NAME": Sample("mine", beside=EXPORTED),
    "DYN_HISTOGRAM_*": Sample("9"),
    "DYN_HTTP_BODY_LIMIT_MB": Sample("5"),
    "DYN_HTTP_OVERLOAD_STATUS_CODE": Sample("503"),
    "DYN_HTTP_GRACEFUL_SHUTDOWN_TIMEOUT_SECS": Sample("9"),
    "DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS": Sample("500"),
    "DYN_HTTP_PRE_COMMIT_ERROR_PEEK_MS": Sample("500", beside={"DYN_HTTP_SSE_KEEP_ALIVE_INTERVAL_MS": "200"}),
    "DYN_HTTP_BACKEND_STREAM_TIMEOUT_SECS": Sample("30"),
    "DYN_DISABLE_FRONTEND_ADMIN_API": Sample("1"),
    "DYN_DISABLE_FRONTEND_NVEXT": Sample("true"),
    "DYN_REQUEST_TRACE": Sample("1"),
    "DYN_REQUEST_TRACE_RECORDS": Sample("request_payload,tool", beside=TRACED),
    "DYN_REQUEST_TRACE_SINKS": Sample("file", wrong="nats", beside=TRACED),
    "DYN_REQUEST_TRACE_FILE_FORMAT": Sample("jsonl_gz", wrong="jsonl", beside=TRACED),
    "DYN_REQUEST_TRACE_FILE_PATH": Sample("/tmp/mine", beside=TRACED),
    "DYN_REQUEST_TRACE_CAPACITY": Sample("7", beside=TRACED),
    "DYN_REQUEST_TRACE_FILE_BUFFER_BYTES": Sample("7", beside=TRACED),
    "DYN_REQUEST_TRACE_FILE_FLUSH_INTERVAL_MS": Sample("7", beside=TRACED),
    "DYN_REQUEST_TRACE_FILE_ROLL_BYTES": Sample("7", beside=TRACED),
    "DYN_DYNAMO_REQUEST_QUEUE_LIMIT": Sample("3"),
    "DYN_WORKER_GRACEFUL_SHUTDOWN_TIMEOUT": Sample("9"),
}
"""By the first name of a supported option; some wait for theirs to be supported."""
BUCKET = {"DYN_HISTOGRAM_*": "DYN_HISTOGRAM_TTFT_MAX", "DYN_METRICS_*": "DYN_METRICS_TTFT_MAX"}


def sifted(refused: bool) -> list[Any]:
    return [
        pytest.param(component, flag, id=f"{component} {flag.name}")
        for component, flags in FLAGS.items()
        for flag in flags
        if (flag.reason is not None) == refused and flag.name != "--version"
    ]


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, clean_environment: Path) -> Callable[..., dict[str, Any]]:
    """All that a component would run with, given these words and variables. Nothing is opened for it."""
    monkeypatch.setattr(door, "server_context", lambda files: files)
    monkeypatch.setattr(frontend, "follow", lambda arguments: trace_options(arguments, os.environ))

    def settings(component: str, words: Sequence[str] = (), variables: dict[str, str] | None = None) -> dict[str, Any]:
        with monkeypatch.context() as context:
            for name, value in (variables or {}).items():
                context.setenv(name, value)
            common = {"log": log_settings(os.environ), "spans": span_settings(os.environ)}
            if component == "worker":
                parsed = worker.parse_arguments(list(words), os.environ)
                return {**common, **vars(parsed), "runtime": compared(parsed.runtime)}
            if component == "router":
                parsed_options = router.parse_arguments(list(words), os.environ)
                return {**common, **vars(parsed_options), "runtime": compared(parsed_options.runtime)}
            arguments = frontend._parser().parse_args(words)
            options = vars(frontend._options(arguments))
            del options["gate"]
            return {
                **common,
                **options,
                "runtime": compared(RuntimeConfig.from_args(arguments)),
                "address": (frontend._host(arguments), frontend._port(arguments)),
                "nvext": Intake(cast(Any, None), environ=os.environ).ignores_nvext,
            }

    return settings


def compared(config: RuntimeConfig) -> dict[str, Any]:
    return {**vars(config), "paths": config.paths.root}


def spelled(flag: Flag, name: str, value: str) -> list[str]:
    """The words that give a switch or another flag its value."""
    if not flag.switch:
        return [name, value]
    off = name.replace("--", "--no-", 1)
    return [name if value in ON else off]


def positive(flag: Flag) -> list[str]:
    return [name for name in flag.names if not (flag.switch and name.startswith("--no-"))]


@pytest.mark.parametrize(("component", "flag"), sifted(refused=False))
async def test_what_is_supported_sets_the_same_by_any_name_and_the_flag_wins(
    component: str, flag: Flag, settings: Callable[..., dict[str, Any]]
) -> None:
    sample = SAMPLES[flag.of or flag.name]
    plain = settings(component, (), sample.beside)
    variables = [{**sample.beside, BUCKET.get(name, name): sample.value} for name in flag.variables]
    ways = [settings(component, spelled(flag, name, sample.value), sample.beside) for name in positive(flag)]
    ways += [settings(component, (), given) for given in variables]
    if flag.of:
        ways.append(settings(component, spelled(flag, flag.of, sample.value), sample.beside))
    assert all(way == ways[0] for way in ways)
    assert (ways[0] == plain) == bool(sample.wrong)
    for name in positive(flag) if sample.other else ():
        words = spelled(flag, name, sample.other)
        alone = settings(component, words, sample.beside)
        assert alone != ways[0]
        assert all(settings(component, words, given) == alone for given in variables)
    for name in (*flag.variables, *flag.names) if sample.wrong else ():
        words, given = ([name, sample.wrong], {}) if name.startswith("--") else ([], {name: sample.wrong})
        with pytest.raises(UsageError, match=sample.wrong):
            settings(component, words, {**sample.beside, **given})


@pytest.mark.parametrize(("component", "flag"), sifted(refused=True))
def test_what_is_refused_is_one_line_with_the_reason_and_the_way_out(
    component: str, flag: Flag, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    reason = flag.reason
    assert reason is not None and not flag.of and not flag.note
    for part in reason:
        assert part and part == part.strip() and "\n" not in part and not part.endswith(".")
    line = f"{reason.why}; {reason.instead}"
    for name in flag.names:
        if flag.switch and flag.is_harmless("false" if name.startswith("--no-") else "true"):
            continue
        for words in [[name]] if flag.switch else [[name], [name, "it"], [f"{name}=it"]]:
            assert run([component, *words]) == 2
            assert capsys.readouterr() == ("", f"dynamo: {name}: {line}\n")
    for name in flag.variables:
        variable = name.replace("*", "IT")
        if flag.strict:
            with pytest.raises(UsageError) as refusal:
                heed_variables(FLAGS[component], {variable: "it"})
            assert str(refusal.value) == f"{variable}=it: {line}"
        else:
            caplog.clear()
            heed_variables(FLAGS[component], {variable: "it"})
            assert caplog.messages == [f"{variable} has no effect: {line}"]


@pytest.mark.parametrize(("component", "flag"), sifted(refused=True))
def test_what_asks_for_nothing_else_than_is_so_anyway_is_accepted(
    component: str, flag: Flag, caplog: pytest.LogCaptureFixture
) -> None:
    plain = PARSERS[component]().parse_args([])
    for value in ("", *flag.harmless):
        for name in flag.variables:
            heed_variables(FLAGS[component], {name.replace("*", "IT"): value})
    for value in flag.harmless:
        for name in positive(flag):
            if not (flag.switch and name == "-i"):
                assert PARSERS[component]().parse_args(spelled(flag, name, value)) == plain
    assert not caplog.messages


@pytest.mark.parametrize("component", FLAGS)
def test_each_name_has_one_entry_and_none_is_both_refused_and_there(component: str) -> None:
    flags = FLAGS[component]
    names = [name for flag in flags for name in (*flag.names, *flag.variables)]
    assert sorted(names) == sorted(set(names))
    there = set(PARSERS[component]()._option_string_actions)
    for flag in flags:
        known = there & set(flag.names)
        assert known == (set() if flag.reason else set(flag.names)), f"{flag.name}: the parser has {known or 'none'}"
    supported = {flag.names[0] for flag in flags if flag.names and not flag.of and flag.reason is None}
    assert {flag.of for flag in flags} <= {"", *supported}


def reference() -> Iterator[tuple[str, str]]:
    """(component, name) of everything in reference_flags.txt."""
    section = ""
    for line in (REPOSITORY / "tests" / "reference_flags.txt").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        for component, sections in READS.items():
            if section in sections and not line.startswith("["):
                yield from ((component, word) for word in line.split())


def test_every_option_of_the_reference_has_its_entry() -> None:
    listed = list(reference())
    assert len(listed) > 350
    missing = [
        (component, name)
        for component, name in listed
        if not any(name in flag.names or flag.reads(name) for flag in FLAGS[component])
    ]
    assert not missing


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--router-mod", "random"], "no such option --router-mod; did you mean --router-mode?"),
        (["--http-prt=1"], "no such option --http-prt; did you mean --http-port?"),
        (["--nonsense"], "no such option --nonsense; try dynamo frontend --help"),
        (["8000"], "unexpected argument '8000'; try dynamo frontend --help"),
    ],
)
def test_what_is_unknown_is_told_with_what_comes_close(words: list[str], line: str) -> None:
    with pytest.raises(UsageError) as refusal:
        frontend._parser().parse_args(words)
    assert str(refusal.value) == line


def test_a_worker_hands_what_is_after_the_dashes_to_its_engine() -> None:
    assert worker.parse_arguments(["--", "--connector", "x"], {}).engine_args == ("--connector", "x")


def test_variables_that_are_refused_and_supported_ones_beside_them(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"NATS_TLS_INSECURE": "false", "NATS_SERVER": "x", "DYN_NAMESPACE": "n", "DYN_OTHER": "x", "PATH": "x"}
    heed_variables(frontend.FLAGS, environ)
    assert [message.split()[0] for message in caplog.messages] == ["NATS_SERVER"]


@pytest.mark.parametrize("component", FLAGS)
def test_the_version(component: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        PARSERS[component]().parse_args(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("dynamo ")


@pytest.mark.parametrize(
    ("component", "variables", "lines"),
    [
        (
            "frontend --http-port 99999",
            {"ETCD_ENDPOINTS": "x", "DYN_TOKENIZER": "default"},
            ["ETCD_ENDPOINTS has no effect", "dynamo: --http-port"],
        ),
        (
            "worker --engine nope",
            {"DYN_TOOL_CALL_PARSER": "hermes"},
            ["DYN_TOOL_CALL_PARSER has no effect", "dynamo: unknown engine"],
        ),
        ("worker --engine echo", {"DYN_TCP_TLS_KEY_PATH": "x"}, ["dynamo: DYN_TCP_TLS_KEY_PATH=x: connections"]),
    ],
)
def test_components_heed_their_variables(
    component: str, variables: dict[str, str], lines: list[str], clean_environment: Path
) -> None:
    argv, environ = [sys.executable, "-m", "dynamo_cli", *component.split()], {**os.environ, **variables}
    done = subprocess.run(argv, env=environ, capture_output=True, text=True)
    assert done.returncode == 2
    told = done.stderr.splitlines()
    assert len(told) == len(lines)
    assert all(part in line for part, line in zip(lines, told, strict=True))


def test_the_page_of_flags_is_fresh() -> None:
    assert (REPOSITORY / "docs" / "flags.md").read_text() == page(), "run `make flags`"
