/** Curves of a node: live, zoomed by dragging, smoothed, on a logarithmic scale, beside those of other runs. */
import { lazy, Suspense, useMemo, useState } from "react";
import { titleOf } from "../document/cards";
import { api } from "../server/api";
import type { Series } from "../server/types";
import type { Line } from "./plot/CurvePlot";
import { isLive } from "../state/runAge";
import { useRuns } from "../state/runs";
import { seenRun } from "../state/seen";
import { sayError, useUi } from "../state/ui";
import { curveColour } from "../drawing/curves";
import { Chip } from "../widgets/Chip";
import { Frame } from "./Frame";

/** It comes, with what draws axes, when it is wanted. */
export const CurvePlot = lazy(() => import("./plot/CurvePlot"));

export function ChartDialog() {
  const node = useUi((state) => state.chart);
  const live = useRuns((state) => (node ? seenRun(state.view).curves[node] : undefined));
  const shown = useRuns((state) => state.view.run);
  const runs = useRuns((state) => state.runs);
  const [weight, setWeight] = useState(0.6);
  const [log, setLog] = useState(false);
  const [apart, setApart] = useState(false);
  const [off, setOff] = useState<ReadonlySet<string>>(new Set());
  const [others, setOthers] = useState<Readonly<Record<number, Series[]>>>({});

  const names = useMemo(() => Object.keys(live ?? {}), [live]);
  const lines = useMemo(() => {
    const own: Line[] = names.flatMap((name, i) => {
      const curve = live?.[name];
      return curve && !off.has(name) ? [{ label: name, curve, colour: curveColour(i), dash: false }] : [];
    });
    const past = Object.entries(others).flatMap(([run, list]) =>
      list
        .filter((series) => series.node === node && !off.has(series.name))
        .map((series) => ({
          label: `${series.name} · #${run}`,
          curve: series,
          colour: curveColour(Math.max(0, names.indexOf(series.name))),
          dash: true,
        })),
    );
    return [...own, ...past];
  }, [live, names, off, others, node]);

  if (!node) return null;
  const comparable = Object.values(runs)
    .filter((run) => run.run !== shown && !isLive(run))
    .sort((a, b) => b.run - a.run)
    .slice(0, 12);
  const toggleRun = (run: number) => {
    if (run in others)
      setOthers(Object.fromEntries(Object.entries(others).filter(([id]) => Number(id) !== run)));
    else api.metrics(run).then((list) => setOthers((known) => ({ ...known, [run]: list })), sayError);
  };
  const toggleName = (name: string) => {
    const next = new Set(off);
    if (!next.delete(name)) next.add(name);
    setOff(next);
  };
  return (
    <Frame title={`Curves of ${titleOf(node)}`} wide>
      <div className="chart-dialog">
        <div className="chart-tools">
          <span className="chips">
            {names.map((name, i) => (
              <Chip key={name} isOn={!off.has(name)} colour={curveColour(i)} run={() => toggleName(name)}>
                {name}
              </Chip>
            ))}
          </span>
          <label className="check">
            <input type="checkbox" checked={log} onChange={(event) => setLog(event.target.checked)} /> log
            scale
          </label>
          <label className="check">
            <input type="checkbox" checked={apart} onChange={(event) => setApart(event.target.checked)} />{" "}
            each on its own scale
          </label>
          <label className="smoothing">
            smoothing
            <input
              type="range"
              min={0}
              max={0.99}
              step={0.01}
              value={weight}
              onChange={(event) => setWeight(Number(event.target.value))}
            />
            <span>{weight.toFixed(2)}</span>
          </label>
        </div>
        <Suspense fallback={null}>
          <CurvePlot lines={lines} weight={weight} log={log} apart={apart} />
        </Suspense>
        <p className="quiet">Drag to zoom, double-click to see all.</p>
        {comparable.length > 0 ? (
          <div className="chips" role="group" aria-label="Other runs">
            {comparable.map((run) => (
              <Chip key={run.run} isOn={run.run in others} run={() => toggleRun(run.run)}>
                #{run.run} {run.title.slice(0, 28)}
              </Chip>
            ))}
          </div>
        ) : null}
      </div>
    </Frame>
  );
}
