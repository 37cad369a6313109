from __future__ import annotations

import pytest

from dynamo_cli.bench.target import parse_url, served_models
from dynamo_cli.errors import UsageError


@pytest.mark.parametrize("proxy", ["socks://127.0.0.1:9", "socks5://127.0.0.1:9", "http://127.0.0.1:port"])
def test_a_proxy_that_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    try:
        import socksio  # noqa: F401
    except ImportError:
        pass
    else:
        if proxy.startswith("socks5"):
            pytest.skip("httpx can use it here")
    with pytest.raises(UsageError, match="the proxy that ALL_PROXY, HTTP_PROXY or HTTPS_PROXY names: "):
        served_models(parse_url("http://192.0.2.1:8000"))


def test_a_name_that_no_host_can_have_is_an_error_of_the_url() -> None:
    with pytest.raises(UsageError, match=r"--url http://a\.\.b: "):
        parse_url("http://a..b")
    assert parse_url("http://[::1]:8").host == "::1"
