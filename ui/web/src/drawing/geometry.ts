/** Sizes and places: what the drawing is made of, the same in CSS (style/node.css) and here. */
import type { Card, Cards } from "../document/cards";
import { depth, type Doc, type Id, type Place } from "../document/document";
import { widgetOf } from "../document/widgets";
import type { InSlot, OutSlot } from "../document/slots";
import { push, type Box, type Point, type Size } from "./pushing";

export type { Point, Size };

export const ROW = 24;
/** The diameter of a handle: wires begin and end at its outer side. */
export const HANDLE = 10;
export const HEADER = 30;
export const PADDING = 6;
export const CARD_WIDTH = 224;
export const RAIL_LEFT = 224;
const RAIL_RIGHT = 168;
export const ROOM = 24; // around a zone's nodes
const LEAST = 360; // the width of a zone's inside, however little is in it

/** One line of a card: a port on the left, one on the right, or a parameter's widget. */
export interface Line {
  readonly left?: InSlot;
  /** The second parameter of a size: width and height share a line. */
  readonly second?: InSlot;
  readonly right?: OutSlot;
  readonly widget: boolean;
  readonly height: number;
}

export const hasWidget = (slot: InSlot): boolean =>
  slot.ref === null &&
  !slot.adds &&
  !slot.asPort &&
  (slot.port.schema !== undefined || slot.value !== undefined);

const isTall = (slot: InSlot): boolean => ["multiline", "lines"].includes(widgetOf(slot.port).widget.kind);

/** The lines of a side: ports in pairs, then parameters; those that hold much text share `more` pixels among them. */
export function linesOf(left: readonly InSlot[], right: readonly OutSlot[], more = 0): Line[] {
  const ports = left.filter((slot) => !hasWidget(slot));
  const pairs = Array.from({ length: Math.max(ports.length, right.length) }, (_, i): Line => {
    const [a, b] = [ports[i], right[i]];
    return { ...(a ? { left: a } : {}), ...(b ? { right: b } : {}), widget: false, height: ROW };
  });
  const params = left.filter(hasWidget);
  const share = Math.floor(more / Math.max(1, params.filter(isTall).length));
  const lines = params.flatMap((slot, i): Line[] => {
    if (isSize(params[i - 1], slot)) return [];
    const next = params[i + 1];
    if (next && isSize(slot, next)) {
      const [width, height] = slot.handle === "width" ? [slot, next] : [next, slot];
      return [{ left: width, second: height, widget: true, height: ROW }];
    }
    return [{ left: slot, widget: true, height: isTall(slot) ? 3 * ROW + share : ROW }];
  });
  return [...pairs, ...lines];
}

/** Whether two parameters that follow each other are a width and a height. */
const isSize = (a: InSlot | undefined, b: InSlot): boolean =>
  a !== undefined && [a.handle, b.handle].sort().join() === "height,width";

/** Whether a node, folded, has values to tell. */
export const tells = (card: Card): boolean => !card.isZone && card.inputs.some(hasWidget);

export const heightOf = (lines: readonly Line[]): number =>
  lines.reduce((sum, line) => sum + line.height, 2 * PADDING);

/** How much lower a folded node ends that tells its values below its name. */
const VALUES = 18;

/** What texts of a card have beside their usual height: what a person made it taller by. */
export function roomOf(card: Card): number {
  if (card.height === 0 || !card.inputs.some((slot) => hasWidget(slot) && isTall(slot))) return 0;
  return Math.max(0, card.height - HEADER - heightOf(linesOf(card.inputs, card.outputs)));
}

const cardLines = (card: Card): Line[] => linesOf(card.inputs, card.outputs, roomOf(card));

/** Worked out once for each card: one stays the same object while nothing about it changes (document/cards.ts). */
function ofCard<T>(make: (card: Card) => T): (card: Card) => T {
  const known = new WeakMap<Card, { readonly made: T }>();
  return (card) => {
    const found = known.get(card) ?? { made: make(card) };
    known.set(card, found);
    return found.made;
  };
}

