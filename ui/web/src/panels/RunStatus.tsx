/** How a run fares, in a line, and the button that stops it. */
import { CircleAlert, Square } from "lucide-react";
import { clock } from "../drawing/format";
import type { Run } from "../server/types";
import { cancel, useRuns } from "../state/runs";
import { RunShare } from "./RunShare";

export function StopButton({ run }: { run: Run }) {
  const stopping = run.status === "stopping";
  return (
    <button
      className={`stop-button${stopping ? " stopping" : ""}`}
      data-tip={stopping ? "text|Stop now, by force" : "text|Stop after this step"}
      data-shortcut="Stop; again: by force"
      onClick={() => void cancel(run.run, stopping)}
    >
      <Square size={12} aria-hidden /> {stopping ? "Force" : "Stop"}
    </button>
  );
}

/** Of the run that goes on, or, without one, of the last that is shown. */
export function RunStatus({ run }: { run: Run | undefined }) {
  const waiting = useRuns(
    (state) => Object.values(state.runs).filter((other) => other.status === "queued").length,
  );
  const online = useRuns((state) => state.online);
  const starting = useRuns((state) => state.workers.some((worker) => worker.state === "starting"));
  // What a run has to say before it begins: that it waits for another one.
  const waits = useRuns(({ view }) =>
    run?.status === "running" && view.run === run.run && view.status === "queued"
      ? (view.logs.at(-1)?.message ?? "")
      : "",
  );
  return (
    <span className="run-status" role="status">
      {!online ? (
        <span className="offline">
          <CircleAlert size={13} aria-hidden /> not connected
        </span>
      ) : run ? (
        <>
          Run {run.run} {waits || (run.status === "queued" ? "waits" : run.status)}
          {waiting > 0 ? ` · ${waiting} waiting` : ""}
          <RunShare />
        </>
      ) : starting ? (
        "Starting…"
      ) : (
        <LastRun />
      )}
    </span>
  );
}

/** How the run that is shown ended. */
function LastRun() {
  const run = useRuns((state) => (state.view.run === null ? undefined : state.runs[state.view.run]));
  if (!run) return null;
  const spent =
    run.started !== null && run.ended !== null ? ` · ${clock(Math.max(0, run.ended - run.started))}` : "";
  return (
    <span className={`last-run ${run.status}`}>
      Run {run.run} {run.status}
      {spent}
    </span>
  );
}
