/** From where on the sheet something is looked at. */

interface Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export const MIN_ZOOM = 0.05;

/** The zoom from which on nodes are read and used without effort. */
export const READABLE = 0.7;
const PADDING = 40;
/** Room for what is drawn above the uppermost node: a zone's name. */
const ABOVE = 24;

/** The view in which a box is whole and in the middle; or its upper left corner, where it is too large to be read whole. */
export function readable(
  bounds: Box,
  pane: { readonly width: number; readonly height: number },
): { x: number; y: number; zoom: number } {
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
