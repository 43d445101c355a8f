import { describe, expect, it } from "vitest";
import type { Point } from "../src/drawing/geometry";
import {
  area,
  canBeSeen,
  carriesPlots,
  coloured,
  heat,
  heatShare,
  isLog,
  logTicks,
  markAt,
  markBeside,
  marksOf,
  mayCarryPlots,
  movedRange,
  said,
  toldOf,
  whole,
  zoomedRange,
} from "../src/drawing/plots";
import type { Plot, PlotSeries } from "../src/server/types";

const series = (x: (number | null)[], y: (number | null)[], more: Partial<PlotSeries> = {}): PlotSeries => ({
  label: "",
  rows: x.map((_, i) => i),
  x,
  y,
  off: null,
  value: null,
  ...more,
});
const plot = (kind: Plot["kind"], all: PlotSeries[], more: Partial<Plot> = {}): Plot => ({
  kind,
  title: "",
  x: "scale",
  y: "fid",
  value: "",
  by: "",
  deviation: "",
  log: false,
  marks: 0,
  across: null,
  up: null,
  wide: 0,
  series: all,
  columns: { scale: ["1", "3"], fid: ["9", "4"], "<b>": ["<script>", ""] },
  ...more,
});
const NONE: ReadonlySet<number> = new Set();
const same = (x: number, y: number): Point => [x, y];
const LINES = plot("line", [
  series([0, 10, 20], [100, null, 120], { label: "seed 0" }),
  series([0, 10], [500, 600], { label: "seed 1", off: [50, 0] }),
]);
const BARS = plot("bar", [series([-0.2, 0.8], [4, -2]), series([0.2, 1.2], [3, 9])], {
  across: ["low", "high"],
  wide: 0.4,
});
const MAP = plot("heat map", [series([0, 1], [0, 1], { value: [1, 100] })], {
  across: ["a", "b"],
  up: ["c", "d"],
  wide: 1,
});