/** The size a card will have, before the browser has measured it. */
export const estimate = ofCard((card): Size => {
  const width = card.width || CARD_WIDTH;
  if (card.collapsed) return [width, HEADER + (tells(card) ? VALUES : 0)];
  return [width, Math.max(card.height, HEADER + heightOf(cardLines(card)))];
});

/** The heights of a zone's ports: of those on the left rail, and of those on the right one. */
const railHeights = ofCard((card) => ({
  left: heightOf(linesOf(card.inputs, card.inner)),
  right: heightOf(linesOf(card.results, card.outputs)),
}));

/** The height of a zone's entries, which follow the ports on its left rail. */
const entriesHeight = (card: Card): number =>
  card.entries.length > 0 ? card.entries.length * ROW + PADDING : 0;

const rails = (card: Card, shown: number): number => {
  const { left, right } = railHeights(card);
  return HEADER + Math.max(left + entriesHeight(card) + shown, right);
};

/** How far below a zone's top each of its entries is. */
export function entryHeights(card: Card): number[] {
  const top = HEADER - 1 + railHeights(card).left;
  return card.entries.map((_, i) => top + (i + 0.5) * ROW);
}

/** Where the middle of a handle is on its node. */
export interface Spot {
  readonly handle: string;
  readonly type: "source" | "target";
  readonly x: number;
  readonly y: number;
}

function spotsOf(lines: readonly Line[], left: number, right: number): Spot[] {
  let top = HEADER + PADDING - 1;
  return lines.flatMap((line) => {
    const y = top + line.height / 2;
    top += line.height;
    return [
      ...(line.left ? [{ handle: line.left.handle, type: "target" as const, x: left, y }] : []),
      ...(line.right ? [{ handle: line.right.handle, type: "source" as const, x: right, y }] : []),
    ];
  });
}

const known = new WeakMap<Card, { width: number; spots: Spot[] }>();

/** The handles of a card or zone of this width; the same list while nothing about them changes. */
export function handleSpots(card: Card, width: number): readonly Spot[] {
  const before = known.get(card);
  if (before?.width === width) return before.spots;
  const spots = findSpots(card, width);
  known.set(card, { width, spots });
  return spots;
}

function findSpots(card: Card, width: number): Spot[] {
  if (card.collapsed) {
    const y = estimate(card)[1] / 2;
    const targets = [...card.inputs.map((slot) => slot.handle), "inside"];
    const sources = [...card.outputs.map((slot) => slot.handle), "out:inside"];
    return [
      ...targets.map((handle): Spot => ({ handle, type: "target", x: 0, y })),
      ...sources.map((handle): Spot => ({ handle, type: "source", x: width, y })),
    ];
  }
  if (!card.isZone) return spotsOf(cardLines(card), 0, width);
  return [
    ...spotsOf(linesOf(card.inputs, card.inner), 0, RAIL_LEFT),
    ...entryHeights(card).map((y, i): Spot => ({
      handle: card.entries[i]?.handle ?? "",
      type: "target",
      x: 0,
      y,
    })),
    ...spotsOf(linesOf(card.results, card.outputs), width - railRight(card), width),
  ];
}

/** The width of a zone's right rail; a zone that gives nothing has none. */
export const railRight = (card: Card): number =>
  card.results.length + card.outputs.length === 0 ? 0 : RAIL_RIGHT;

/** The size of a zone that holds nothing; `shown`: the height of what its rail shows. */
export const emptyZone = (card: Card, shown = 0): Size => [
  RAIL_LEFT + LEAST + railRight(card),
  Math.max(rails(card, shown) + PADDING, HEADER + 120),
];

