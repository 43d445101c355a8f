/** One plot to look into: what each mark stands for, series on and off, axes zoomed and moved by wheel, drag and keys. */
import { Minus, Plus, RotateCcw } from "lucide-react";
import { useCallback, useEffect, useMemo, useRef, useState, type KeyboardEvent, type RefObject } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { curveColour } from "../../drawing/curves";
import { figures } from "../../drawing/format";
import type { Point } from "../../drawing/geometry";
import {
  area,
  canBeSeen,
  coloured,
  heat,
  isLog,
  isOfAreas,
  markAt,
  markBeside,
  movedRange,
  placeOf,
  said,
  toldOf,
  whole,
  zoomedRange,
  type Mark,
  type View,
} from "../../drawing/plots";
import type { Plot } from "../../server/types";
import { useUi } from "../../state/ui";
import { Chip } from "../../widgets/Chip";
import { IconButton } from "../../widgets/IconButton";
import { pointOf, useHands } from "../useHands";
import { LOG_AXIS, LOG_SCALE, themeOf } from "./axes";
import { paint } from "./paint";

const STEP = 1.25;
const LONGEST = 14; // characters of a name on an axis

export function PlotChart({ plot }: { plot: Plot }) {
  const [hidden, setHidden] = useState<ReadonlySet<number>>(new Set());
  const all = useMemo(() => whole(plot, hidden), [plot, hidden]);
  const [own, setOwn] = useState<View | null>(null);
  const view = own ?? all;
  const [mark, setMark] = useState<Mark | null>(null);
  const log = isLog(plot);
  const { host, chart } = useChart(plot, view, hidden);

  const change = useCallback(
    (how: (view: View) => View) =>
      setOwn((now) => {
        const next = how(now ?? all);
        return canBeSeen(next, log) ? next : now;
      }),
    [all, log],
  );
  const zoom = useCallback(
    (factor: number, about: Point = [0.5, 0.5], axes = "xy") =>
      change(({ x, y }) => ({
        x: axes.includes("x") ? zoomedRange(x, factor, about[0], false) : x,
        y: axes.includes("y") ? zoomedRange(y, factor, about[1], log) : y,
      })),
    [change, log],
  );
  const move = (across: number, up: number) =>
    change(({ x, y }) => ({ x: movedRange(x, across, false), y: movedRange(y, up, log) }));
  const look = ([x, y]: Point) => {
    if (!chart) return;
    const rim = chart.over.getBoundingClientRect();
    const at: Point = [x - rim.left, y - rim.top];
    const inside = at[0] >= 0 && at[1] >= 0 && at[0] <= rim.width && at[1] <= rim.height;
    const to = (x: number, y: number): Point => [chart.valToPos(x, "x"), chart.valToPos(y, "y")];
    setMark(inside ? markAt(plot, hidden, view, to, at) : null);
  };
  const isWhole = own === null;
  const isDown = plot.kind === "heat map";
  const hands = usePlotHands(host, chart, { zoom, move, tap: look, isDown, isWhole });

  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const moves: Record<string, Point> = {
      ArrowLeft: [-0.1, 0],
      ArrowRight: [0.1, 0],
      ArrowUp: [0, 0.1],
      ArrowDown: [0, -0.1],
    };
    const by = moves[event.key];
    const keys: Record<string, () => void> = {
      "+": () => zoom(1 / STEP),
      "-": () => zoom(STEP),
      "0": () => setOwn(null),
      Escape: () => setMark(null),
    };
    const run = by
      ? () => {
          if (event.shiftKey) move(...by);
          else setMark(markBeside(plot, hidden, mark, event.key as "ArrowLeft"));
        }
      : keys[event.key];
    if (!run || (event.key === "Escape" && !mark)) return;
    event.preventDefault();
    event.stopPropagation();
    run();
  };
  const toggle = (series: number) => {
    const next = new Set(hidden);
    if (!next.delete(series)) next.add(series);
    setHidden(next);
    setMark(null);
  };
  const drawn = plot.series.reduce((sum, { x }) => sum + x.length, 0);
  return (
    <section className="plot-chart" aria-label={nameOf(plot)}>
      <header>
        <h3>{plot.title}</h3>
        <IconButton small label="Zoom the plot out (-)" run={() => zoom(STEP)}>
          <Minus size={13} />
        </IconButton>
        <IconButton small label="Zoom the plot in (+)" run={() => zoom(1 / STEP)}>
          <Plus size={13} />
        </IconButton>
        <IconButton small label="See all of the plot (0)" disabled={isWhole} run={() => setOwn(null)}>
          <RotateCcw size={12} />
        </IconButton>
      </header>
      <div
        ref={host}
        className={`plot-box${isWhole ? " whole" : ""}`}
        role="group"
        tabIndex={0}
        aria-label="The plot: arrows go from mark to mark, with Shift they move it, + and - zoom, 0 shows all"
        onKeyDown={key}
        onDoubleClick={() => setOwn(null)}
        onPointerLeave={(event) => {
          if (event.pointerType !== "touch") setMark(null); // a finger that was lifted still means its mark
        }}
        {...hands}
        onPointerMove={(event) => {
          hands.onPointerMove(event);
          if (event.buttons === 0) look(pointOf(event));
        }}
      >
        <Told plot={plot} mark={mark} view={view} chart={chart} />
      </div>
      {plot.kind === "heat map" ? <Scale plot={plot} /> : null}
      {plot.series.length > 1 ? (
        <div className="chips" role="group" aria-label="Series">
          {plot.series.map(({ label }, n) => (
            <Chip key={n} isOn={!hidden.has(n)} colour={curveColour(n)} run={() => toggle(n)}>
              {label}
            </Chip>
          ))}
        </div>
      ) : null}
      {drawn < plot.marks ? (
        <p className="quiet">
          {drawn.toLocaleString("en")} of {plot.marks.toLocaleString("en")} marks; the picture shows all.
        </p>
      ) : null}
    </section>
  );
}

