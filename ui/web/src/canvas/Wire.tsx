/**
 * A wire in the colour of its type, in pieces: over the entries of zones that it goes into, or through its reroutes. Each
 * piece is a curve, or runs round what is in its way. One that would run across the sheet is two stubs, the second with the
 * name of where it comes from, until the wire or one of its nodes is selected. Those of selected nodes are lit.
 */
import { BaseEdge, useStore, type EdgeProps } from "@xyflow/react";
import { memo } from "react";
import { shallow } from "zustand/shallow";
import { titleOf } from "../document/cards";
import { isSelected, useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { wireColour } from "../drawing/colours";
import { RAIL_LEFT, type Point } from "../drawing/geometry";
import { isLong, rounded } from "../drawing/wires";
import type { LoomEdge } from "../drawing/view";
import { between, type WireStyle } from "../drawing/wirePath";
import { useSettings } from "../state/settings";

export const Wire = memo(function Wire(props: EdgeProps<LoomEdge>) {
  const { data } = props;
  const straight = !data || (data.through.length === 0 && (data.way?.passes.length ?? 0) === 0);
  return straight ? <Drawn {...props} stops={NOWHERE} /> : <Passing {...props} />;
});

const NOWHERE: readonly number[] = [];

/** A wire that follows what it passes: each stop is where a piece ends and where the next begins, as x, y, x, y. */
function Passing(props: EdgeProps<LoomEdge>) {
  const stops = useStore((state) => {
    const cornerOf = (id: string) => state.nodeLookup.get(id)?.internals.positionAbsolute;
    const passes = (props.data?.way?.passes ?? []).flatMap(({ zone, y }) => {
      const at = cornerOf(zone);
      return at ? [[at.x, at.y + y, at.x + RAIL_LEFT, at.y + y] as const] : [];
    });
    const bends = (props.data?.through ?? []).flatMap((reroute) => {
      const at = cornerOf(reroute);
      return at ? [[at.x + 6, at.y + 6, at.x + 6, at.y + 6] as const] : [];
    });
    return [...passes, ...bends].sort((a, b) => a[0] - b[0]).flat();
  }, shallow);
  return <Drawn {...props} stops={stops} />;
}

interface Piece {
  readonly from: Point;
  readonly to: Point;
  readonly cut: boolean;
  readonly path: string;
}

function Drawn(props: EdgeProps<LoomEdge> & { stops: readonly number[] }) {
  const { id, source, target, sourceX, sourceY, targetX, targetY, selected, data, stops } = props;
  const catalog = useEditor((state) => state.catalog);
  const lit = useEditor((state) => isSelected(state, source) || isSelected(state, target));
  const takes = useUi((state) => state.dropWire === id);
  const style = useSettings((state) => state.wires);
  const bent = (data?.through.length ?? 0) > 0;
  const routes = bent ? [] : (data?.way?.routes ?? []);
  const ends = [sourceX, sourceY, ...stops, targetX, targetY];
  const pieces = Array.from({ length: ends.length / 4 }, (_, i): Piece => {
    const from: Point = [ends[4 * i] ?? 0, ends[4 * i + 1] ?? 0];
    const to: Point = [ends[4 * i + 2] ?? 0, ends[4 * i + 3] ?? 0];
    const cut = !selected && !lit && !bent && isLong(from, to);
    return { from, to, cut, path: cut ? stubs(from, to) : pathOf(style, from, to, routes[i] ?? null) };
  });
  const path = pieces.map((piece) => piece.path).join(" ");
  const look = [
    "wire",
    selected ? "selected" : "",
    lit ? "lit" : "",
    takes ? "takes" : "",
    data?.faint ? "faint" : "",
    data?.many ? "many" : "",
  ];
  return (
    <g
      className={look.filter(Boolean).join(" ")}
      style={{ "--wire": wireColour(catalog, data?.kind ?? "any") } as React.CSSProperties}
    >
      {selected ? <path d={path} className="wire-edge" /> : null}
      <BaseEdge id={id} path={path} interactionWidth={16} />
      {pieces.map(({ from, to, cut }, i) =>
        cut ? (
          <g key={i}>
            <circle cx={from[0] + STUB} cy={from[1]} r={3.5} className="stub-end" />
            <text x={to[0] - STUB - 5} y={to[1] + 4} className="stub-name">
              {titleOf(source)}
            </text>
          </g>
        ) : null,
      )}
    </g>
  );
}

const STUB = 22;

const stubs = ([x, y]: Point, [toX, toY]: Point): string =>
  `M${x} ${y} h${STUB} M${toX - STUB} ${toY} h${STUB}`;

/** How far the ends may be from where they were reckoned: a browser measures handles to the pixel, and some grow. */
const SLACK = 8;

/** The way that was found, while what it was found for stands or moved as a whole; else the plain line of the style. */
function pathOf(style: WireStyle, from: Point, to: Point, route: readonly number[] | null): string {
  if (!route || style === "straight") return between(style, from, to);
  const [x = 0, y = 0] = route;
  const [toX = 0, toY = 0] = route.slice(-2);
  const shift: Point = [from[0] - x, from[1] - y];
  if (Math.abs(toX + shift[0] - to[0]) + Math.abs(toY + shift[1] - to[1]) > SLACK)
    return between(style, from, to);
  const moved = route.slice(2, -2).map((value, i) => value + (shift[i % 2] ?? 0));
  return rounded([...from, ...moved, ...to]);
}
