/** The path of a wire in the style that was chosen: curved, straight, or in steps. */
import { getBezierPath, getSmoothStepPath, getStraightPath, Position } from "@xyflow/react";

export type WireStyle = "curved" | "straight" | "stepped";

/** From left to right through points given as x, y, x, y, … */
export function pathThrough(style: WireStyle, points: readonly number[]): string {
  const paths: string[] = [];
  for (let i = 0; i + 3 < points.length; i += 2) {
    const ends = {
      sourceX: points[i] ?? 0,
      sourceY: points[i + 1] ?? 0,
      sourcePosition: Position.Right,
      targetX: points[i + 2] ?? 0,
      targetY: points[i + 3] ?? 0,
      targetPosition: Position.Left,
    };
    const [path] =
      style === "straight"
        ? getStraightPath(ends)
        : style === "stepped"
          ? getSmoothStepPath({ ...ends, borderRadius: 8, offset: 16 })
          : getBezierPath({ ...ends, curvature: 0.3 });
    paths.push(path);
  }
  return paths.join(" ");
}
