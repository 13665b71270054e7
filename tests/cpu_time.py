"""Measures the CPU time of tests and fails those that take it unmarked.

CPU time, not the clock's: a busy machine makes a test late, hardly slow.
"""

import collections
import os

import pytest
import warm

LIMIT = 2  # seconds of a test that is not marked slow


def cpu_seconds():
    """CPU time of this process and of the children that it waited for."""
    return sum(os.times()[:4]) + warm.cpu_seconds()


class CpuTime:
    """A plugin of pytest; with xdist each process measures its own tests."""

    def __init__(self):
        self.spent = collections.Counter()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item):
        yield from self._measured(item, 'setup')

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item):
        yield from self._measured(item, 'teardown')

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item):
        result = yield from self._measured(item, 'call')
        spent = dict(item.user_properties)['cpu of call']
        if spent > LIMIT and item.get_closest_marker('slow') is None:
            pytest.fail(
                f'{item.nodeid} took {spent:.1f} s of CPU, more than {LIMIT}: '
                'make it quicker, or mark it with @pytest.mark.slow',
                pytrace=False,
            )
        return result

    def _measured(self, item, phase):
        before = cpu_seconds()
        try:
            return (yield)
        finally:
            spent = cpu_seconds() - before
            item.user_properties.append((f'cpu of {phase}', spent))

    def pytest_runtest_logreport(self, report):
        """Add up, in the process that prints, what all have measured."""
        if report.when == 'teardown':
            for name, seconds in report.user_properties:
                if name.startswith('cpu of '):
                    self.spent[report.nodeid] += seconds

    def pytest_terminal_summary(self, terminalreporter, config):
        shown = config.getoption('--cpu')
        if not shown:
            return
        files = collections.Counter()
        for name, seconds in self.spent.items():
            files[name.partition('::')[0]] += seconds
        total = sum(files.values())
        terminalreporter.section(f'{total:.1f} s of CPU')
        for counted in (files, self.spent):
            for name, seconds in counted.most_common(shown):
                terminalreporter.line(f'{seconds:8.1f} s  {name}')
