"""Which origins go through which proxy."""

from __future__ import annotations

import pytest

from headrace.platform.http.messages import Origin
from headrace.platform.http.proxy import Proxy, ProxyPlan

PROXY = "http://proxy.test:3128"


@pytest.mark.parametrize(
    ("environment", "url", "expected"),
    [
        ({}, "https://a.test", None),
        ({"HTTPS_PROXY": PROXY}, "https://a.test", "proxy.test"),
        ({"HTTPS_PROXY": PROXY}, "http://a.test", None),
        ({"HTTP_PROXY": PROXY}, "http://a.test", "proxy.test"),
        ({"HTTP_PROXY": PROXY, "REQUEST_METHOD": "GET"}, "http://a.test", None),
        ({"http_proxy": PROXY, "REQUEST_METHOD": "GET"}, "http://a.test", "proxy.test"),
        ({"ALL_PROXY": PROXY}, "https://a.test", "proxy.test"),
        ({"all_proxy": PROXY}, "http://a.test", "proxy.test"),
        ({"HTTPS_PROXY": "http://b.test", "https_proxy": PROXY}, "https://a.test", "proxy.test"),
        ({"HTTPS_PROXY": PROXY, "https_proxy": ""}, "https://a.test", None),
        ({"HTTPS_PROXY": "proxy.test:3128"}, "https://a.test", "proxy.test"),
        ({"HTTPS_PROXY": PROXY}, "https://localhost", None),
        ({"HTTPS_PROXY": PROXY}, "https://x.localhost", None),
        ({"HTTPS_PROXY": PROXY}, "https://127.8.8.8", None),
        ({"HTTPS_PROXY": PROXY}, "https://[::1]:8443", None),
    ],
)
def test_from_environment(environment: dict[str, str], url: str, expected: str | None) -> None:
    proxy = ProxyPlan.from_environment(environment).proxy_for(Origin.of(url))
    assert (proxy.host if proxy else None) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "bypassed"),
    [
        ("*", "https://a.test", True),
        ("a.test", "https://a.test", True),
        ("a.test", "https://A.TEST", True),
        ("A.Test", "https://x.a.test", True),
        (".a.test", "https://x.a.test", True),
        (".a.test", "https://a.test", True),
        ("a.test", "https://ba.test", False),
        ("b.test, a.test", "https://a.test", True),
        ("a.test:443", "https://a.test", True),
        ("a.test:8443", "https://a.test", False),
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.0.0.0/8", "https://a.test", False),
        ("10.1.2.3", "https://10.1.2.3", True),
        ("10.1.2.3:8443", "https://10.1.2.3", False),
        ("fd00::/8", "https://[fd00::5]", True),
        ("[fd00::5]:443", "https://[fd00::5]", True),
        ("fd00::5", "https://[fd00::5]", True),
        ("nonsense/99", "https://10.1.2.3", False),
        ("", "https://a.test", False),
        (" , ,", "https://a.test", False),
    ],
)
def test_no_proxy(no_proxy: str, url: str, bypassed: bool) -> None:
    plan = ProxyPlan.from_environment({"HTTPS_PROXY": PROXY, "NO_PROXY": no_proxy})
    assert (plan.proxy_for(Origin.of(url)) is None) is bypassed


def test_credentials_are_sent_but_never_shown() -> None:
    plan = ProxyPlan.from_environment({"HTTPS_PROXY": "http://user:canary@proxy.test"})
    proxy = plan.proxy_for(Origin.of("https://a.test"))
    assert proxy is not None
    assert proxy.authorization == b"Basic dXNlcjpjYW5hcnk="
    assert proxy.port == 80
    for shown in (repr(plan), str(plan), repr(proxy), str(proxy), f"{proxy}"):
        assert "canary" not in shown
        assert "dXNlcjpjYW5hcnk" not in shown


@pytest.mark.parametrize(
    "url",
    ["socks5://u:canary@p.test", "http://u:canary@p.test:port", "http://u:canary@[::1", "http://"],
)
def test_a_bad_proxy_is_refused_by_the_name_of_its_variable(url: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY: ") as caught:
        ProxyPlan.from_environment({"HTTPS_PROXY": url})
    assert "canary" not in str(caught.value)


def test_parse_ipv6() -> None:
    assert Proxy.parse("https://[fd00::1]") == Proxy("https", "fd00::1", 443)
