/** Runs: what waits, what runs, what was; each with its settings, files and graph. */
import {
  ArrowDown,
  ArrowUp,
  Ban,
  Check,
  CircleAlert,
  Clock,
  Eye,
  FastForward,
  GitCompareArrows,
  History,
  Loader,
  Square,
  Timer,
  Trash2,
  Unplug,
  X,
} from "lucide-react";
import { useEffect, useState } from "react";
import { ago, clock } from "../drawing/format";
import { keysFor, RUN } from "../canvas/shortcuts";
import { useNow } from "../canvas/useNow";
import { read } from "../document/codec";
import { api, fileUrl } from "../server/api";
import type { Output, Run, RunDetail, Status } from "../server/types";
import { openText } from "../state/files";
import { isLive } from "../state/runAge";
import { cancel, clearQueue, forget, goOn, move, moreRuns, useRuns, watch } from "../state/runs";
import { shareNow } from "../state/tabSign";
import { waitOf } from "../state/waiting";
import { openDialog, say, sayError, showPanel, useUi } from "../state/ui";
import { DeviceMemory } from "./DeviceMemory";
import { settingsOf } from "./flatten";
import { LiveMemory } from "./LiveMemory";
import { RunShare } from "./RunShare";

export function RunsPanel() {
  const runs = useRuns((state) => state.runs);
  const compared = useUi((state) => state.compared);
  const devices = useRuns((state) => state.workers.length);
  const [open, setOpen] = useState<number | null>(null);
  const newest = Object.values(runs).sort((a, b) => b.run - a.run);
  const live = newest.filter(isLive).sort((a, b) => a.position - b.position || a.run - b.run);
  const past = newest.filter((run) => !isLive(run));
  const row = (run: Run) => (
    <RunRow
      key={run.run}
      run={run}
      open={open === run.run}
      toggle={() => setOpen(open === run.run ? null : run.run)}
    />
  );
  return (
    <div className="runs">
      {compared.length > 0 ? (
        <p className="compare-bar">
          {compared.length === 1 ? "Choose another run to compare with" : `Runs ${compared.join(" and ")}`}
          <button
            className="small-button"
            disabled={compared.length < 2}
            onClick={() => openDialog("compare")}
          >
            Compare
          </button>
          <button className="small-button" onClick={() => useUi.setState({ compared: [] })}>
            Clear
          </button>
        </p>
      ) : null}
      {devices > 1 ? (
        <p className="quiet">
          Each of the {devices} devices does a run of its own. For one training on several of them say how
          many devices it has, in the menu beside the run button.
        </p>
      ) : null}
      <LiveMemory />
      {live.length > 0 ? (
        <div className="queue-head">
          <h3>Queue</h3>
          {live.some((run) => run.status === "queued") ? (
            <button className="small-button" onClick={() => void clearQueue()}>
              Clear what waits
            </button>
          ) : null}
        </div>
      ) : null}
      <ul>{live.map(row)}</ul>
      <h3>History</h3>
      {past.length === 0 ? (
        <p className="quiet">Nothing has run yet. {keysFor(RUN)} runs the workflow.</p>
      ) : null}
      <ul>{past.map(row)}</ul>
      {past.length >= 50 ? (
        <button className="small-button" onClick={() => void moreRuns()}>
          Older runs
        </button>
      ) : null}
    </div>
  );
}

const ICONS: Record<Status, React.ReactNode> = {
  queued: <Clock size={14} aria-label="queued" />,
  running: <Loader size={14} className="spin" aria-label="running" />,
  stopping: <Loader size={14} className="spin" aria-label="stopping" />,
  done: <Check size={14} aria-label="done" />,
  failed: <CircleAlert size={14} aria-label="failed" />,
  stopped: <Ban size={14} aria-label="stopped" />,
  interrupted: <Unplug size={14} aria-label="interrupted" />,
};

function RunRow({ run, open, toggle }: { run: Run; open: boolean; toggle: () => void }) {
  const shown = useRuns((state) => state.view.run === run.run);
  const now = useNow(isLive(run));
  const spent = run.started === null ? null : (run.ended ?? now) - run.started;
  return (
    <li className={`run ${run.status}${shown ? " shown" : ""}`}>
      <button className="run-row" aria-expanded={open} onClick={toggle}>
        {ICONS[run.status]}
        <span className="run-title">
          <b>{run.title || "Untitled workflow"}</b>
          <small>
            #{run.run} · {ago(run.created)}
            {run.device ? ` · ${run.device}` : ""}
            {run.targets.length > 0 ? ` · to ${run.targets.join(", ")}` : ""}
            {shown ? <RunShare /> : null}
          </small>
          {run.changes.length > 0 ? (
            <small className="run-changes" title={run.changes.join("\n")}>
              {run.changes.join(", ")}
            </small>
          ) : null}
        </span>
        {run.picture ? (
          <img className="run-thumb" src={fileUrl(run.picture, 72)} alt="" loading="lazy" />
        ) : null}
        <span className="run-time">
          {run.status === "queued" ? <Wait run={run} now={now} /> : spent === null ? "" : clock(spent)}
        </span>
      </button>
      {open ? <RunDetails run={run} shown={shown} /> : null}
    </li>
  );
}

