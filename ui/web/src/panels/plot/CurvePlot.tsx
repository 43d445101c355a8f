/** Curves over the steps of a run, which grow while it goes on. */
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { smooth } from "../../drawing/curves";
import type { Curve } from "../../state/runView";
import { useUi } from "../../state/ui";
import { LOG_AXIS, LOG_SCALE, themeOf } from "./axes";

export interface Line {
  readonly label: string;
  readonly curve: Curve;
  readonly colour: string;
  readonly dash: boolean;
}

/** All lines on one axis of steps. */
function tableOf(lines: readonly Line[], weight: number): uPlot.AlignedData {
  const tables = lines.map((line): uPlot.AlignedData => [
    [...line.curve.turns],
    smooth(line.curve.values, weight),
  ]);
  return tables.length === 0 ? [[0], []] : uPlot.join(tables);
}

interface Props {
  lines: readonly Line[];
  weight: number;
  log: boolean;
  /** Each line fills the height by itself. */
  apart?: boolean;
  height?: number;
}

export default function CurvePlot({ lines, weight, log, apart = false, height = 360 }: Props) {
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
    const { axis, colour } = themeOf(host);
    const y: uPlot.Scale = log ? LOG_SCALE : {};
    const scales = lines.map((_, i) => (apart ? `y${i}` : "y"));
    const made = new uPlot(
      {
        width: host.clientWidth,
        height,
        scales: { x: { time: false }, ...Object.fromEntries(scales.map((name) => [name, y])) },
        axes: [axis, { ...axis, ...(log ? LOG_AXIS : {}), size: 64, show: !apart, scale: scales[0] ?? "y" }],
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