const nameOf = ({ kind, title, x, y, value }: Plot): string =>
  title || `${kind === "histogram" ? "histogram of" : `${kind} of ${value || y} over`} ${x}`;

/** uPlot in a box: axes and scales are its, the marks are painted by `paint`. */
function useChart(plot: Plot, view: View, hidden: ReadonlySet<number>) {
  const host = useRef<HTMLDivElement>(null);
  const [chart, setChart] = useState<uPlot | null>(null);
  const latest = useRef({ view, hidden });
  const theme = useUi((state) => state.theme);
  const [, setDrawn] = useState(0); // what lies over the plot has to follow it
  useEffect(() => {
    const box = host.current;
    if (!box) return undefined;
    const { axis, colour } = themeOf(box);
    const colours = plot.series.map((_, n) => colour(curveColour(n)));
    const names = (of: readonly string[] | null): uPlot.Axis =>
      of
        ? {
            incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000],
            values: (_chart, places) => places.map((place) => cut(of[place] ?? "")),
          }
        : {};
    const widest = (of: readonly string[] | null) =>
      Math.max(0, ...(of ?? []).map((name) => cut(name).length));
    const label = { labelSize: 20, labelFont: "11px Inter", labelGap: 2 };
    const size = () => ({ width: box.clientWidth, height: Math.max(box.clientHeight, 120) });
    const made = new uPlot(
      {
        ...size(),
        scales: {
          x: { time: false, range: () => [...latest.current.view.x] },
          y: {
            range: () => [...latest.current.view.y],
            ...(isLog(plot) ? LOG_SCALE : {}),
            ...(plot.kind === "heat map" ? { dir: -1 } : {}),
          },
        },
        axes: [
          {
            ...axis,
            ...label,
            ...names(plot.across),
            label: plot.x,
            size: 30,
            space: plot.across ? 12 + 6.5 * widest(plot.across) : 50,
          },
          {
            ...axis,
            ...label,
            ...(isLog(plot) ? LOG_AXIS : {}),
            ...names(plot.up),
            ...(plot.up ? { space: 18, size: 22 + 6.5 * widest(plot.up) } : { size: 56 }),
            label: plot.kind === "histogram" ? "count" : plot.y,
          },
        ],
        legend: { show: false },
        cursor: { show: false },
        series: [{}, { paths: () => null, points: { show: false } }],
        hooks: {
          draw: [
            (drawn) => {
              const { ctx, bbox } = drawn;
              ctx.save();
              ctx.beginPath();
              ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
              ctx.clip();
              paint(drawn, plot, latest.current.hidden, latest.current.view, colours);
              ctx.restore();
              setDrawn((times) => times + 1);
            },
          ],
        },
      },
      [
        [0, 1],
        [0, 1],
      ], // uPlot wants some; the ranges are the view's
      box,
    );
    setChart(made);
    const observer = new ResizeObserver(() => made.setSize(size()));
    observer.observe(box);
    return () => {
      observer.disconnect();
      made.destroy();
    };
  }, [plot, theme]);
  useEffect(() => {
    latest.current = { view, hidden };
    chart?.batch(() => {
      chart.setScale("x", { min: view.x[0], max: view.x[1] });
      chart.setScale("y", { min: view.y[0], max: view.y[1] });
      chart.redraw(false, true);
    });
  }, [chart, view, hidden]);
  return { host, chart };
}

const cut = (name: string): string => (name.length > LONGEST ? `${name.slice(0, LONGEST - 1)}…` : name);

