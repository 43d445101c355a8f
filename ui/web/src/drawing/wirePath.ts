/** The path of a wire in the style that was chosen: curved, straight, or in steps. */
import { getSmoothStepPath, Position } from "@xyflow/react";
import type { Point } from "./geometry";
import { curve } from "./wires";

export type WireStyle = "curved" | "straight" | "stepped";

/** A line that leaves to the right and arrives from the left, as an SVG path. */
export function between(style: WireStyle, from: Point, to: Point): string {
  if (style === "curved") return curve(from, to);
  const [sourceX, sourceY] = from;
  const [targetX, targetY] = to;
  if (style === "straight") return `M${sourceX} ${sourceY} L${targetX} ${targetY}`;
  const sides = { sourcePosition: Position.Right, targetPosition: Position.Left };
  return getSmoothStepPath({ sourceX, sourceY, targetX, targetY, ...sides, borderRadius: 8, offset: 16 })[0];
}
