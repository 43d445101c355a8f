"""`--devices`: one command, several processes, one console; how they end when one of them does."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from graph_runner.__main__ import main
from graph_runner.cli import launch
from tests.graph_runner.cli.test_process import EVENTS, gathering, outputs, started, wait_for

PACKAGES = [word for name in ("toys", "slow_toys") for word in ("--nodes", f"tests.graph_runner.{name}")]
TWO = [*PACKAGES, "--devices", "2"]


def command(
    here: Path, *arguments: str, n: int = 4, pause: float = 0, inner: dict[str, object] | None = None
) -> list[str]:
    _, *rest = gathering(here, n, pause, inner)
    return ["-m", "graph_runner", *rest, *TWO, *arguments]


def children(process: subprocess.Popen[str]) -> list[int]:
    """The processes that a launcher started, the first one first."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(entry.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            words = entry.joinpath("cmdline").read_bytes()
        except (OSError, IndexError):
            continue
        if parent == process.pid and b"graph_runner" in words:
            found.append(int(entry.name))
    return sorted(found)


def wait_until_gone(pids: list[int], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < end, alive
        time.sleep(0.05)


def trains(here: Path) -> bool:
    return any('"progress"' in path.read_text() for path in here.glob(EVENTS))


@pytest.mark.slow
def test_two_processes_are_started_with_one_console_and_a_log(tmp_path: Path) -> None:
    with started(tmp_path, command(tmp_path)) as process:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert outputs(tmp_path) == [2.0 * (0 + 1 + 2 + 3) * (1 + 2) / 2], "the mean over ranks 0 and 1"
    assert out.count("Done in") == 1
    assert "2 processes" in err
    (run,) = tmp_path.glob("workspace/runs/*")
    assert (run / "processes" / "1.stderr.log").exists()
    assert not list(tmp_path.glob("workspace/runs/.*"))


def test_a_node_that_fails_in_one_process_ends_all_with_its_own_error(tmp_path: Path) -> None:
    arguments = command(tmp_path, "--checkpoint-seconds", "0", n=12, inner={"type": "trip"})
    with started(tmp_path, arguments) as process:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 1, err
    assert err.count("it tripped") == 1
    assert "process 1: inner: it tripped; look where you go" in err
    assert "Traceback" not in out + err
    assert "torch" not in err
    (log,) = tmp_path.glob("workspace/runs/*/processes/1.stderr.log")
    assert str(log.relative_to(tmp_path)) in err
    assert "raise ValueError" in log.read_text()
    events = [json.loads(line) for line in next(tmp_path.glob(EVENTS)).read_text().splitlines()]
    assert [event["node"] for event in events if event["event"] == "failed"] == ["inner"]
    with started(tmp_path, arguments) as process:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert "goes on from step 4" in err


@pytest.mark.slow
def test_what_is_wrong_with_a_workflow_is_told_once(tmp_path: Path) -> None:
    arguments = command(tmp_path, "--set", "gathered.nothing=3")
    with started(tmp_path, arguments) as process:
        _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert err.count("no parameter 'nothing'") == 1
    assert not list(tmp_path.glob("workspace/runs/.*"))


@pytest.mark.slow
def test_a_killed_process_ends_all_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = command(tmp_path, "--checkpoint-seconds", "0", n=60, pause=0.1)
    with started(tmp_path, arguments) as process:
        wait_for(lambda: trains(tmp_path), process)
        _, second = children(process)
        os.kill(second, signal.SIGKILL)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 1, err
    assert "process 1 was killed: most often the system ran out of memory" in err
    assert "The same command goes on" in err
    with started(tmp_path, arguments) as process:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert "goes on from step" in err
    assert outputs(tmp_path) == [2.0 * sum(range(60)) * 1.5]


@pytest.mark.slow
def test_ctrl_c_stops_all_with_a_checkpoint_and_the_same_command_goes_on(tmp_path: Path) -> None:
    arguments = command(tmp_path, n=100, pause=0.05)
    with started(tmp_path, arguments) as process:
        wait_for(lambda: trains(tmp_path), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 130, err
    assert err.count("Stopping at the end of this step") == 1
    assert "the same command goes on" in out
    assert json.loads(next(tmp_path.glob(EVENTS)).read_text().splitlines()[-1])["status"] == "stopped"
    with started(tmp_path, arguments) as process:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert "goes on from step" in err
    assert outputs(tmp_path) == [2.0 * sum(range(100)) * 1.5]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a second Ctrl-C", "SIGKILL"])
def test_no_process_outlives_the_one_that_started_it(how: str, tmp_path: Path) -> None:
    with started(tmp_path, command(tmp_path, n=2, pause=200)) as process:
        wait_for(lambda: any(tmp_path.glob("workspace/runs/*/checkpoints.json")), process)
        both = children(process)
        assert len(both) == 2
        if how == "SIGKILL":
            process.kill()
        else:
            process.send_signal(signal.SIGINT)
            assert process.stderr is not None
            while "Ctrl-C again" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            process.wait(timeout=60)
            assert process.returncode == 130
        wait_until_gone(both)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--devices", "1000", "--device", "cpu"], "--devices 1000: this machine has"),
        (["--devices", "0,2", "--device", "cpu"], "names GPUs, and this runs on the CPU"),
        (["--devices", "2", "--device", "cuda:1"], "--device cuda:1 is one device"),
        (["--devices", "2", "--device", "mps"], "there is one MPS device"),
    ],
)
def test_what_cannot_be_started_is_refused(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gathering(tmp_path, 2, 0)
    workspace = ["--workspace", str(tmp_path / "workspace")]
    assert main([str(tmp_path / "gather.json"), *PACKAGES, *workspace, *arguments]) == 2
    assert told in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("devices", ["0", "two", "1,1", "-2", "1,", "2.5"])
def test_what_names_no_devices_is_refused(devices: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["any.json", f"--devices={devices}"])
    assert "--devices" in capsys.readouterr().err


def test_torchrun_and_devices_are_refused_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gathering(tmp_path, 2, 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main([str(tmp_path / "gather.json"), "--devices", "2", "--workspace", str(tmp_path)]) == 2
    assert "Leave --devices out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("devices", "seen", "wanted"),
    [(2, "", "0,1"), ((0, 2), "", "0,2"), ((3, 1), "", "3,1"), (2, "4,6,7", "4,6"), ((2, 0), "4,6,7", "7,4")],
)
def test_gpus_are_chosen_among_those_that_are_to_be_seen(
    devices: int | tuple[int, ...], seen: str, wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", seen)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: len(seen.split(",")) if seen else 4)
    assert launch._chosen(devices, "auto") == 2
    assert os.environ["CUDA_VISIBLE_DEVICES"] == wanted


@pytest.mark.parametrize("devices", [5, (0, 4)])
def test_more_gpus_than_there_are_is_refused(devices: int | tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    with pytest.raises(launch.WorkflowError, match="no GPU 4; it has 4 GPUs"):
        launch._chosen(devices, "auto")
