/**
 * A mask as a list of what was done to it, painted anew from its beginning: so undo takes the last off, and nothing is
 * lost. What is painted is opaque; colour is the page's.
 */
import type { Point } from "./geometry";

export interface Brush {
  /** The width of the stroke, in the picture's pixels. */
  readonly size: number;
  /** The part of it that is fully painted: 1 has a sharp rim. */
  readonly hardness: number;
  readonly erases: boolean;
}

export type Step =
  | { readonly kind: "stroke"; readonly brush: Brush; readonly points: readonly Point[] }
  | { readonly kind: "fill" | "clear" | "invert" };

export interface Strokes {
  readonly done: readonly Step[];
  readonly undone: readonly Step[];
}

export const NOTHING: Strokes = { done: [], undone: [] };

export const did = ({ done }: Strokes, step: Step): Strokes => ({ done: [...done, step], undone: [] });

export function undid({ done, undone }: Strokes): Strokes {
  const last = done.at(-1);
  return last ? { done: done.slice(0, -1), undone: [...undone, last] } : { done, undone };
}

export function redid({ done, undone }: Strokes): Strokes {
  const next = undone.at(-1);
  return next ? { done: [...done, next], undone: undone.slice(0, -1) } : { done, undone };
}

/** What of a canvas is used here. */
export type Ground = Pick<
  CanvasRenderingContext2D,
  | "canvas"
  | "globalCompositeOperation"
  | "fillStyle"
  | "fillRect"
  | "clearRect"
  | "beginPath"
  | "arc"
  | "fill"
  | "createRadialGradient"
>;

/** Put what a brush does between two points on a canvas: discs so close that their rims are one. */
export function stamp(ground: Ground, brush: Brush, from: Point, to: Point, colour: string): void {
  const radius = Math.max(0.5, brush.size / 2);
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  const discs = Math.max(1, Math.ceil(length / Math.max(0.5, radius / 4)));
  ground.globalCompositeOperation = brush.erases ? "destination-out" : "source-over";
  for (let i = discs === 1 ? 1 : 0; i <= discs; i++) {
    const [x, y] = [from[0] + ((to[0] - from[0]) * i) / discs, from[1] + ((to[1] - from[1]) * i) / discs];
    if (brush.hardness >= 1) ground.fillStyle = colour;
    else {
      const soft = ground.createRadialGradient(x, y, radius * brush.hardness, x, y, radius);
      soft.addColorStop(0, colour);
      soft.addColorStop(1, clear(colour));
      ground.fillStyle = soft;
    }
    ground.beginPath();
    ground.arc(x, y, radius, 0, 2 * Math.PI);
    ground.fill();
  }
  ground.globalCompositeOperation = "source-over";
}

/** A colour of the form #rrggbb, to be seen through. */
const clear = (colour: string): string => `${colour}00`;

/** Do one step. */
export function apply(ground: Ground, step: Step, colour: string): void {
  const { width, height } = ground.canvas;
  switch (step.kind) {
    case "stroke":
      step.points.forEach((point, i) =>
        stamp(ground, step.brush, step.points[i - 1] ?? point, point, colour),
      );
      break;
    case "clear":
      ground.clearRect(0, 0, width, height);
      break;
    case "fill":
      ground.fillStyle = colour;
      ground.fillRect(0, 0, width, height);
      break;
    case "invert":
      // Where nothing was is painted, and where all was nothing is left: 1 - alpha.
      ground.globalCompositeOperation = "source-out";
      ground.fillStyle = colour;
      ground.fillRect(0, 0, width, height);
      ground.globalCompositeOperation = "source-over";
  }
}
