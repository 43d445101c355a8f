/** The lines of wires: which are drawn whole, and as which curve. */
import type { Point } from "./geometry";

const BACK = 120;
const DOWN = 520;
const FAR = 1500;

/** Whether a wire would run backwards or right across the sheet, over whatever lies between. */
export const isLong = ([x, y]: Point, [toX, toY]: Point): boolean =>
  (toX < x - BACK && Math.abs(toY - y) > BACK) || Math.abs(toY - y) > DOWN || toX - x > FAR;

/** How far the ends of a curve reach out to the right and the left before they turn. */
const reach = (distance: number): number => (distance >= 0 ? distance / 2 : 7.5 * Math.sqrt(-distance));

/** A curve that leaves to the right and arrives from the left, as an SVG path. */
export function curve([x, y]: Point, [toX, toY]: Point): string {
  const out = reach(toX - x);
  return `M${x} ${y} C${x + out} ${y} ${toX - out} ${toY} ${toX} ${toY}`;
}

/** So many points on the curve, without its ends. */
export function alongCurve([x, y]: Point, [toX, toY]: Point, count: number): Point[] {
  const out = reach(toX - x);
  return Array.from({ length: count }, (_, i): Point => {
    const t = (i + 1) / (count + 1);
    const u = 1 - t;
    const [a, b, c, d] = [u * u * u, 3 * u * u * t, 3 * u * t * t, t * t * t];
    return [a * x + b * (x + out) + c * (toX - out) + d * toX, (a + b) * y + (c + d) * toY];
  });
}

const CORNER = 9;

/** A line through points given as x, y, x, y, …, its corners rounded, as an SVG path. */
export function rounded(points: readonly number[]): string {
  const at = (i: number): Point => [points[2 * i] ?? 0, points[2 * i + 1] ?? 0];
  const last = points.length / 2 - 1;
  const towards = ([x, y]: Point, [toX, toY]: Point): Point => {
    const length = Math.hypot(toX - x, toY - y) || 1;
    const share = Math.min(CORNER, length / 2) / length;
    return [x + (toX - x) * share, y + (toY - y) * share];
  };
  let path = `M${at(0).join(" ")}`;
  for (let i = 1; i < last; i++) {
    path += ` L${towards(at(i), at(i - 1)).join(" ")} Q${at(i).join(" ")} ${towards(at(i), at(i + 1)).join(" ")}`;
  }
  return `${path} L${at(last).join(" ")}`;
}
