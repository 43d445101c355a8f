/** Plots in numbers: how far their axes go, which mark is under the pointer, and what is told of it. Pure; who draws is in panels/plot. */
import type { Plot } from "../server/types";
import { figures } from "./format";
import type { Point } from "./geometry";
import { niceStep } from "./rounding";

export type Range = readonly [number, number];
/** What is seen of a plot: a stretch of each axis. */
export interface View {
  readonly x: Range;
  readonly y: Range;
}
/** One mark: which of its series. */
export interface Mark {
  readonly series: number;
  readonly at: number;
}
/** Where numbers of the axes are on the screen. */
export type ToScreen = (x: number, y: number) => Point;
export type Hidden = ReadonlySet<number>;

/** Whether marks are areas, which the pointer is in, and no points, which it is near to. */
export const isOfAreas = (plot: Plot): boolean => plot.wide > 0;

/** Whether the axis up is logarithmic: as the picture's, only where there is something above 0. */
export const isLog = (plot: Plot): boolean =>
  plot.log && plot.kind !== "heat map" && plot.series.some(({ y }) => y.some((value) => (value ?? 0) > 0));

/** Whether a media type is of a picture that carries its plots. */
export const carriesPlots = (media: string): boolean => media.endsWith(";carries=plots");
/** Whether a picture of which only the name is known may carry them. */
export const mayCarryPlots = (path: string): boolean => /\.(png|svg)$/i.test(path);

const REACH = 30; // pixels from a point at which it is meant; of a line the nearest always is

/** All of a plot's shown series, with some air around points. */
export function whole(plot: Plot, hidden: Hidden): View {
  const log = isLog(plot);
  const low = { x: Infinity, y: Infinity };
  const high = { x: -Infinity, y: -Infinity };
  const take = (axis: "x" | "y", value: number) => {
    if (axis === "y" && log && value <= 0) return;
    low[axis] = Math.min(low[axis], value);
    high[axis] = Math.max(high[axis], value);
  };
  plot.series.forEach((one, series) => {
    if (hidden.has(series)) return;
    for (const mark of marksOf(plot, series)) {
      const [x, y] = placeOf(plot, mark) ?? [0, 0];
      const off = one.off?.[mark.at] ?? 0;
      take("x", x - plot.wide / 2);
      take("x", x + plot.wide / 2);
      take("y", y - off);
      take("y", y + off);
      take("y", y);
    }
  });
  if (plot.kind === "heat map") return { x: named(plot.across), y: named(plot.up) };
  const stands = plot.kind === "bar" || plot.kind === "histogram";
  if (stands && !log) take("y", 0);
  const x: Range = [low.x, high.x];
  const y = padded([low.y, high.y], log);
  return {
    x: plot.kind === "bar" ? named(plot.across) : bounded(stands ? filled(x) : padded(x, false), false),
    // What stands on 0 stands on the axis.
    y: bounded(stands && !log ? [low.y === 0 ? 0 : y[0], high.y === 0 && low.y < 0 ? 0 : y[1]] : y, log),
  };
}

/** The marks of a series that have a place, which 0 and less have not on a logarithmic axis. */
export function marksOf(plot: Plot, series: number): Mark[] {
  const log = isLog(plot);
  const all = plot.series[series]?.x ?? [];
  return all
    .map((_, at) => ({ series, at }))
    .filter((mark) => {
      const place = placeOf(plot, mark);
      return place !== null && !(log && place[1] <= 0);
    });
}

const named = (names: readonly string[] | null): Range => [-0.5, Math.max(names?.length ?? 0, 1) - 0.5];

/** A range that has a length, whatever was found. */
function filled([low, high]: Range): Range {
  if (low > high) return [0, 1];
  if (low < high) return [low, high];
  const by = Math.abs(low) / 20 || 0.5;
  return [low - by, high + by];
}

function padded(range: Range, log: boolean): Range {
  const [low, high] = filled(log && range[0] === range[1] ? [range[0] / 2, range[1] * 2] : range);
  if (log) {
    if (low <= 0) return [0.1, 1];
    const by = (high / low) ** 0.05;
    return [low / by, high * by];
  }
  const by = (high - low) / 20;
  return [low - by, high + by];
}

/** A range zoomed by a factor about the share of it that is held; below 1 is closer. */
export function zoomedRange([low, high]: Range, factor: number, about: number, log: boolean): Range {
  if (log) {
    const [a, b] = zoomedRange([Math.log10(low), Math.log10(high)], factor, about, false);
    return [10 ** a, 10 ** b];
  }
  const held = low + (high - low) * about;
  return [held - (held - low) * factor, held + (high - held) * factor];
}

