/** Keeping what pops up inside of the window. */
import type { CSSProperties } from "react";
import type { Point } from "../drawing/geometry";

export function inside(at: Point, size: Point): CSSProperties {
  const margin = 8;
  const left = Math.max(margin, Math.min(at[0], innerWidth - size[0] - margin));
  const top = Math.max(margin, Math.min(at[1], innerHeight - size[1] - margin));
  return { left, top };
}