describe("how far a plot's axes go", () => {
  it("is as far as what is shown of it, deviations and some air included", () => {
    expect(whole(LINES, NONE)).toEqual({ x: [-1, 21], y: [100 - 25, 600 + 25] });
    const rest = whole(LINES, new Set([1]));
    expect(rest.y[0]).toBe(99);
    expect(rest.y[1]).toBe(121);
  });
  it("is from the ground that bars stand on, with a place for each name", () => {
    expect(whole(BARS, NONE).x).toEqual([-0.5, 1.5]);
    expect(whole(BARS, new Set([0])).y[0]).toBe(0);
    expect(whole(BARS, NONE).y[0]).toBeLessThan(-2);
    expect(whole(MAP, NONE)).toEqual({ x: [-0.5, 1.5], y: [-0.5, 1.5] });
  });
  it("has a length where there is nothing, one point, or all is hidden", () => {
    for (const some of [
      plot("line", []),
      plot("line", [series([3], [3])]),
      plot("scatter", [series([0], [0])]),
      plot("line", [series([null], [null])]),
      plot("bar", [], { across: [], wide: 0.8 }),
      plot("histogram", [series([], [])], { wide: 1 }),
      plot("line", [series([1], [5])], { log: true }),
      plot("line", [series([1], [-5])], { log: true }),
    ])
      expect(canBeSeen(whole(some, NONE), isLog(some)), JSON.stringify(some)).toBe(true);
    expect(canBeSeen(whole(LINES, new Set([0, 1])), false)).toBe(true);
  });
  it("is logarithmic only where something is above 0, and leaves out what is not", () => {
    const some = plot("scatter", [series([1, 2, 3], [0, 1, 100])], { log: true });
    expect(isLog(some)).toBe(true);
    expect(whole(some, NONE).y[0]).toBeCloseTo(100 ** -0.05);
    expect(isLog(plot("scatter", [series([1], [-1])], { log: true }))).toBe(false);
    expect(isLog({ ...MAP, log: true })).toBe(false);
  });
  it("changes about what is held", () => {
    expect(zoomedRange([0, 10], 0.5, 0.2, false)).toEqual([1, 6]);
    expect(zoomedRange([1, 100], 0.5, 0, true)).toEqual([1, 10]);
    expect(movedRange([0, 10], 0.1, false)).toEqual([1, 11]);
    expect(movedRange([1, 100], 0.5, true)).toEqual([10, 1000]);
    expect(canBeSeen({ x: [1, 1 + 1e-12], y: [0, 1] }, false)).toBe(false);
  });
  it("ends where numbers can still be told apart, however large, small or close they are", () => {
    const log = { log: true };
    for (const some of [
      plot("line", [series([1, 2], [1e-40, 1])], log),
      plot("line", [series([1, 2], [1e-40, 1e-35])], log),
      plot("line", [series([1, 2], [1e35, 1e40])], log),
      plot("line", [series([1, 2], [1e16, 1e16 + 2])]),
      plot("histogram", [series([1e16, 1e16 + 2], [1, 2])]),
      plot("scatter", [series([1, 2], [-1e308, 1e308])]),
    ])
      expect(canBeSeen(whole(some, NONE), isLog(some)), JSON.stringify(some)).toBe(true);
    let view = whole(plot("line", [series([1, 2], [1e-9, 1])], log), NONE);
    for (let i = 0; i < 40; i++) {
      const next = { x: view.x, y: zoomedRange(view.y, 1.25, 0.5, true) };
      if (canBeSeen(next, true)) view = next;
    }
    expect(view.y[0]).toBeGreaterThanOrEqual(1e-30);
    expect(view.y[1]).toBeLessThanOrEqual(1e30);
  });
  it("has as many lines as have room: at 1 to 9 of each power of ten, at some, or by powers; closer at even steps", () => {
    expect(logTicks(0.5, 30, 50)).toEqual([0.5, 0.6, 0.7, 0.8, 0.9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 20, 30]);
    expect(logTicks(0.5, 30, 10)).toEqual([0.5, 1, 2, 5, 10, 20]);
    expect(logTicks(2.1, 2.9, 10)).toEqual([2.2, 2.4, 2.6, 2.8]);
    expect(logTicks(9.764e-8, 3e-7, 20)).toEqual([1e-7, 2e-7, 3e-7]);
    expect(logTicks(5e-5, 3e3, 10)).toEqual([1e-4, 1e-3, 0.01, 0.1, 1, 10, 100, 1000]);
    expect(logTicks(1e-30, 1e30, 8)).toEqual([1e-24, 1e-16, 1e-8, 1, 1e8, 1e16, 1e24]);
    expect(logTicks(0, Infinity, 8).length).toBeLessThan(10);
    for (let power = -30; power < 30; power += 0.173)
      for (const times of [1 + 1e-8, 1.5, 9, 99, 1e5, 1e20]) {
        const [low, high] = [10 ** power, 10 ** power * times];
        const found = logTicks(low, high, 8);
        expect(found.length).toBeGreaterThan(1);
        expect(found.length).toBeLessThan(10);
        expect(
          found.every(
            (one, i) =>
              one >= low * (1 - 1e-11) && one <= high * (1 + 1e-11) && (i === 0 || one > (found[i - 1] ?? 0)),
          ),
        ).toBe(true);
      }
  });
});