/** A range moved by a share of its length. */
export function movedRange([low, high]: Range, share: number, log: boolean): Range {
  if (log) return [low * (high / low) ** share, high * (high / low) ** share];
  return [low + (high - low) * share, high + (high - low) * share];
}

/** How far an axis goes at most. */
const endsOf = (log: boolean): Range => (log ? [1e-30, 1e30] : [-1e300, 1e300]);
const CLOSEST = 1e-9; // of a range's own size: its marks of the axis are numbers apart

const isWide = ([low, high]: Range): boolean =>
  high - low > CLOSEST * Math.max(Math.abs(low), Math.abs(high), 1e-300);

const isInBounds = (range: Range, log: boolean): boolean => {
  const [least, most] = endsOf(log);
  return range[0] >= least && range[1] <= most && isWide(range);
};

/** What is too close or too far for numbers to tell apart is not gone to. log: whether the axis up is logarithmic. */
export const canBeSeen = ({ x, y }: View, log: boolean): boolean =>
  isInBounds(x, false) && isInBounds(y, log);

/** The part of a range that can be seen, widened where it is too close. */
function bounded(range: Range, log: boolean): Range {
  const [least, most] = endsOf(log);
  const [low, high] = range.map((end) => Math.min(most, Math.max(least, end))) as [number, number];
  if (isWide([low, high])) return [low, high];
  if (log) return low > 1 ? [low / 10, high] : [low, high * 10];
  const by = 2 * CLOSEST * Math.max(Math.abs(low), Math.abs(high));
  return [low - by, high + by];
}

const FEWEST = 3; // lines within a power of ten, below which there are even steps instead
/** From the most lines to the fewest: how many powers of ten each has to lie apart, and where they are in a power. */
const FINER: readonly (readonly [number, readonly number[]])[] = [
  [Math.log10(10 / 9), [1, 2, 3, 4, 5, 6, 7, 8, 9]],
  [Math.log10(2), [1, 2, 5]],
  [Infinity, [1]],
];

/**
 * Where a logarithmic axis that has room for so many lines has them: at 1 to 9 of each power of ten, fewer from afar, and,
 * so close that hardly one of these is seen, at even steps. uPlot's own never end for some ranges, such as from 9.8e-8.
 */
export function logTicks(low: number, high: number, room: number): number[] {
  const first = Math.log10(Math.max(low, Number.MIN_VALUE));
  const last = Math.log10(Math.min(high, Number.MAX_VALUE));
  const apart = (last - first) / room;
  const digits = FINER.find(([least]) => apart <= least)?.[1] ?? [1];
  const each = digits.length > 1 ? 1 : Math.max(1, Math.ceil(apart));
  const found: number[] = [];
  for (let power = Math.floor(first / each) * each; power <= last; power += each)
    for (const digit of digits) found.push(Number(`${digit}e${power}`));
  const seen = found.filter((one) => one >= low && one <= high);
  if (seen.length >= FEWEST || last - first >= 1) return seen;
  const step = niceStep((high - low) / FEWEST);
  const [from, to] = [Math.ceil(low / step), Math.floor(high / step)];
  return Array.from({ length: to - from + 1 }, (_, i) => Number(((from + i) * step).toPrecision(12)));
}

/** Where a bar begins that ends at y: at 0, or where a logarithmic axis does. */
export const ground = (plot: Plot, view: View): number => (isLog(plot) ? view.y[0] : 0);

/** The corners of a mark that is an area: of a bar, or of a heat map's cell. */
export function area(plot: Plot, view: View, [x, y]: Point): { x: Range; y: Range } {
  const half = plot.wide / 2;
  if (plot.kind === "heat map") return { x: [x - half, x + half], y: [y - half, y + half] };
  const foot = ground(plot, view);
  return { x: [x - half, x + half], y: [Math.min(foot, y), Math.max(foot, y)] };
}

export function placeOf(plot: Plot, { series, at }: Mark): Point | null {
  const [x, y] = [plot.series[series]?.x[at], plot.series[series]?.y[at]];
  return x == null || y == null ? null : [x, y];
}

/** The mark that a point of the screen means; null is none. The last drawn lies uppermost. */
export function markAt(
  plot: Plot,
  hidden: Hidden,
  view: View,
  toScreen: ToScreen,
  [px, py]: Point,
): Mark | null {
  let found: Mark | null = null;
  let nearest = plot.kind === "scatter" ? REACH : Infinity;
  plot.series.forEach((_, series) => {
    if (hidden.has(series)) return;
    for (const mark of marksOf(plot, series)) {
      const place = placeOf(plot, mark);
      if (!place) continue;
      if (isOfAreas(plot)) {
        const { x, y } = area(plot, view, place);
        const [[left, top], [right, bottom]] = corners(toScreen(x[0], y[1]), toScreen(x[1], y[0]));
        // A low bar is as hard to hit as to see: the space above it counts, where nothing else stands.
        const rows = plot.kind === "heat map" ? py >= top && py <= bottom : true;
        if (px < left || px > right || !rows) continue;
        const away = py >= top && py <= bottom ? 0 : Math.min(Math.abs(py - top), Math.abs(py - bottom));
        if (away <= nearest) [nearest, found] = [away, mark];
      } else {
        const [x, y] = toScreen(...place);
        const away = Math.hypot(x - px, y - py);
        if (away <= nearest) [nearest, found] = [away, mark];
      }
    }
  });
  return found;
}