/** The size of a zone, `empty` as large as without them, around boxes of nodes in its own coordinates. */
export function zoneAround(
  empty: Size,
  right: number,
  boxes: readonly { at: Point; size: Size }[],
): readonly [number, number] {
  const width = Math.max(0, ...boxes.map((box) => box.at[0] + box.size[0])) + ROOM + right;
  const height = Math.max(0, ...boxes.map((box) => box.at[1] + box.size[1])) + ROOM;
  return [Math.max(empty[0], width), Math.max(empty[1], height)];
}

/** The least size of a zone around boxes of nodes; `wanted`: what a person made it. */
export function zoneSize(
  card: Card,
  boxes: readonly { at: Point; size: Size }[],
  shown = 0,
  wanted?: Size,
): Size {
  const [width, height] = zoneAround(emptyZone(card, shown), railRight(card), boxes);
  return [Math.max(width, wanted?.[0] ?? 0), Math.max(height, wanted?.[1] ?? 0)];
}

/** Places of nodes: what the file says, else what was found for them; and where they were pushed to by what grew. */
export interface Placed {
  readonly doc: Doc;
  readonly auto: Readonly<Record<Id, Place>>;
  readonly pushed?: Readonly<Record<Id, Point>>;
}

export interface Sheet extends Placed {
  readonly cards: Cards;
  /** Sizes as the browser measured them; of an open zone, of what its left rail shows below the ports. */
  readonly measured: Readonly<Record<Id, Size>>;
}

export function placeOf(sheet: Placed, id: Id): Place {
  const place = sheet.doc.places[id] ?? sheet.auto[id] ?? { at: [0, 0] };
  const at = sheet.pushed?.[id];
  return at ? { ...place, at } : place;
}

const sizesOn = new WeakMap<Sheet, ReadonlyMap<Id, Size>>();

/** The size of every node; zones, from the innermost out, are as large as what they hold. Worked out once for a sheet. */
export function sizesOf(sheet: Sheet): ReadonlyMap<Id, Size> {
  const sizes = sizesOn.get(sheet) ?? settled(sheet, false).sizes;
  sizesOn.set(sheet, sizes);
  return sizes;
}

/** What was pushed by nodes that grew, and where to. */
export const pushedOf = (sheet: Sheet): Record<Id, Point> => settled({ ...sheet, pushed: {} }, true).pushed;

/** The size of every node; and with `pushing`, where those go that would be covered, from the innermost zones out. */
function settled(sheet: Sheet, pushing: boolean): { sizes: Map<Id, Size>; pushed: Record<Id, Point> } {
  const sizes = new Map<Id, Size>();
  const pushed: Record<Id, Point> = {};
  const deepestFirst = Object.values(sheet.cards)
    .map((card) => ({ card, level: depth(sheet.doc, card.id) }))
    .sort((a, b) => b.level - a.level);
  const held = new Map<Id | null, Box[]>();
  const boxesIn = (zone: Id | null): readonly Box[] => {
    const boxes = held.get(zone) ?? [];
    if (!pushing) return boxes;
    const apart = push(boxes);
    apart.forEach((box, i) => {
      if (box !== boxes[i]) pushed[box.id] = box.at;
    });
    return apart;
  };
  for (const { card } of deepestFirst) {
    const open = card.isZone && !card.collapsed;
    const spot = placeOf(sheet, card.id);
    const size = open
      ? zoneSize(card, boxesIn(card.id), sheet.measured[card.id]?.[1], spot.size)
      : card.collapsed
        ? estimate(card)
        : (sheet.measured[card.id] ?? estimate(card));
    sizes.set(card.id, size);
    const boxes = held.get(card.zone);
    const box: Box = { id: card.id, at: spot.at, size };
    if (boxes) boxes.push(box);
    else held.set(card.zone, [box]);
  }
  if (pushing) boxesIn(null);
  return { sizes, pushed };
}

/** Where a node is drawn on the sheet, whatever zones are around it. */
export function absolute(sheet: Placed, id: Id): Point {
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
