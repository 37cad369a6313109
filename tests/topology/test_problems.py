"""Wrong topologies and exactly what is said of them; `F` stands for the file's name."""

from __future__ import annotations

from pathlib import Path

import pytest

from dynamo_cli.errors import TopologyError
from dynamo_cli.topology.load import load_topology

GOOD = 'model = "org/model"\n[workers.decode]\nengine = "mock"\n'
"""Three lines: a table appended to it begins on line 4, a key of the pool is line 4."""


def problems(folder: Path, text: str, *sets: str) -> list[str]:
    file = folder / "bad.toml"
    file.write_bytes(text.encode())
    with pytest.raises(TopologyError) as caught:
        load_topology(file, sets)
    assert caught.value.exit_code == 2
    assert all(len(line.splitlines()) == 1 for line in caught.value.problems)
    return [line.replace(str(file), "F") for line in caught.value.problems]


TABLE = {
    # router processes
    "a router process for another mode": (
        GOOD + "[router]\nreplicas = 1",
        [
            'F:5: router.replicas: router processes are for mode = "kv", this is "round-robin"; '
            "change the mode or leave it out"
        ],
    ),
    "a router process that hears nothing": (
        GOOD + '[router]\nmode = "kv"\nreplicas = 1\nreplica_sync = false',
        ["F:7: router.replica_sync: router processes have to hear what frontends route; leave it out"],
    ),
    "a pool and a service with their names": (
        GOOD + '[router]\nmode = "kv"\nreplicas = 1\n[workers.router]\nengine = "mock"\n'
        '[services.router-0]\ncommand = "true"',
        [
            "F:7: workers.router: the name is taken by the router processes; choose another one",
            "F:9: services.router-0: is what a replica of router is called; choose another name",
        ],
    ),
    "a service with the name of one": (
        GOOD + '[router]\nmode = "kv"\nreplicas = 1\n[services.router-0]\ncommand = "true"',
        ["F:7: services.router-0: is what a router process is called; choose another name"],
    ),
    # unknown keys
    "typo at the top": (
        GOOD.replace("model =", "modle ="),
        [
            "F:1: modle: unknown key; did you mean model",
            'F:2: workers.decode.model: no model; write model = "ORG/NAME" at the top of the file or in this pool',
        ],
    ),
    "typo in a pool": (GOOD + "replcas = 2", ["F:4: workers.decode.replcas: unknown key; did you mean replicas"]),
    "dash for underscore": (
        GOOD + "tensor-parallel = 2",
        ["F:4: workers.decode.tensor-parallel: unknown key; did you mean tensor_parallel"],
    ),
    "begun word": (GOOD + "tensor = 2", ["F:4: workers.decode.tensor: unknown key; did you mean tensor_parallel"]),
    "key of another table": ("port = 1\n" + GOOD, ["F:1: port: unknown key; did you mean frontend.port"]),
    "nothing near": (GOOD + "[runtime]\nzzz = 1", ["F:5: runtime.zzz: unknown key; known here: namespace"]),
    "quoted key": (
        GOOD + '"a\\nb" = 1',
        [
            'F:4: workers.decode."a\\nb": unknown key; known here: engine, model, role, replicas, gpus, gpu_memory, '
            "tensor_parallel, args, options, adapters, env, cwd, depends_on, restart, liveness, memory_limit, "
            "stop_timeout_s, ready_timeout_s",
        ],
    ),
    "dotted key": (
        "frontend.prot = 1\n" + GOOD,
        ["F:1: frontend.prot: unknown key; did you mean port"],
    ),
    "inline table": (
        'frontend = { host = "::1",prot = 1 }\n' + GOOD,
        ["F:1: frontend.prot: unknown key; did you mean port"],
    ),
    "after a multi-line string": (
        'model = """\\\n  org/\\\n  model"""\n[workers.decode]\r\nengine="mock"\r\nreplicas = "x" # 3\r\n',
        ['F:6: workers.decode.replicas: expected a whole number, found text "x"'],
    ),
    # wrong types
    "text for a number": (
        GOOD + 'replicas = "abc"',
        ['F:4: workers.decode.replicas: expected a whole number, found text "abc"'],
    ),
    "number with a point": (
        GOOD + "replicas = 1.5",
        ["F:4: workers.decode.replicas: expected a whole number, found the number 1.5"],
    ),
    "true for a number": (
        GOOD + "replicas = true",
        ["F:4: workers.decode.replicas: expected a whole number, found true"],
    ),
    "number for text": (
        "model = 5\n[workers.decode]\nengine = 3",
        [
            "F:1: model: expected text, found the whole number 5",
            "F:3: workers.decode.engine: expected text, found the whole number 3",
        ],
    ),
    "text for a list": (
        GOOD + 'args = "--x"',
        ['F:4: workers.decode.args: expected a list of texts, found text "--x"'],
    ),
    "one of many items": (
        GOOD + 'args = [\n  "--x",\n  3,\n  [],\n]',
        [
            "F:6: workers.decode.args[1]: expected text, found the whole number 3",
            "F:7: workers.decode.args[2]: expected text, found a list",
        ],
    ),
    "text for a table": ('frontend = "x"\n' + GOOD, ['F:1: frontend: expected a table, found text "x"']),
    "text for a pool": ('[workers]\ndecode = "mock"', ['F:2: workers.decode: expected a table, found text "mock"']),
    "array of tables": (
        'model = "m"\n[[workers]]\nengine = "mock"',
        ["F:2: workers: expected a table, found a list"],
    ),
    "date": ("name = 1979-05-27\n" + GOOD, ["F:1: name: expected text, found a date"]),
    "text for options": (
        GOOD + "options = 1",
        ["F:4: workers.decode.options: expected a table, found the whole number 1"],
    ),
    "number in env": (GOOD + "env = { A = 1 }", ["F:4: workers.decode.env.A: expected text, found the whole number 1"]),
    # impossible values
    "port": (GOOD + "[frontend]\nport = 70000", ["F:5: frontend.port: must be between 0 and 65535, found 70000"]),
    "replicas": (GOOD + "replicas = -1", ["F:4: workers.decode.replicas: must be between 0 and 1000, found -1"]),
    "no frontend": (GOOD + "[frontend]\nreplicas = 0", ["F:5: frontend.replicas: must be between 1 and 1000, found 0"]),
    "huge": (
        GOOD + "replicas = 1" + "0" * 50,
        ["F:4: workers.decode.replicas: must be between 0 and 1000, found a very large whole number"],
    ),
    "empty name": ('name = ""\n' + GOOD, ["F:1: name: must not be empty"]),
    "bad name": (
        'name = "My app"\n' + GOOD,
        ['F:1: name: must be lower-case letters, digits, "-" and "_", at most 40, found "My app"'],
    ),
    "bad host": (
        GOOD + '[frontend]\nhost = "a b"',
        ['F:5: frontend.host: must be an IP address or a host name, found "a b"'],
    ),
    "host out of range": (
        GOOD + '[frontend]\nhost = "300.1.1.1"',
        ['F:5: frontend.host: must be an IP address or a host name, found "300.1.1.1"'],
    ),
    "bad namespace": (
        GOOD + '[runtime]\nnamespace = "a.b"',
        ['F:5: runtime.namespace: must be lower-case letters, digits, "-" and "_", found "a.b"'],
    ),
    "zero byte": (GOOD + 'args = ["a\\u0000b"]', ["F:4: workers.decode.args[0]: must not hold a zero byte"]),
    "no time": (
        GOOD + "stop_timeout_s = 0\nready_timeout_s = nan",
        [
            "F:4: workers.decode.stop_timeout_s: must be more than 0 seconds and at most 10000000, found 0",
            "F:5: workers.decode.ready_timeout_s: must be more than 0 seconds and at most 10000000, found nan",
        ],
    ),
    "restart mode": (
        GOOD + 'restart = "allways"',
        ['F:4: workers.decode.restart: unknown restart mode "allways"; did you mean always'],
    ),
    "restart table": (
        GOOD + 'restart = { mode = "no", max_restart = 2, window_s = "1" }',
        [
            "F:4: workers.decode.restart.max_restart: unknown key; did you mean max_restarts",
            'F:4: workers.decode.restart.window_s: expected a number of seconds, found text "1"',
        ],
    ),
    "restart number": (GOOD + "restart = 1", ["F:4: workers.decode.restart: expected text, found the whole number 1"]),
    "backoff": (
        GOOD + "restart.backoff_s = 20",
        ["F:4: workers.decode.restart.backoff_s: is more than backoff_max_s, which is 10"],
    ),
    "jitter": (
        GOOD + "restart.jitter = 1.5",
        ["F:4: workers.decode.restart.jitter: must be between 0 and 1, found 1.5"],
    ),
    "jitter's type": (
        GOOD + 'restart.jitter = "10%"',
        ['F:4: workers.decode.restart.jitter: expected a number from 0 to 1, found text "10%"'],
    ),
    "success codes": (
        GOOD + "restart.success_codes = [0, 256]",
        ["F:4: workers.decode.restart.success_codes[1]: must be between 0 and 255, found 256"],
    ),
    "gpus": (
        GOOD + 'gpus = "all"',
        [
            'F:4: workers.decode.gpus: expected "auto", a whole number, a list of GPU ids, "mig" or "mig-PROFILE", '
            'found text "all"'
        ],
    ),
    "mig and tensor parallel": (
        GOOD + 'gpus = "mig-3g.40gb"\ntensor_parallel = 2',
        [
            "F:4: workers.decode.gpus: a MIG instance cannot be joined with others for tensor_parallel = 2; "
            "use whole GPUs"
        ],
    ),
    "gpu ids": (
        GOOD + 'gpus = [0, -1, true, "", 0]',
        [
            "F:4: workers.decode.gpus[1]: a GPU's index is 0 or more, found -1",
            "F:4: workers.decode.gpus[2]: expected a GPU's index or UUID, found true",
            'F:4: workers.decode.gpus[3]: expected a GPU\'s index or UUID, found text ""',
            "F:4: workers.decode.gpus[4]: GPU 0 is listed twice",
        ],
    ),
    # names
    "pool frontend": (
        GOOD + '[workers.frontend]\nengine = "mock"',
        ["F:4: workers.frontend: the name frontend is taken by the frontends; choose another pool name"],
    ),
    "pool name": (
        GOOD + '[workers."a b"]\nengine = "mock"',
        ['F:4: workers."a b": must be lower-case letters, digits, "-" and "_", at most 40, found "a b"'],
    ),
    "engine": (
        GOOD.replace("mock", "mokc"),
        ['F:3: workers.decode.engine: unknown engine "mokc"; did you mean mock'],
    ),
    "engine of nowhere": (
        GOOD.replace("mock", "zzz"),
        ['F:3: workers.decode.engine: unknown engine "zzz"; known here: auto, llamacpp, vllm, mock, echo, custom'],
    ),
    "router mode": (
        GOOD + '[router]\nmode = "least-load"',
        ['F:5: router.mode: unknown router mode "least-load"; did you mean least-loaded'],
    ),
    "environment": (
        GOOD + 'env = { CUDA_VISIBLE_DEVICES = "1", DYNAMO_HOME = "/", "A-B" = "", DYN_LOG = "debug" }',
        [
            "F:4: workers.decode.env.CUDA_VISIBLE_DEVICES: is set from gpus; write gpus = [0, 1] in the pool instead",
            "F:4: workers.decode.env.DYNAMO_HOME: is set by dynamo itself; leave it out",
            "F:4: workers.decode.env.A-B: not a name of an environment variable",
        ],
    ),
    # one key against another
    "no workers": ('model = "m"\n', ["F:1: workers: no pool of workers; add a table such as [workers.decode]"]),
    "no model": (
        '[workers.decode]\nengine = "auto"',
        ['F:1: workers.decode.model: no model; write model = "ORG/NAME" at the top of the file or in this pool'],
    ),
    "custom without command": (
        '[workers.decode]\nengine = "custom"\n[workers.decode.options]\nendpoint = "a.b.c"',
        ['F:3: workers.decode.options: this engine needs target = "module:Class" or command = ["program"]'],
    ),
    "custom without options": (
        '[workers.decode]\nengine = "custom"',
        ['F:1: workers.decode.options: this engine needs target = "module:Class" or command = ["program"]'],
    ),
    "custom with both": (
        '[workers.decode]\nengine = "custom"\noptions = { target = "a:B", command = ["x"] }',
        ["F:3: workers.decode.options: there are both target and command; keep one of them"],
    ),
    "custom with a file for a target": (
        '[workers.decode]\nengine = "custom"\noptions.target = "a.py"',
        ['F:3: workers.decode.options: target "a.py" is not of the form module:Class'],
    ),
    "custom with an endpoint of a target": (
        '[workers.decode]\nengine = "custom"\noptions = { target = "a:B", endpoint = "a.b.c" }',
        ["F:3: workers.decode.options: endpoint belongs to command; a target serves the endpoint of its worker"],
    ),
    "custom with arguments of a command": (
        '[workers.decode]\nengine = "custom"\noptions = { command = ["x"], args = { a = 1 } }',
        [
            "F:3: workers.decode.options: args and model_name belong to target; write the arguments into command",
        ],
    ),
    "custom with an empty command": (
        '[workers.decode]\nengine = "custom"\noptions.command = []',
        ["F:3: workers.decode.options.command: must not be empty"],
    ),
    "custom with a number in it": (
        '[workers.decode]\nengine = "custom"\noptions.command = [\n"a",\n1]',
        ["F:5: workers.decode.options.command[1]: expected text, found the whole number 1"],
    ),
    "options": (
        GOOD + '[workers.decode.options]\nblock_size = 0\nspeedup = 2\nseed = "a"\nspeedup_ratio = true\n'
        "max_num_seqs = 2.5",
        [
            "F:5: workers.decode.options.block_size: must be a whole number of at least 1, found 0",
            "F:6: workers.decode.options.speedup: unknown option; did you mean speedup_ratio",
            'F:7: workers.decode.options.seed: expected a whole number, found text "a"',
            "F:8: workers.decode.options.speedup_ratio: expected a number of at least 0, found true",
            "F:9: workers.decode.options.max_num_seqs: expected a whole number of at least 1, found the number 2.5",
        ],
    ),
    "options together": (
        GOOD + "options = { max_num_seqs = 9, max_num_batched_tokens = 8 }",
        [
            "F:4: workers.decode.options: max_num_batched_tokens (8) is less than max_num_seqs (9): "
            "not every sequence could decode in a step"
        ],
    ),
    "option of no engine": (
        GOOD.replace("mock", "auto") + "options.paralel = 2",
        ["F:4: workers.decode.options.paralel: unknown option; did you mean parallel"],
    ),
    "tensor parallel": (
        GOOD + "gpus = 1\ntensor_parallel = 2",
        ['F:4: workers.decode.gpus: 1 is too few for tensor_parallel = 2; write gpus = 2 or gpus = "auto"'],
    ),
    "depends": (
        GOOD + 'depends_on = ["decode", "deocde2"]\n[workers.decode2]\nengine = "mock"',
        [
            "F:4: workers.decode.depends_on[0]: a process cannot depend on itself",
            'F:4: workers.decode.depends_on[1]: no pool or service "deocde2"; did you mean decode2',
        ],
    ),
    "cycle": (
        GOOD + 'depends_on = ["b"]\n[workers.b]\nengine = "mock"\ndepends_on = ["c"]\n'
        '[workers.c]\nengine = "mock"\ndepends_on = ["decode"]',
        ["F:4: workers.decode.depends_on: depends on itself by way of decode -> b -> c -> decode"],
    ),
    # of later releases
    "engine sglang": (
        GOOD.replace("mock", "sglang"),
        [
            'F:3: workers.decode.engine: engine "sglang" is not available yet; '
            "use auto, llamacpp, vllm, mock, echo, custom"
        ],
    ),
    "role": (
        GOOD + 'role = "encode"',
        ['F:4: workers.decode.role: role "encode" is not available yet; use aggregated, prefill, decode'],
    ),
    "half a pair": (
        GOOD + 'role = "prefill"',
        ['F:4: workers.decode.role: prefills for nobody: no pool of this model has role = "decode"'],
    ),
    "a role that the engine cannot have": (
        GOOD.replace("mock", "echo") + 'role = "decode"',
        ['F:4: workers.decode.role: engine "echo" cannot hand over the KV it has computed; leave role out'],
    ),
    "enforced with nobody": (
        GOOD + "[router]\nenforce_disagg = true",
        ['F:5: router.enforce_disagg: every request would be refused: no pool has role = "prefill"'],
    ),
    "enforced and conditional": (
        GOOD + "[router]\nenforce_disagg = true\nconditional_disagg = {}",
        [
            "F:5: router.enforce_disagg: prompts cannot both have to leave and stay (conditional_disagg); "
            "leave one of the two out"
        ],
    ),
    "a key of conditional": (
        GOOD + "[router.conditional_disagg]\neff_isl_treshold = 3\npolicy = 'always'",
        [
            "F:5: router.conditional_disagg.eff_isl_treshold: unknown key; did you mean eff_isl_threshold",
            'F:6: router.conditional_disagg.policy: unknown policy "always"; known here: isl_bounding, '
            "prefill_load, isl_or_load",
        ],
    ),
    "tables": (
        GOOD + "[workers.decode.kv_offload]\n[planner]\nsla = 1\n[supervisor]\n[runtime]\ndiscovery = 'etcd'",
        [
            "F:4: workers.decode.kv_offload: not available yet in this release; leave it out",
            "F:5: planner: not available yet in this release; leave it out",
            "F:7: supervisor: not available yet in this release; leave it out",
            "F:9: runtime.discovery: not available yet in this release; leave it out",
        ],
    ),
    "variables": (
        GOOD + 'args = ["${NOT_SET}/x", "$HOME", "${X:-1}", "$${X}", "${X%y}"]',
        [
            "F:4: workers.decode.args[0]: the variable NOT_SET is not set; set it, put it into .env beside the file, "
            "or write ${NOT_SET:-default}",
            'F:4: workers.decode.args[4]: found "${X%y}"; write ${NAME} or ${NAME:-default}, and $${ for a literal ${',
        ],
    ),
    "depends table": (
        GOOD + 'depends_on = { frontend = "exited", x = "ready", b = "done", c = { log = "(" }, d = {} }\n'
        '[services.b]\ncommand = "true"\n[services.c]\ncommand = "true"\n[services.d]\ncommand = "true"',
        [
            'F:4: workers.decode.depends_on.b: unknown condition "done"; known here: started, ready, exited',
            "F:4: workers.decode.depends_on.c.log: not a regular expression: missing ), unterminated subpattern "
            "at position 0",
            'F:4: workers.decode.depends_on.d: expected { log = "a regular expression" }',
        ],
    ),
    "depends conditions": (
        GOOD + 'depends_on = { frontend = "exited", b = "exited", x = "ready" }\n'
        '[services.b]\ncommand = "true"\nrestart = "always"',
        [
            "F:4: workers.decode.depends_on.frontend: frontend does not end by itself; "
            "wait until it is ready or started",
            'F:4: workers.decode.depends_on.b: b has restart = "always" and so never ends',
            'F:4: workers.decode.depends_on.x: no pool or service "x"; known here: frontend, b',
        ],
    ),
    "services": (
        GOOD + '[services.decode]\ncommand = []\n[services.decode-1]\ncommand = "a \'"\n[services.web]\n'
        'command = "serve {port:http} {port:htp}"\nports = ["http", "X"]\n[services.empty]\n'
        '[services.frontend]\ncommand = "x"\n[services.cwd]\ncommand = "x"\ncwd = "/not/there"\n'
        '[services.control]\ncommand = "x"',
        [
            "F:4: services.decode: a pool of workers has this name too; choose another one",
            "F:5: services.decode.command: must not be empty",
            "F:6: services.decode-1: is what a replica of decode is called; choose another name",
            "F:7: services.decode-1.command: not a command: no closing quotation",
            'F:10: services.web.ports[1]: must be lower-case letters, digits, "-" and "_", beginning with a letter, '
            'found "X"',
            "F:11: services.empty.command: is missing; a service is a command",
            "F:12: services.frontend: the name frontend is taken by our own; choose another service name",
            "F:16: services.cwd.cwd: there is no directory /not/there",
            "F:17: services.control: the name control is taken by our own; choose another service name",
        ],
    ),
    "service ports": (
        GOOD + '[services.web]\ncommand = "serve {port:htp}"\nports = ["http"]\nenv = { P = "{port:x}" }\n'
        'probe = { tcp = "http" }\n[services.b]\ncommand = "b {port:a}"',
        [
            'F:5: services.web.command: no port "htp"; did you mean http',
            'F:7: services.web.env.P: no port "x"; known here: http',
            'F:8: services.web.probe.tcp: expected a port or {port:NAME}, found "http"',
            'F:10: services.b.command: no port "a"; add ports = ["a"]',
        ],
    ),
    "probes": (
        GOOD + '[services.a]\ncommand = "a"\nprobe = { http = "/", tcp = 80 }\n[services.b]\ncommand = "b"\n'
        'probe = { log = "[" }\n[services.c]\ncommand = "c"\nprobe = { http = "/health" }\n[services.d]\n'
        'command = "d"\nprobe = { exec = [] }\n[services.e]\ncommand = "e"\nprobe = { http = "https://x" }',
        [
            "F:6: services.a.probe: expected exactly one of http, tcp, exec, log, found 2",
            "F:9: services.b.probe.log: not a regular expression: unterminated character set at position 0",
            'F:12: services.c.probe.http: a path needs a port to ask; add ports = ["http"] or write the whole URL',
            "F:15: services.d.probe.exec: must not be empty",
            "F:18: services.e.probe.http: https is not available yet; use http or exec",
        ],
    ),
    "memory and liveness": (
        GOOD + 'memory_limit = "8 gigs"\nliveness = 3\n[services.a]\ncommand = "a"\nmemory_limit = -1\n'
        "liveness = { failures = 0 }",
        [
            'F:4: workers.decode.memory_limit: expected bytes, such as "8GiB" or "500MB", found "8 gigs"',
            "F:5: workers.decode.liveness: expected true or false, found the whole number 3",
            "F:8: services.a.memory_limit: must be between 0 and 1152921504606846976, found -1",
            "F:9: services.a.liveness.failures: must be between 1 and 1000, found 0",
        ],
    ),
    "a system port for several": (
        GOOD + 'replicas = 2\nenv = { DYN_SYSTEM_PORT = "8081" }',
        [
            "F:5: workers.decode.env.DYN_SYSTEM_PORT: the 2 replicas cannot all listen on port 8081; "
            "write 0 for any free one"
        ],
    ),
    "adapters of a command": (
        '[workers.decode]\nengine = "custom"\noptions.command = ["x"]\nadapters = { a = "b" }',
        ["F:4: workers.decode.adapters: a command of your own loads its adapters itself; leave this out"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), TABLE.values(), ids=TABLE.keys())
def test_each_problem_is_one_exact_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


def test_a_system_port_of_the_environment_is_inherited_by_all_replicas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DYN_SYSTEM_PORT", "8081")
    assert problems(tmp_path, GOOD + "replicas = 2") == [
        "F:4: workers.decode.replicas: the 2 replicas cannot all listen on port 8081, the DYN_SYSTEM_PORT of the "
        'environment; write env = { DYN_SYSTEM_PORT = "0" } for any free one'
    ]
    for good in (GOOD, GOOD + 'replicas = 2\nenv = { DYN_SYSTEM_PORT = "0" }'):
        (tmp_path / "good.toml").write_text(good)
        load_topology(tmp_path / "good.toml")


def test_all_problems_at_once_in_order_of_lines(tmp_path: Path) -> None:
    text = 'name = ""\n[router]\nmode = "kw"\n[workers.a]\nreplicas = -1\n[frontend]\nport = "x"\n'
    found = problems(tmp_path, text, "frontend.host=5", "nmae=x")
    assert [line.split(": ")[0] for line in found] == [
        "F:1", "F:3", "F:4", "F:5", "F:7", "--set frontend.host", "--set nmae",
    ]  # fmt: skip


SYNTAX = {
    "not closed": ("a = 1\nb = [1,\n", 2),
    "no value": (GOOD + "x =\n", 4),
    "no key": (GOOD + "= 1\n", 4),
    "key twice": (GOOD + 'engine = "echo"\n', 4),
    "pool twice": (GOOD + "[workers.decode]\n", 4),
    "string not closed": ('a = "x\nb = 1', 1),
    "another language": ("\r\n\r\nimport x\r\n", 3),
    "too deep": ("a = " + "[" * 9999, 1),
    "too long a number": ("a = " + "9" * 9999, 1),
}


@pytest.mark.parametrize(("text", "line"), SYNTAX.values(), ids=SYNTAX.keys())
def test_a_syntax_error_has_its_line(tmp_path: Path, text: str, line: int) -> None:
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(f"F:{line}: not valid TOML: ")


def test_a_syntax_error_has_its_column(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD + "x =\n") == ["F:4: not valid TOML: invalid value (column 4)"]