const corners = (a: Point, b: Point): [Point, Point] => [
  [Math.min(a[0], b[0]), Math.min(a[1], b[1])],
  [Math.max(a[0], b[0]), Math.max(a[1], b[1])],
];

/** The mark that a key goes to from another: along its series, or to the nearest of the next one; from none to the first. */
export function markBeside(
  plot: Plot,
  hidden: Hidden,
  from: Mark | null,
  key: "ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown",
): Mark | null {
  const seen = plot.series.flatMap((_, series) => (hidden.has(series) ? [] : [marksOf(plot, series)]));
  const row = seen.findIndex((marks) => marks[0]?.series === from?.series);
  const own = seen[Math.max(0, row)];
  if (!from || row < 0 || !own) return seen.flat()[0] ?? null;
  const place = own.findIndex(({ at }) => at === from.at);
  if (key === "ArrowLeft" || key === "ArrowRight")
    return own[place + (key === "ArrowRight" ? 1 : -1)] ?? from;
  const next = seen[row + (key === "ArrowDown" ? 1 : -1)];
  const x = placeOf(plot, from)?.[0] ?? 0;
  const away = (mark: Mark) => Math.abs((placeOf(plot, mark)?.[0] ?? Infinity) - x);
  return next?.reduce((best, mark) => (away(mark) < away(best) ? mark : best), next[0] ?? from) ?? from;
}

/** What is told of a mark: the columns of its row; of a histogram's bar what it counts. */
export function toldOf(plot: Plot, { series, at }: Mark): readonly (readonly [string, string])[] {
  const one = plot.series[series];
  if (!one) return [];
  if (plot.kind === "histogram") {
    const x = one.x[at] ?? 0;
    const span = `${figures(x - plot.wide / 2)} … ${figures(x + plot.wide / 2)}`;
    const count: [string, string] = ["count", figures(one.y[at] ?? 0)];
    return one.label ? [[plot.x, span], count, ["of", one.label]] : [[plot.x, span], count];
  }
  const row = one.rows[at] ?? -1;
  return Object.entries(plot.columns).map(([name, cells]) => [name, cells[row] || "–"]);
}

/** In a sentence, for who hears it. */
export const said = (told: readonly (readonly [string, string])[]): string =>
  told.map(([name, value]) => `${name} ${value}`).join(", ");

/** The least and the greatest value of a heat map's cells that have a colour. */
export function coloured(plot: Plot): Range {
  const values = plot.series.flatMap(({ value }) => (value ?? []).filter((one) => one !== null));
  const above = plot.log ? values.filter((one) => one > 0) : [];
  const counted = above.length > 0 ? above : values;
  return filled([
    counted.reduce((least, one) => Math.min(least, one), Infinity),
    counted.reduce((most, one) => Math.max(most, one), -Infinity),
  ]);
}

// matplotlib's viridis at every eighth, so that the canvas has the picture's colours.
const VIRIDIS: readonly (readonly [number, number, number])[] = [
  [68, 1, 84],
  [71, 45, 123],
  [59, 82, 139],
  [44, 114, 142],
  [33, 145, 140],
  [40, 174, 128],
  [94, 201, 98],
  [173, 220, 48],
  [253, 231, 37],
];

/** The colour of a share from 0 to 1, as CSS. */
export function heat(share: number): string {
  const place = Math.min(1, Math.max(0, share)) * (VIRIDIS.length - 1);
  const below = Math.min(VIRIDIS.length - 2, Math.floor(place));
  const [from, to] = [VIRIDIS[below], VIRIDIS[below + 1]];
  const mixed = [0, 1, 2].map((i) =>
    Math.round((from?.[i] ?? 0) + ((to?.[i] ?? 0) - (from?.[i] ?? 0)) * (place - below)),
  );
  return `rgb(${mixed.join(" ")})`;
}

/** The share of the colours at which a value lies; null where it has none on a logarithmic scale. */
export function heatShare(plot: Plot, [low, high]: Range, value: number): number | null {
  if (!plot.log || low <= 0) return (value - low) / (high - low);
  return value > 0 ? Math.log(value / low) / Math.log(high / low) : null;
}
