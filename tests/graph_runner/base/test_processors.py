"""What a process may use of a machine, and what others leave of it, on machines made of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from graph_runner.base.processors import available, busy, cpu_quota


def machine(folder: Path, groups: str, **files: str) -> tuple[Path, Path]:
    """/proc and /sys/fs/cgroup, with these groups of the process and these files in their folders."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self" / "cgroup").write_text(groups)
    cgroups.mkdir()
    for name, text in files.items():
        path = cgroups / name.replace("__", "/").replace("_max", ".max").replace("cfs", "cpu.cfs")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return proc, cgroups


@pytest.mark.parametrize(
    ("groups", "files", "wanted"),
    [
        ("0::/\n", {"cpu_max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu_max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a__cpu_max": "200000 100000", "a__b__cpu_max": "max 100000"}, 2.0),
        ("0::/a/b\n", {"a__cpu_max": "50000 100000", "a__b__cpu_max": "400000 100000"}, 0.5),
        ("0::/of/the/host\n", {"cpu_max": "300000 100000"}, 3.0),
        ("0::/../..\n", {"cpu_max": "300000 100000"}, 3.0),
        ("4:cpu,cpuacct:/x\n", {"cpu__x__cfs_quota_us": "250000", "cpu__x__cfs_period_us": "100000"}, 2.5),
        ("4:cpu:/\n", {"cpu__cfs_quota_us": "-1", "cpu__cfs_period_us": "100000"}, None),
        ("4:cpu:/\n0::/\n", {"cpu__cfs_quota_us": "100000", "cpu__cfs_period_us": "100000"}, 1.0),
        ("4:memory:/x\n", {"memory__x__cpu_max": "100000 100000"}, None),
        ("0::/\n", {"cpu_max": "nonsense"}, None),
        ("", {}, None),
    ],
)
def test_the_quota_of_a_container(groups: str, files: dict[str, str], wanted: float | None, tmp_path: Path) -> None:
    assert cpu_quota(*machine(tmp_path, groups, **files)) == wanted


@pytest.mark.parametrize(("quota", "most"), [("50000", 1), ("150000", 1), ("100000", 1), ("99900000", 999)])
def test_a_part_of_a_processor_is_none_but_the_first_always_is(quota: str, most: int, tmp_path: Path) -> None:
    proc, cgroups = machine(tmp_path, "0::/\n", cpu_max=f"{quota} 100000")
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert available(proc, cgroups) == min(allowed, most)


@pytest.mark.parametrize(("running", "wanted"), [("1/300", 0), ("4/300", 3), ("0/300", 0)])
def test_who_wants_a_processor_now_counts_and_not_the_mean_of_a_minute(
    running: str, wanted: int, tmp_path: Path
) -> None:
    (tmp_path / "loadavg").write_text(f"17.00 9.00 3.00 {running} 4242\n")
    assert busy(tmp_path) == wanted


def test_without_that_the_load_average_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (2.6, 9.0, 9.0))
    assert busy(tmp_path) == 3
