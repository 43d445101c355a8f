/** A wire: a curve in the colour of its type, through its reroutes. */
import { BaseEdge, getBezierPath, Position, useStore, type EdgeProps } from "@xyflow/react";
import { memo } from "react";
import { shallow } from "zustand/shallow";
import { useEditor } from "../state/editor";
import { wireColour } from "./colours";
import type { LoomEdge } from "./view";

export const Wire = memo(function Wire(props: EdgeProps<LoomEdge>) {
  const { id, sourceX, sourceY, targetX, targetY, selected, data } = props;
  const catalog = useEditor((state) => state.catalog);
  const through = data?.through ?? [];
  const points = useStore(
    (state) =>
      through.flatMap((reroute) => {
        const at = state.nodeLookup.get(reroute)?.internals.positionAbsolute;
        return at ? [at.x + 6, at.y + 6] : [];
      }),
    shallow,
  );
  const path = curve([sourceX, sourceY, ...points, targetX, targetY]);
  const look = ["wire", selected ? "selected" : "", data?.faint ? "faint" : "", data?.many ? "many" : ""];
  return (
    <g
      className={look.filter(Boolean).join(" ")}
      style={{ "--wire": wireColour(catalog, data?.kind ?? "any") } as React.CSSProperties}
    >
      <path d={path} className="wire-edge" />
      <BaseEdge id={id} path={path} interactionWidth={16} />
    </g>
  );
});

/** Curves from left to right through points given as x, y, x, y, … */
function curve(points: readonly number[]): string {
  const paths: string[] = [];
  for (let i = 0; i + 3 < points.length; i += 2) {
    const [path] = getBezierPath({
      sourceX: points[i] ?? 0,
      sourceY: points[i + 1] ?? 0,
      sourcePosition: Position.Right,
      targetX: points[i + 2] ?? 0,
      targetY: points[i + 3] ?? 0,
      targetPosition: Position.Left,
      curvature: 0.3,
    });
    paths.push(path);
  }
  return paths.join(" ");
}
