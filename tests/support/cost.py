"""What tests cost: `PYTHONPATH=tests pytest -p support.cost PATH` ends with CPU seconds by file and
of the dearest tests. A process counts where it is waited for: forks, all at the end."""

from __future__ import annotations

import resource
import time
from collections import defaultdict
from collections.abc import Generator

import pytest

SHOWN = 25


class Cost:
    """CPU seconds of this process, and of the processes that it started and waited for."""

    def __init__(self) -> None:
        self._own: defaultdict[str, float] = defaultdict(float)
        self._others: defaultdict[str, float] = defaultdict(float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        own_s, others_s = time.process_time(), _others_s()
        result = yield
        for name in (item.nodeid.partition("::")[0], item.nodeid):
            self._own[name] += time.process_time() - own_s
            self._others[name] += _others_s() - others_s
        return result

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        dearest = sorted(self._own, key=lambda name: -self._own[name] - self._others[name])
        files = [name for name in dearest if "::" not in name]
        tests = [name for name in dearest if "::" in name]
        terminalreporter.section("CPU seconds: own, of others")
        for name in (*files[:SHOWN], *tests[:SHOWN]):
            terminalreporter.line(f"{self._own[name]:8.1f} {self._others[name]:8.1f}  {name}")
        terminalreporter.line(f"{time.process_time():8.1f} {_others_s():8.1f}  in all")


def _others_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Cost())
