/** Sizes and places: what the drawing is made of, the same in CSS (style/node.css) and here. */
import type { Card, Cards } from "../document/cards";
import { depth, type Doc, type Id, type Place } from "../document/document";
import { widgetOf } from "../document/widgets";
import type { InSlot, OutSlot } from "../document/slots";

export const ROW = 24;
export const HEADER = 30;
export const PADDING = 6;
export const CARD_WIDTH = 224;
export const RAIL_LEFT = 224;
export const RAIL_RIGHT = 168;
export const ROOM = 24; // around a zone's nodes
export const COLLAPSED_WIDTH = 168;

export type Size = readonly [number, number];
export type Point = readonly [number, number];

/** One line of a card: a port on the left, one on the right, or a parameter's widget. */
export interface Line {
  readonly left?: InSlot;
  readonly right?: OutSlot;
  readonly widget: boolean;
}

export const hasWidget = (slot: InSlot, asPort: boolean): boolean =>
  slot.port.schema !== undefined && slot.ref === null && !asPort && !slot.adds;

/** The lines of a side: ports in pairs, then parameters. */
export function linesOf(
  left: readonly InSlot[],
  right: readonly OutSlot[],
  asPort: (handle: string) => boolean,
): Line[] {
  const ports = left.filter((slot) => !hasWidget(slot, asPort(slot.handle)) && slot.value === undefined);
  const params = left.filter((slot) => !ports.includes(slot));
  const lines: Line[] = [];
  for (let i = 0; i < Math.max(ports.length, right.length); i++) {
    const [a, b] = [ports[i], right[i]];
    lines.push({ ...(a ? { left: a } : {}), ...(b ? { right: b } : {}), widget: false });
  }
  return [...lines, ...params.map((slot) => ({ left: slot, widget: true }))];
}

function linesHeight(left: readonly InSlot[], right: readonly OutSlot[]): number {
  return linesOf(left, right, () => false).reduce((sum, line) => {
    const long = line.widget && line.left && widgetOf(line.left.port).widget.kind === "multiline";
    return sum + (long ? 3 * ROW : ROW);
  }, 2 * PADDING);
}

/** The size a card will have, before the browser has measured it. */
export function estimate(card: Card): Size {
  if (card.collapsed) return [COLLAPSED_WIDTH, HEADER];
  return [CARD_WIDTH, HEADER + linesHeight(card.inputs, card.outputs)];
}

const rails = (card: Card): number =>
  HEADER + Math.max(linesHeight(card.inputs, card.inner), linesHeight(card.results, card.outputs));

/** The least size of a zone around boxes of nodes, in its own coordinates. */
export function zoneSize(card: Card, boxes: readonly { at: Point; size: Size }[], wanted?: Size): Size {
  const right = Math.max(0, ...boxes.map((box) => box.at[0] + box.size[0] - RAIL_LEFT));
  const bottom = Math.max(0, ...boxes.map((box) => box.at[1] + box.size[1]));
  const width = RAIL_LEFT + Math.max(right + ROOM, 160) + RAIL_RIGHT;
  const height = Math.max(bottom + ROOM, rails(card) + PADDING, HEADER + 120);
  return [Math.max(width, wanted?.[0] ?? 0), Math.max(height, wanted?.[1] ?? 0)];
}

export interface Sheet {
  readonly doc: Doc;
  readonly cards: Cards;
  /** Places of nodes for which the file has none. */
  readonly auto: Readonly<Record<Id, Place>>;
  /** Sizes as the browser measured them. */
  readonly measured: Readonly<Record<Id, Size>>;
}

export const placeOf = (sheet: Pick<Sheet, "doc" | "auto">, id: Id): Place =>
  sheet.doc.places[id] ?? sheet.auto[id] ?? { at: [0, 0] };

/** The size of every node; zones, from the innermost out, are as large as what they hold. */
export function sizesOf(sheet: Sheet): Map<Id, Size> {
  const sizes = new Map<Id, Size>();
  const deepestFirst = Object.values(sheet.cards)
    .map((card) => ({ card, level: depth(sheet.doc, card.id) }))
    .sort((a, b) => b.level - a.level);
  const held = new Map<Id, { at: Point; size: Size }[]>();
  for (const { card } of deepestFirst) {
    const open = card.isZone && !card.collapsed;
    const spot = placeOf(sheet, card.id);
    const size = open
      ? zoneSize(card, held.get(card.id) ?? [], spot.size)
      : card.collapsed
        ? estimate(card)
        : (sheet.measured[card.id] ?? estimate(card));
    sizes.set(card.id, size);
    if (card.zone === null) continue;
    const boxes = held.get(card.zone);
    if (boxes) boxes.push({ at: spot.at, size });
    else held.set(card.zone, [{ at: spot.at, size }]);
  }
  return sizes;
}

/** Where a node is drawn on the sheet, whatever zones are around it. */
export function absolute(sheet: Pick<Sheet, "doc" | "auto">, id: Id): Point {
  let [x, y] = placeOf(sheet, id).at;
  for (
    let zone = sheet.doc.nodes[id]?.zone ?? null;
    zone !== null;
    zone = sheet.doc.nodes[zone]?.zone ?? null
  ) {
    const [dx, dy] = placeOf(sheet, zone).at;
    x += dx;
    y += dy;
  }
  return [x, y];
}

/** The innermost open zone under a point that may be one of `candidates`. */
export function zoneAt(
  sheet: Sheet,
  sizes: ReadonlyMap<Id, Size>,
  point: Point,
  without: readonly Id[],
): Id | null {
  let found: Id | null = null;
  let level = -1;
  for (const card of Object.values(sheet.cards)) {
    if (!card.isZone || card.collapsed) continue;
    if (without.some((id) => id === card.id || isUnder(sheet.doc, card.id, id))) continue;
    if (hiddenIn(sheet, card.id) !== null) continue;
    const [x, y] = absolute(sheet, card.id);
    const [w, h] = sizes.get(card.id) ?? [0, 0];
    const within = point[0] >= x && point[0] <= x + w && point[1] >= y && point[1] <= y + h;
    const own = depth(sheet.doc, card.id);
    if (within && own > level) [found, level] = [card.id, own];
  }
  return found;
}

function isUnder(doc: Doc, id: Id, zone: Id): boolean {
  for (let at = doc.nodes[id]?.zone ?? null; at !== null; at = doc.nodes[at]?.zone ?? null)
    if (at === zone) return true;
  return false;
}

/** The outermost collapsed zone that hides a node; null where it is seen. */
export function hiddenIn(sheet: Pick<Sheet, "doc" | "cards">, id: Id): Id | null {
  let found: Id | null = null;
  for (
    let zone = sheet.doc.nodes[id]?.zone ?? null;
    zone !== null;
    zone = sheet.doc.nodes[zone]?.zone ?? null
  ) {
    if (sheet.cards[zone]?.collapsed) found = zone;
  }
  return found;
}