/** The place of a run in the queue, and about how long it will wait there. */
function Wait({ run, now }: { run: Run; now: number }) {
  const runs = useRuns((state) => state.runs);
  const devices = useRuns((state) => state.workers.length);
  const view = useRuns((state) => state.view.run);
  const left = shareNow(now)?.left ?? null;
  const known = view === null || left === null ? null : { run: view, seconds: left };
  const wait = waitOf(run, Object.values(runs), now, devices, known);
  return (
    <>
      no. {run.position}
      {wait === null ? "" : ` · in ${clock(Math.max(1, wait))}`}
    </>
  );
}

function RunDetails({ run, shown }: { run: Run; shown: boolean }) {
  const [detail, setDetail] = useState<RunDetail | null>(null);
  const [outputs, setOutputs] = useState<Output[]>([]);
  const compared = useUi((state) => state.compared.includes(run.run));
  useEffect(() => {
    let current = true;
    api.run(run.run).then((found) => current && setDetail(found), sayError);
    api.outputs(run.run).then((found) => current && setOutputs(found), sayError);
    return () => {
      current = false;
    };
  }, [run.run, run.status]);
  const settings = detail ? Object.entries(settingsOf(read(detail.text).doc)) : [];
  const pictures = outputs.filter((output) => output.media.startsWith("image/"));
  const restore = () => {
    if (!detail) return;
    openText(detail.text, run.run);
    say(`This is the graph of run ${run.run}; ${keysFor("Save")} saves it under a name`);
  };
  const compare = () =>
    useUi.setState((state) => ({
      compared: compared
        ? state.compared.filter((other) => other !== run.run)
        : [...state.compared, run.run].slice(-2),
    }));
  return (
    <div className="run-details">
      {run.error ? (
        <p className="run-error">
          {run.node ? <b>{run.node}: </b> : null}
          {run.error}
        </p>
      ) : null}
      <div className="run-actions">
        {run.status === "queued" ? (
          <>
            <button
              className="small-button"
              aria-label={`Sooner: run ${run.run}`}
              disabled={run.position <= 1}
              onClick={() => void move(run.run, run.position - 1)}
            >
              <ArrowUp size={12} aria-hidden />
            </button>
            <button
              className="small-button"
              aria-label={`Later: run ${run.run}`}
              onClick={() => void move(run.run, run.position + 1)}
            >
              <ArrowDown size={12} aria-hidden />
            </button>
          </>
        ) : null}
        <button className="small-button" disabled={shown} onClick={() => watch(run.run)}>
          <Eye size={12} aria-hidden /> Show
        </button>
        <button className="small-button" disabled={!detail} onClick={restore}>
          <History size={12} aria-hidden /> Restore graph
        </button>
        {isLive(run) ? null : (
          <button
            className="small-button"
            data-tip="text|Let the trainings of this graph begin where this run ended, with what is set otherwise"
            onClick={() => void goOn(run.run)}
          >
            <FastForward size={12} aria-hidden /> Go on
          </button>
        )}
        <button className={`small-button${compared ? " on" : ""}`} aria-pressed={compared} onClick={compare}>
          <GitCompareArrows size={12} aria-hidden /> Compare
        </button>
        {run.profile && !isLive(run) ? (
          <button
            className="small-button"
            onClick={() => {
              watch(run.run);
              showPanel("profile");
            }}
          >
            <Timer size={12} aria-hidden /> Profile
          </button>
        ) : null}
        {isLive(run) ? (
          <button className="small-button" onClick={() => void cancel(run.run, run.status === "stopping")}>
            {run.status === "queued" ? <X size={12} aria-hidden /> : <Square size={11} aria-hidden />}{" "}
            {run.status === "queued" ? "Cancel" : run.status === "stopping" ? "Force" : "Stop"}
          </button>
        ) : (
          <button
            className="small-button"
            aria-label={`Remove run ${run.run}`}
            onClick={() => void forget(run.run)}
          >
            <Trash2 size={12} aria-hidden />
          </button>
        )}
      </div>
      {shown ? <DeviceMemory /> : null}
      {pictures.length > 0 ? (
        <div className="thumbs">
          {pictures.slice(-8).map((output) => (
            <button
              key={output.n}
              aria-label={`Look at ${output.path}`}
              onClick={() => useUi.setState({ picture: output.path })}
            >
              <img src={fileUrl(output.path, 128)} alt="" loading="lazy" />
            </button>
          ))}
        </div>
      ) : null}
      {outputs.length > pictures.length ? (
        <ul className="run-files">
          {outputs
            .filter((output) => !output.media.startsWith("image/"))
            .map((output) => (
              <li key={output.n}>
                <a href={output.url}>{output.path.split("/").at(-1)}</a>
              </li>
            ))}
        </ul>
      ) : null}
      {settings.length > 0 ? (
        <details className="settings">
          <summary>{settings.length} parameters</summary>
          <dl>
            {settings.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </details>
      ) : null}
      {detail ? (
        <details className="settings">
          <summary>Environment</summary>
          <pre>{JSON.stringify(detail.environment, null, 1)}</pre>
        </details>
      ) : null}
    </div>
  );
}
