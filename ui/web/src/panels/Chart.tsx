/** Curves of a node: live, zoomed by dragging, smoothed, on a logarithmic scale, beside those of other runs. */
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { titleOf } from "../document/cards";
import { api } from "../server/api";
import type { Series } from "../server/types";
import type { Curve } from "../state/runView";
import { isLive } from "../state/runAge";
import { useRuns } from "../state/runs";
import { seenRun } from "../state/seen";
import { sayError, useUi } from "../state/ui";
import { curveColour, smooth } from "../drawing/curves";
import { Frame } from "./Frame";

// A const enum of uPlot's, whose names exist only in its declarations.
// eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment
const LOGARITHMIC: uPlot.Scale.Distr = 3;

interface Line {
  readonly label: string;
  readonly curve: Curve;
  readonly colour: string;
  readonly dash: boolean;
}

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
              <button
                key={name}
                className={`chip${off.has(name) ? " off" : ""}`}
                aria-pressed={!off.has(name)}
                onClick={() => toggleName(name)}
              >
                <i className="dot" style={{ background: curveColour(i) }} /> {name}
              </button>
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
        <Plot lines={lines} weight={weight} log={log} apart={apart} />
        <p className="quiet">Drag to zoom, double-click to see all.</p>
        {comparable.length > 0 ? (
          <div className="chips" role="group" aria-label="Other runs">
            {comparable.map((run) => (
              <button
                key={run.run}
                className={`chip${run.run in others ? "" : " off"}`}
                aria-pressed={run.run in others}
                onClick={() => toggleRun(run.run)}
              >
                #{run.run} {run.title.slice(0, 28)}
              </button>
            ))}
          </div>
        ) : null}
      </div>
    </Frame>
  );
}

/** All lines on one axis of steps. */
function tableOf(lines: readonly Line[], weight: number): uPlot.AlignedData {
  const tables = lines.map((line): uPlot.AlignedData => [
    [...line.curve.turns],
    smooth(line.curve.values, weight),
  ]);
  return tables.length === 0 ? [[0], []] : uPlot.join(tables);
}

interface PlotProps {
  lines: readonly Line[];
  weight: number;
  log: boolean;
  /** Each line fills the height by itself. */
  apart?: boolean;
  height?: number;
}

export function Plot({ lines, weight, log, apart = false, height = 360 }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const theme = useUi((state) => state.theme);
  const shape = lines.map((line) => line.label + line.colour).join("|");
  const data = useMemo(() => tableOf(lines, weight), [lines, weight]);
  const latest = useRef(data);
  useEffect(() => {
    latest.current = data;
    // Keep what the reader has zoomed into.
    const { min, max } = plot.current?.scales.x ?? {};
    const [turns = []] = plot.current?.data ?? [];
    const zoomed =
      min != null && max != null && turns.length > 0 && (min > (turns[0] ?? 0) || max < (turns.at(-1) ?? 0));
    plot.current?.setData(data, !zoomed);
    if (zoomed) plot.current?.setScale("x", { min, max });
  }, [data]);
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const style = getComputedStyle(host);
    const ink = style.getPropertyValue("--text-2");
    const rule = style.getPropertyValue("--line");
    const colour = (value: string) =>
      value.replace("var(--curve-l)", style.getPropertyValue("--curve-l").trim());
    const axis = {
      stroke: ink,
      grid: { stroke: rule, width: 1 },
      ticks: { stroke: rule, width: 1 },
      font: "11px Inter",
    };
    const y: uPlot.Scale = log ? { distr: LOGARITHMIC, log: 10 } : {};
    const scales = lines.map((_, i) => (apart ? `y${i}` : "y"));
    const made = new uPlot(
      {
        width: host.clientWidth,
        height,
        scales: { x: { time: false }, ...Object.fromEntries(scales.map((name) => [name, y])) },
        axes: [axis, { ...axis, size: 64, show: !apart, scale: scales[0] ?? "y" }],
        legend: { live: true },
        cursor: { drag: { x: true, y: false } },
        series: [
          { label: "step" },
          ...lines.map((line, i) => ({
            label: line.label,
            scale: scales[i] ?? "y",
            stroke: colour(line.colour),
            width: 1.6,
            spanGaps: true,
            points: { show: false },
            ...(line.dash ? { dash: [5, 4] } : {}),
            value: (_plot: uPlot, value: number | null) =>
              value === null ? "–" : String(Number(value.toPrecision(5))),
          })),
        ],
      },
      latest.current,
      host,
    );
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: host.clientWidth, height }));
    observer.observe(host);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
    // The plot is made anew only when its lines or scales are others; their points arrive through setData.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [shape, log, apart, theme, height]);
  return (
    <div
      ref={box}
      className="plot"
      role="img"
      aria-label={`Chart of ${lines.map((line) => line.label).join(", ")}`}
    />
  );
}
