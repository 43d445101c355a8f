"""Where the processes that `graph_runner.cli.launch` starts write: the first to the console, each other one into logs."""

from __future__ import annotations

import os
from pathlib import Path

from torch.distributed.elastic.multiprocessing import LogsDest, LogsSpecs


class Logs(LogsSpecs):
    """folder: of the logs, two for each process but the first. reports: of what failing ones say (`launch.report`)."""

    def __init__(self, folder: Path, reports: Path) -> None:
        super().__init__()
        self.folder, self.reports = folder, reports

    def reify(self, envs: dict[int, dict[str, str]]) -> LogsDest:
        """The places of these processes, by their number on this machine."""
        out, err = (
            {rank: str(self.folder / f"{rank}.{stream}.log") if rank else "" for rank in envs}
            for stream in ("stdout", "stderr")
        )
        reports = {rank: str(self.reports / f"{rank}.json") for rank in envs}
        for rank, report in reports.items():
            envs[rank]["TORCHELASTIC_ERROR_FILE"] = report
        return LogsDest(out, err, {}, {}, reports, os.devnull, os.devnull)

    @property
    def root_log_dir(self) -> str:
        """The folder of the logs."""
        return str(self.folder)
