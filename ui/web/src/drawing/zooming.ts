/** How a picture lies in the box it is looked at in: fitted, zoomed about a point, moved. Pure numbers, in pixels. */
import type { Point, Size } from "./geometry";

/** Where the picture's upper left corner lies in the box, and how large one of its pixels is drawn. */
export interface Look {
  readonly scale: number;
  readonly at: Point;
}

const LEAST = 0.02;
const MOST = 64;

const clamp = (scale: number): number => Math.min(MOST, Math.max(LEAST, scale));

/** The whole picture in the middle of the box. Small ones are enlarged by a whole factor, so that their pixels stay even. */
export function fitted(picture: Size, box: Size): Look {
  const room = Math.min(box[0] / Math.max(1, picture[0]), box[1] / Math.max(1, picture[1]));
  const scale = clamp(room > 1 ? Math.floor(room) : room);
  return {
    scale,
    at: [(box[0] - picture[0] * scale) / 2, (box[1] - picture[1] * scale) / 2],
  };
}

/** Zoomed by a factor about a point of the box, which keeps what it is on. */
export function zoomed(look: Look, factor: number, about: Point): Look {
  const scale = clamp(look.scale * factor);
  const by = scale / look.scale;
  return {
    scale,
    at: [about[0] - (about[0] - look.at[0]) * by, about[1] - (about[1] - look.at[1]) * by],
  };
}

export const moved = (look: Look, by: Point): Look => ({
  ...look,
  at: [look.at[0] + by[0], look.at[1] + by[1]],
});

/** A point of the box, in the picture's pixels. */
export const inPicture = (look: Look, [x, y]: Point): Point => [
  (x - look.at[0]) / look.scale,
  (y - look.at[1]) / look.scale,
];

type Pair = readonly [Point, Point];

/** How two fingers that moved zoom what is between them, and from where to where they move it. */
export function pinchOf(before: Pair, after: Pair): { factor: number; from: Point; to: Point } {
  const apart = ([a, b]: Pair) => Math.hypot(a[0] - b[0], a[1] - b[1]);
  const middle = ([a, b]: Pair): Point => [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  return { factor: apart(after) / Math.max(1, apart(before)), from: middle(before), to: middle(after) };
}
