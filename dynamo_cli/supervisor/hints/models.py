"""Models that cannot be had, read, or run: hubs, files, formats, tokenizers and templates."""

from __future__ import annotations

import re

from dynamo_cli.supervisor.hints.rule import Advice, Failed, rule

TRUST = {"trtllm": "--trust_remote_code"}


def _longest(match: re.Match[str], failed: Failed) -> Advice:
    flag = "--context-length" if match["kind"] == "context_length" else "--max-model-len"
    return Advice(
        f"the model was trained for {match['longest']} tokens, and {match['wanted']} are asked for",
        f"give {flag} {match['longest']}",
    )


def _trust(match: re.Match[str], failed: Failed) -> Advice:
    flag = TRUST.get(failed.family, "--trust-remote-code")
    return Advice("the model brings code of its own", f"look at that code; if you trust it, give {flag}")


def _dtype(match: re.Match[str], failed: Failed) -> Advice:
    return Advice("this GPU is too old for bfloat16", "give --dtype half")


RULES = (
    rule(
        "gated-model",
        r"Access to model (\S+) is restricted|(?:Cannot access|trying to access a) gated repo(?: for url "
        r"https?://[^/]+/(?:api/models/)?([\w.-]+/[\w.-]+))?|is a gated repository",
        (
            "the model {0} is gated",
            "ask for access on its page at huggingface.co, then set HF_TOKEN (or `hf auth login`)",
        ),
        "huggingface_hub.errors.GatedRepoError: 401 Client Error. Cannot access gated repo for url "
        "https://huggingface.co/meta-llama/Llama-3.1-8B/resolve/main/config.json.",
    ),
    rule(
        "model-not-found",
        r"Repository Not Found for url: https?://[^/]+/(?:api/models/)?([\w.-]+/[\w.-]+)"
        r"|(\S+) is not a local folder and is not a valid model identifier"
        r"|Invalid repository ID or local directory specified: '([^']+)'"
        r"|Repo id must be in the form 'repo_name' or 'namespace/repo_name': '([^']+)'",
        (
            "there is no model {0}, or it is private",
            "check the name, or set HF_TOKEN for a private one; `dynamo pull NAME` tries it alone",
        ),
        "OSError: no-such/model is not a local folder and is not a valid model identifier listed on "
        "'https://huggingface.co/models'",
    ),
    rule(
        "hub-unauthorized",
        r"401 Client Error: Unauthorized for url|Invalid (?:username or password|user token)",
        ("the hub refuses the token", "set a valid HF_TOKEN, or unset a wrong one"),
        "requests.exceptions.HTTPError: 401 Client Error: Unauthorized for url: https://huggingface.co/api/whoami-v2",
    ),
    rule(
        "hub-unreachable",
        r"Cannot find an appropriate cached snapshot folder|offline mode is enabled"
        r"|couldn't connect to 'https://huggingface\.co'|cannot find the requested files in the (?:disk|local) cache",
        (
            "the model is not on this disk, and the hub cannot be reached",
            "run `dynamo pull NAME` where there is a network, unset HF_HUB_OFFLINE, or give a path",
        ),
        "huggingface_hub.errors.LocalEntryNotFoundError: Cannot find an appropriate cached snapshot folder for the "
        "specified revision on the local disk and outgoing traffic has been disabled.",
    ),
    rule(
        "model-files",
        r"(\S+) does not appear to have a file named (?:config\.json|pytorch_model\.bin|model\.safetensors)"
        r"|No weight files found in (\S+?)\.?$|Cannot find any model weights with `([^`]+)`",
        ("{0} holds no model in Hugging Face format", "give a directory with config.json and safetensors files"),
        "OSError: /models/llama does not appear to have a file named config.json. Checkout "
        "'https://huggingface.co//models/llama/tree/main' for available files.",
    ),
    rule(
        "model-file-missing",
        r"(?:failed to open|failed to load model from|failed to open GGUF file) '?([^' ]+\.gguf)'?",
        ("{0} cannot be opened", "check the path and its permissions"),
        "gguf_init_from_file: failed to open GGUF file '/models/missing.gguf' (No such file or directory)",
    ),
    rule(
        "model-file-broken",
        r"invalid magic characters|failed to read magic|is not within the file bounds, model is corrupted or incomplete"
        r"|Error while deserializing header: (?:HeaderTooLarge|HeaderTooSmall|InvalidHeader|MetadataIncompleteBuffer)"
        r"|SafetensorError: Error while deserializing|failed to read tensor (?:info|data)",
        (
            "the model's file is broken or was not fetched to its end",
            "delete it and fetch it again (`dynamo pull NAME`)",
        ),
        "safetensors_rust.SafetensorError: Error while deserializing header: MetadataIncompleteBuffer",
    ),
    rule(
        "context-length",
        r"User-specified (?P<kind>max_model_len|context_length) \((?P<wanted>\d+)\) is greater than the derived "
        r"\w+ \((?:\w+=)?(?P<longest>\d+)",
        _longest,
        "Value error, User-specified max_model_len (100000) is greater than the derived max_model_len "
        "(max_position_embeddings=8192 or model_max_length=None in model's config.json).",
    ),
    rule(
        "architecture",
        r"Model architectures? \[?'?([\w, ']+?)'?\]? (?:are|is) not supported|unknown model architecture: '(\w+)'"
        r"|model type `(\w+)` but Transformers does not recognize|Unsupported (?:model )?architecture:? '?(\w+)",
        ("this version of the engine does not know the architecture {0}", "update the engine, or take another one"),
        "ValueError: Model architectures ['FooForCausalLM'] are not supported for now. Supported architectures: "
        "dict_keys(['LlamaForCausalLM'])",
    ),
    rule(
        "dtype",
        r"Bfloat16 is only supported on GPUs with compute capability of at least",
        _dtype,
        "ValueError: Bfloat16 is only supported on GPUs with compute capability of at least 8.0. Your Tesla T4 GPU has "
        "compute capability 7.5. You can use float16 instead by explicitly setting the `dtype` flag in CLI, for "
        "example: --dtype=half.",
    ),
    rule(
        "quantization-dtype",
        r"torch\.\w+ is not supported for quantization method (\w+)\. Supported dtypes: \[torch\.\w+",
        ("quantization {0} does not work with this dtype", "give --dtype half"),
        "ValueError: torch.bfloat16 is not supported for quantization method gptq. Supported dtypes: [torch.float16]",
    ),
    rule(
        "quantization-gpu",
        r"The quantization method (\S+) is not supported for the current GPU",
        ("this GPU is too old for quantization {0}", "take the model in another quantization, or a newer GPU"),
        "ValueError: The quantization method fp8 is not supported for the current GPU. Minimum capability: 89. "
        "Current capability: 75.",
    ),
    rule(
        "quantization",
        r"Unknown quantization method: (\S+?)\.|(\w+) quantization is currently not supported"
        r"|specified in the model config \((\w+)\) does not match the quantization",
        ("the engine cannot run this model with quantization {0}", "leave --quantization out, or give the model's own"),
        "ValueError: Unknown quantization method: foo. Must be one of ['awq', 'fp8', 'gptq'].",
    ),
    rule(
        "trust-remote-code",
        r"contains custom code which must be executed|requires you to execute the (?:configuration|tokenizer|modeling) "
        r"file|using the `--trust-remote-code` flag",
        _trust,
        "ValueError: The repository org/model contains custom code which must be executed to correctly load the model.",
    ),
    rule(
        "chat-template",
        r"default chat template is no longer allowed|tokenizer\.chat_template is not set|No chat template available"
        r"|does not have a chat template|no template argument was passed",
        ("the model has no chat template", "give one with --custom-jinja-template FILE, or ask /v1/completions"),
        "ValueError: Cannot use chat template functions because tokenizer.chat_template is not set and no template "
        "argument was passed!",
    ),
    rule(
        "tokenizer",
        r"Can't load tokenizer for '([^']+)'|Couldn't instantiate the backend tokenizer",
        (
            "the model's tokenizer cannot be loaded",
            "its directory needs tokenizer.json, or sentencepiece or tiktoken must be installed",
        ),
        "OSError: Can't load tokenizer for '/models/base'. If you were trying to load it from "
        "'https://huggingface.co/models', make sure you don't have a local directory with the same name.",
    ),
)
