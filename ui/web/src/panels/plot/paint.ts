/** The marks of a plot on uPlot's canvas. */
import type uPlot from "uplot";
import {
  area,
  coloured,
  heat,
  heatShare,
  isLog,
  marksOf,
  placeOf,
  type Hidden,
  type Mark,
  type View,
} from "../../drawing/plots";
import type { Point } from "../../drawing/geometry";
import type { Plot, PlotSeries } from "../../server/types";

const DOTTED = 50; // a line of so many points shows each, as in the picture

export function paint(
  chart: uPlot,
  plot: Plot,
  hidden: Hidden,
  view: View,
  colours: readonly string[],
): void {
  const { ctx } = chart;
  const ratio = devicePixelRatio;
  const to = (x: number, y: number): Point => [chart.valToPos(x, "x", true), chart.valToPos(y, "y", true)];
  ctx.lineWidth = 1.6 * ratio;
  ctx.lineJoin = "round";
  plot.series.forEach((series, n) => {
    if (hidden.has(n)) return;
    ctx.strokeStyle = ctx.fillStyle = colours[n] ?? "";
    PAINT[plot.kind]({ ctx, plot, series, n, view, to, ratio });
  });
  ctx.globalAlpha = 1;
}

interface Brush {
  readonly ctx: CanvasRenderingContext2D;
  readonly plot: Plot;
  readonly series: PlotSeries;
  readonly n: number;
  readonly view: View;
  readonly to: (x: number, y: number) => Point;
  readonly ratio: number;
}

const PAINT: Readonly<Record<Plot["kind"], (brush: Brush) => void>> = {
  line(brush) {
    const { ctx, series, to, plot, ratio } = brush;
    for (const run of runs(brush)) {
      if (series.off) band(brush, run);
      ctx.beginPath();
      for (const { at } of run) ctx.lineTo(...to(...placed(plot, brush.n, at)));
      ctx.stroke();
    }
    if (series.x.length <= DOTTED) dots(brush, 2.4 * ratio);
  },
  scatter(brush) {
    whiskers(brush);
    dots(brush, 3 * brush.ratio);
  },
  bar(brush) {
    brush.ctx.globalAlpha = 0.85;
    bars(brush);
    brush.ctx.globalAlpha = 1;
    whiskers(brush);
  },
  histogram(brush) {
    brush.ctx.globalAlpha = brush.plot.series.length > 1 ? 0.6 : 0.85;
    bars(brush);
  },
  "heat map"(brush) {
    const { ctx, series, plot } = brush;
    const range = coloured(plot);
    marks(brush).forEach(({ at }) => {
      const share = heatShare(plot, range, series.value?.[at] ?? 0);
      if (share === null) return;
      ctx.fillStyle = heat(share);
      box(brush, at, 0.5); // no seams between cells
    });
  },
};

const placed = (plot: Plot, series: number, at: number): Point => placeOf(plot, { series, at }) ?? [0, 0];

const marks = ({ plot, n }: Brush): Mark[] => marksOf(plot, n);

/** The stretches of a line, which what has no place cuts. */
function runs(brush: Brush): Mark[][] {
  const found: Mark[][] = [];
  let last = -2;
  for (const mark of marks(brush)) {
    if (mark.at !== last + 1) found.push([]);
    found.at(-1)?.push(mark);
    last = mark.at;
  }
  return found;
}

function band({ ctx, plot, series, n, view, to }: Brush, run: readonly Mark[]): void {
  const log = isLog(plot);
  const edge = (at: number, sign: number): Point => {
    const [x, y] = placed(plot, n, at);
    const end = y + sign * (series.off?.[at] ?? 0);
    return to(x, log ? Math.max(end, view.y[0]) : end);
  };
  ctx.beginPath();
  for (const { at } of run) ctx.lineTo(...edge(at, 1));
  for (const { at } of [...run].reverse()) ctx.lineTo(...edge(at, -1));
  ctx.globalAlpha = 0.2;
  ctx.fill();
  ctx.globalAlpha = 1;
}

function dots(brush: Brush, radius: number): void {
  for (const { at } of marks(brush)) {
    const [x, y] = brush.to(...placed(brush.plot, brush.n, at));
    brush.ctx.beginPath();
    brush.ctx.arc(x, y, radius, 0, 2 * Math.PI);
    brush.ctx.fill();
  }
}

function bars(brush: Brush): void {
  for (const { at } of marks(brush)) box(brush, at, 0);
}

function box({ ctx, plot, n, view, to }: Brush, at: number, over: number): void {
  const { x, y } = area(plot, view, placed(plot, n, at));
  const [[left, top], [right, bottom]] = [to(x[0], y[1]), to(x[1], y[0])];
  ctx.fillRect(
    left - over,
    Math.min(top, bottom) - over,
    right - left + 2 * over,
    Math.abs(bottom - top) + 2 * over,
  );
}

/** How far y may be off, as lines with ends. */
function whiskers(brush: Brush): void {
  const { ctx, plot, series, n, view, to, ratio } = brush;
  if (!series.off) return;
  const log = isLog(plot);
  const old = ctx.strokeStyle;
  if (plot.kind === "bar") ctx.strokeStyle = getComputedStyle(ctx.canvas).getPropertyValue("--text");
  for (const { at } of marks(brush)) {
    const [x, y] = placed(plot, n, at);
    const off = series.off[at] ?? 0;
    if (off === 0) continue;
    const ends = [y + off, log ? Math.max(y - off, view.y[0]) : y - off];
    const [[across, top], [, bottom]] = ends.map((end) => to(x, end)) as [Point, Point];
    ctx.beginPath();
    ctx.moveTo(across, top);
    ctx.lineTo(across, bottom);
    for (const end of [top, bottom]) {
      ctx.moveTo(across - 3 * ratio, end);
      ctx.lineTo(across + 3 * ratio, end);
    }
    ctx.stroke();
  }
  ctx.strokeStyle = old;
}