describe("the mark that is meant", () => {
  const at = (some: Plot, point: Point, hidden = NONE) =>
    markAt(some, hidden, whole(some, hidden), same, point);
  it("is the nearest of lines that are shown, and of points one within reach", () => {
    expect(at(LINES, [1, 110])).toEqual({ series: 0, at: 0 });
    expect(at(LINES, [9, 550])).toEqual({ series: 1, at: 1 });
    expect(at(LINES, [9, 550], new Set([1]))).toEqual({ series: 0, at: 2 });
    const points = { ...LINES, kind: "scatter" as const };
    expect(at(points, [1, 110])).toEqual({ series: 0, at: 0 });
    expect(at(points, [9, 300])).toBeNull();
  });
  it("is the bar or the cell that the pointer is in, and a bar also above it", () => {
    expect(at(BARS, [-0.2, 1])).toEqual({ series: 0, at: 0 });
    expect(at(BARS, [1.2, 8])).toEqual({ series: 1, at: 1 });
    expect(at(BARS, [-0.2, 7])).toEqual({ series: 0, at: 0 });
    expect(at(BARS, [0.5, 1])).toBeNull();
    expect(at(MAP, [0.9, 1.2])).toEqual({ series: 0, at: 1 });
    expect(at(MAP, [0.9, 0.2])).toBeNull();
    expect(area(BARS, whole(BARS, NONE), [0.8, -2]).y).toEqual([-2, 0]);
  });
  it("goes along its series and to the next by keys, over what has no place", () => {
    const first = markBeside(LINES, NONE, null, "ArrowRight");
    expect(first).toEqual({ series: 0, at: 0 });
    expect(markBeside(LINES, NONE, first, "ArrowRight")).toEqual({ series: 0, at: 2 });
    expect(markBeside(LINES, NONE, { series: 0, at: 2 }, "ArrowDown")).toEqual({ series: 1, at: 1 });
    expect(markBeside(LINES, NONE, first, "ArrowUp")).toEqual(first);
    expect(markBeside(LINES, new Set([0]), first, "ArrowRight")).toEqual({ series: 1, at: 0 });
    expect(markBeside(LINES, new Set([0, 1]), first, "ArrowRight")).toBeNull();
  });
  it("has a place: on a logarithmic axis 0 and less have none, neither for keys nor for a pointer", () => {
    const some = plot("line", [series([0, 1, 2], [1, 0, 10])], { log: true });
    expect(marksOf(some, 0).map((mark) => mark.at)).toEqual([0, 2]);
    expect(markBeside(some, NONE, { series: 0, at: 0 }, "ArrowRight")).toEqual({ series: 0, at: 2 });
    const [one] = [plot("line", [series([0, 1], [0, 10])], { log: true })];
    expect(at(one, [0, 0])).toEqual({ series: 0, at: 1 });
    expect(whole(one, NONE).x[0]).toBeGreaterThan(0);
  });
});

describe("what is told of a mark", () => {
  it("is its whole row, as texts", () => {
    const told = toldOf(LINES, { series: 0, at: 0 });
    expect(told).toEqual([
      ["scale", "1"],
      ["fid", "9"],
      ["<b>", "<script>"],
    ]);
    expect(said(told)).toBe("scale 1, fid 9, <b> <script>");
    expect(toldOf(LINES, { series: 0, at: 1 })[2]).toEqual(["<b>", "–"]);
    expect(toldOf(LINES, { series: 0, at: 2 })[0]).toEqual(["scale", "–"]); // a row that the picture does not carry
  });
  it("is of a histogram what its bar counts", () => {
    const some = plot("histogram", [series([1.5], [4], { rows: [], label: "seed 1" })], { wide: 1 });
    expect(toldOf(some, { series: 0, at: 0 })).toEqual([
      ["scale", "1 … 2"],
      ["count", "4"],
      ["of", "seed 1"],
    ]);
  });
});

describe("a heat map's colours", () => {
  it("are the picture's, from its least to its greatest value", () => {
    expect(coloured(MAP)).toEqual([1, 100]);
    expect(heat(0)).toBe("rgb(68 1 84)");
    expect(heat(1)).toBe("rgb(253 231 37)");
    expect(heatShare(MAP, [0, 10], 5)).toBe(0.5);
    expect(heatShare({ ...MAP, log: true }, [1, 100], 10)).toBeCloseTo(0.5);
    expect(heatShare({ ...MAP, log: true }, [1, 100], 0)).toBeNull();
  });
});

it("is told by the media type which pictures carry plots", () => {
  expect(carriesPlots("image/png;carries=plots")).toBe(true);
  expect(carriesPlots("image/png")).toBe(false);
  expect(["a.png", "a.SVG", "a.webp", "png"].map(mayCarryPlots)).toEqual([true, true, false, false]);
});
