/** Which wires are drawn whole. */
import type { Point } from "./geometry";

const BACK = 120;
const DOWN = 520;
const FAR = 1500;

/** Whether a wire would run backwards or right across the sheet, over whatever lies between. */
export const isLong = ([x, y]: Point, [toX, toY]: Point): boolean =>
  (toX < x - BACK && Math.abs(toY - y) > BACK) || Math.abs(toY - y) > DOWN || toX - x > FAR;