interface Changes {
  readonly zoom: (factor: number, about: Point, axes: string) => void;
  readonly move: (across: number, up: number) => void;
  readonly tap: (at: Point) => void;
  /** Whether the axis up goes down. */
  readonly isDown: boolean;
  /** Whether all of it is seen: a finger scrolls then what the plot is in. */
  readonly isWhole: boolean;
}

const TREMBLE = 5; // pixels within which a press is a tap

/** Hands on a plot: over an axis they change that one alone. */
function usePlotHands(
  host: RefObject<HTMLDivElement | null>,
  chart: uPlot | null,
  { zoom, move, tap, isDown, isWhole }: Changes,
) {
  const press = useRef<{ at: Point; axes: string; isTap: boolean } | null>(null);
  const where = useCallback(
    ([x, y]: Point) => {
      const rim = chart?.over.getBoundingClientRect() ?? new DOMRect(0, 0, 1, 1);
      const share: Point = [(x - rim.left) / rim.width, (rim.bottom - y) / rim.height];
      const axes = share[1] < 0 ? "x" : share[0] < 0 ? "y" : "xy";
      return { rim, axes, about: [share[0], isDown ? 1 - share[1] : share[1]] as Point };
    },
    [chart, isDown],
  );
  return useHands(host, {
    zoom: useCallback(
      (factor, at) => {
        const { axes, about } = where(at);
        zoom(1 / factor, about, axes);
      },
      [where, zoom],
    ),
    down(event, fingers) {
      const at = pointOf(event);
      press.current = { at, axes: where(at).axes, isTap: fingers === 1 && event.button === 0 };
    },
    move(from, to, fingers, event) {
      const hand = press.current;
      if (!hand || event.buttons > 1) return;
      if (hand.isTap && Math.hypot(to[0] - hand.at[0], to[1] - hand.at[1]) < TREMBLE) return;
      press.current = { ...hand, isTap: false };
      if (isWhole && fingers === 1 && event.pointerType === "touch") return;
      const { rim } = where(from);
      const up = ((to[1] - from[1]) / rim.height) * (isDown ? -1 : 1);
      move(hand.axes === "y" ? 0 : (from[0] - to[0]) / rim.width, hand.axes === "x" ? 0 : up);
    },
    up(event) {
      if (press.current?.isTap && event.type === "pointerup") tap(pointOf(event));
    },
  });
}

/** The mark that is meant, made out, and what it stands for beside it; said to who does not see it. */
function Told({
  plot,
  mark,
  view,
  chart,
}: {
  plot: Plot;
  mark: Mark | null;
  view: View;
  chart: uPlot | null;
}) {
  const place = mark && placeOf(plot, mark);
  const told = mark && place ? toldOf(plot, mark) : [];
  const over = chart?.over;
  let drawn = null;
  if (place && chart && over) {
    const to = (x: number, y: number): Point => [
      over.offsetLeft + chart.valToPos(x, "x"),
      over.offsetTop + chart.valToPos(y, "y"),
    ];
    const [x, y] = to(...place);
    const { x: wide, y: high } = area(plot, view, place);
    const [[left, top], [right, bottom]] = [to(wide[0], high[1]), to(wide[1], high[0])];
    const ring = isOfAreas(plot)
      ? { left, top: Math.min(top, bottom), width: right - left, height: Math.abs(bottom - top) }
      : { left: x - 6, top: y - 6, width: 12, height: 12, borderRadius: 6 };
    const isRight = x > over.offsetLeft + over.clientWidth / 2;
    const isLow = y > over.offsetTop + over.clientHeight / 2;
    drawn = (
      <>
        <i className="plot-ring" style={ring} aria-hidden />
        <dl
          className="plot-told"
          aria-hidden
          style={{
            left: isRight ? x - 12 : x + 12,
            top: y,
            transform: `translate(${isRight ? "-100%" : "0"}, ${isLow ? "-100%" : "0"})`,
          }}
        >
          {told.map(([name, value]) => (
            <div key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </div>
          ))}
        </dl>
      </>
    );
  }
  return (
    <>
      {drawn ? <div className="plot-over">{drawn}</div> : null}
      <p className="unseen" role="status">
        {said(told)}
      </p>
    </>
  );
}

/** What the colours of a heat map mean. */
function Scale({ plot }: { plot: Plot }) {
  const [low, high] = useMemo(() => coloured(plot), [plot]);
  const stops = [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1].map(heat);
  return (
    <p className="plot-scale">
      <span>{plot.value}</span>
      <span>{figures(low)}</span>
      <i style={{ background: `linear-gradient(to right, ${stops.join(", ")})` }} aria-hidden />
      <span>{figures(high)}</span>
      {plot.log ? <span className="quiet">logarithmic</span> : null}
    </p>
  );
}
