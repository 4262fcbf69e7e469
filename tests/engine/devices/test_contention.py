from __future__ import annotations

import pytest

from engine.devices.contention import CpuTimes, contested, cpu_times

BEGAN = CpuTimes(moment=10.0, busy_s=500.0, own_s=7.0)


def after(elapsed: float, busy: float, own: float) -> CpuTimes:
    return CpuTimes(BEGAN.moment + elapsed, BEGAN.busy_s + busy, BEGAN.own_s + own)


@pytest.mark.parametrize(
    ("others", "threads", "cores", "expected"),
    [
        (0.0, 2, 2, 0.0), (0.5, 2, 2, 0.25), (2.0, 2, 2, 1.0), (1.0, 1, 2, 0.0), (1.5, 1, 2, 0.5),
        (50.0, 2, 64, 0.0), (9.0, 2, 2, 1.0),
    ],
)  # fmt: skip
def test_others_count_where_the_cores_do_not_suffice(
    others: float, threads: int, cores: int, expected: float
) -> None:
    """Over ten seconds in which this process keeps a core busy."""
    end = after(10.0, 10 * others + 10.0, 10.0)
    assert contested(BEGAN, end, threads, cores) == pytest.approx(expected)


def test_no_time_and_no_threads_are_not_contested() -> None:
    assert contested(BEGAN, BEGAN, 2, 2) == 0
    assert contested(BEGAN, after(10.0, 40.0, 0.0), 0, 2) == 0


def test_counters_go_on_and_include_this_process() -> None:
    before = cpu_times()
    sum(range(3_000_000))
    now = cpu_times()
    assert now.moment > before.moment
    assert now.own_s > before.own_s
    assert now.busy_s >= before.busy_s
