/** From where on the sheet something is looked at. */

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

type Pane = Pick<Box, "width" | "height">;

export const MIN_ZOOM = 0.05;

/** The zoom from which on nodes are read and used without effort. */
export const READABLE = 0.7;
const PADDING = 40;
/** Room for what is drawn above the uppermost node: a zone's name. */
const ABOVE = 24;

/** The view in which a box is whole and in the middle; or its upper left corner, where it is too large to be read whole. */
export function readable(bounds: Box, pane: Pane): { x: number; y: number; zoom: number } {
  const room = { width: pane.width - 2 * PADDING, height: pane.height - 2 * PADDING - ABOVE };
  const whole = Math.min(room.width / bounds.width, room.height / bounds.height);
  const zoom = Math.min(1, Math.max(READABLE, whole));
  const spare = (own: number, free: number): number => Math.max(0, (free - own * zoom) / 2);
  return {
    x: PADDING + spare(bounds.width, room.width) - bounds.x * zoom,
    y: PADDING + ABOVE + spare(bounds.height, room.height) - bounds.y * zoom,
    zoom,
  };
}

type View = ReturnType<typeof readable>;

const around = (boxes: readonly Box[]): Box => {
  const [x, y] = [Math.min(...boxes.map((box) => box.x)), Math.min(...boxes.map((box) => box.y))];
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { x, y, width: right - x, height: bottom - y };
};

/**
 * The view of a box that cuts none of the others at its upper or left edge: what would begin outside and reach in is looked at
 * as well. Not where the box would then begin in the far half of the pane: it is what is to be seen.
 */
export function uncut(box: Box, others: readonly Box[], pane: Pane): View {
  const widened = (whole: Box, from: View): View => {
    const isCut = (other: Box): boolean => {
      const [left, top] = [other.x * from.zoom + from.x, other.y * from.zoom + from.y];
      const [right, bottom] = [left + other.width * from.zoom, top + other.height * from.zoom];
      return (left < 0 || top < 0) && right > 0 && bottom > 0 && left < pane.width && top < pane.height;
    };
    const cut = others.filter(isCut);
    if (cut.length === 0) return from;
    const all = around([whole, ...cut]);
    const next = readable(all, pane);
    const isSeen =
      box.x * next.zoom + next.x < pane.width / 2 && box.y * next.zoom + next.y < pane.height / 2;
    return isSeen ? widened(all, next) : from;
  };
  return widened(box, readable(box, pane));
}
