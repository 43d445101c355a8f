/**
 * Automatic layout from left to right. dagre decides columns and the order within them; heights follow from the wires,
 * so that they run level. Each zone is laid out by itself and then placed as one box; the top goes on in a new row,
 * like a line of text, where it grows too wide.
 */
import { Graph, layout as dagre } from "@dagrejs/dagre";
import type { Cards } from "../document/cards";
import type { Doc, Id, Place } from "../document/document";
import { HEADER, RAIL_LEFT, ROOM, ROW, zoneAround, type Point, type Size } from "./geometry";
import { planOf, type Plan, type Planned } from "./plan";

const COLUMN_GAP = 56;
const NODE_GAP = 22;
const ZONE_GAP = 36;
const ROW_GAP = 90;
const WIDEST = 4000;
const SWEEPS = 10;
const PORT = HEADER + ROW; // where wires meet a box, about, below its top

/** A place for every node. Sizes as the browser measured them count, others are estimated. */
export const layOut = (doc: Doc, cards: Cards, measured: Readonly<Record<Id, Size>>): Record<Id, Place> =>
  layOutPlan(planOf(doc, cards, measured));

/** The same by a plan, which a worker can be sent. */
export function layOutPlan(plan: Plan): Record<Id, Place> {
  const zones = new Map(plan.boxes.map(({ id, zone }) => [id, zone]));
  const held = groupedBy(plan.boxes, ({ zone }) => zone);
  const wires = groupedBy(plan.wires, ([from]) => zones.get(from) ?? null);
  const sheet: Sheet = { zones, held, wires, places: {} };
  layScope(sheet, null);
  return sheet.places;
}

function groupedBy<T>(all: readonly T[], zoneOf: (each: T) => Id | null): Map<Id | null, T[]> {
  const groups = new Map<Id | null, T[]>();
  for (const each of all) {
    const zone = zoneOf(each);
    const group = groups.get(zone);
    if (group) group.push(each);
    else groups.set(zone, [each]);
  }
  return groups;
}

/** Places for the nodes that have none, as if all were laid out. */
export function fillIn(doc: Doc, cards: Cards, measured: Readonly<Record<Id, Size>>): Record<Id, Place> {
  const missing = Object.keys(doc.nodes).filter((id) => !(id in doc.places));
  if (missing.length === 0) return {};
  const all = layOut(doc, cards, measured);
  return Object.fromEntries(missing.map((id) => [id, all[id] ?? { at: [0, 0] }]));
}

interface Sheet {
  /** The zone around each node. */
  readonly zones: ReadonlyMap<Id, Id | null>;
  readonly held: ReadonlyMap<Id | null, readonly Planned[]>;
  /** The wires that begin in each zone. */
  readonly wires: ReadonlyMap<Id | null, Plan["wires"]>;
  readonly places: Record<Id, Place>;
}

interface Box {
  readonly id: Id;
  readonly size: Size;
  /** Free room above, for the name that a zone shows from afar. */
  readonly above: number;
  x: number;
  y: number;
}

/** A wire between two boxes of a scope, and how far below their tops it begins and ends. */
interface Link {
  readonly from: Id;
  readonly to: Id;
  readonly fromY: number;
  readonly toY: number;
}

function layScope(sheet: Sheet, zone: Id | null): { at: Point; size: Size }[] {
  const boxes = new Map<Id, Box>();
  for (const { id, size, open } of sheet.held.get(zone) ?? []) {
    const held = layScope(sheet, id);
    const own = open ? zoneAround(size, open.right, held) : size;
    boxes.set(id, { id, size: own, above: open ? ZONE_GAP : 0, x: 0, y: 0 });
  }
  if (boxes.size === 0) return [];
  const links = linksOf(sheet, zone, boxes);
  const rows = zone === null ? inRows(columnsOf(boxes, links), links) : [columnsOf(boxes, links)];
  let top = 0;
  for (const columns of rows) top = placeRow(columns, links, top) + ROW_GAP;
  const origin: Point = zone === null ? [0, 0] : [RAIL_LEFT + ROOM, HEADER + ROOM];
  return [...boxes.values()].map(({ id, size, x, y }) => {
    const at: Point = [Math.round(x + origin[0]), Math.round(y + origin[1])];
    sheet.places[id] = { at };
    return { at, size };
  });
}

function linksOf({ zones, wires, places }: Sheet, zone: Id | null, boxes: ReadonlyMap<Id, Box>): Link[] {
  return (wires.get(zone) ?? []).flatMap(([from, reader]): Link[] => {
    let depth = 0;
    let at: Id | null = reader;
    while (at !== null && (zones.get(at) ?? null) !== zone) {
      depth += places[at]?.at[1] ?? 0;
      at = zones.get(at) ?? null;
    }
    if (at === null || at === from || !boxes.has(from) || !boxes.has(at)) return [];
    return [{ from, to: at, fromY: PORT, toY: depth + PORT }];
  });
}

/** Boxes in columns, each column in the order that crosses fewest wires. */
function columnsOf(boxes: ReadonlyMap<Id, Box>, links: readonly Link[]): Box[][] {
  const graph = new Graph().setGraph({ rankdir: "LR", ranksep: COLUMN_GAP, nodesep: NODE_GAP });
  graph.setDefaultEdgeLabel(() => ({}));
  // Equal widths give every box of a column the same x.
  for (const { id, size } of boxes.values()) graph.setNode(id, { width: 100, height: size[1] });
  for (const { from, to } of links) graph.setEdge(from, to);
  dagre(graph);
  const spot = (id: Id) => graph.node(id) as { x: number; y: number };
  const columns = new Map<number, Box[]>();
  for (const box of boxes.values()) {
    const x = Math.round(spot(box.id).x);
    const column = columns.get(x);
    if (column) column.push(box);
    else columns.set(x, [box]);
  }
  return [...columns]
    .sort(([a], [b]) => a - b)
    .map(([, column]) => column.sort((a, b) => spot(a.id).y - spot(b.id).y));
}

const widthOf = (column: readonly Box[]): number => Math.max(...column.map((box) => box.size[0]));

/** Columns in rows that are not too wide, broken where the fewest wires cross. */
function inRows(columns: readonly Box[][], links: readonly Link[]): Box[][][] {
  const widths = columns.map((column) => widthOf(column) + COLUMN_GAP);
  const limit = Math.max(WIDEST, ...widths.map((width) => width + 900));
  if (widths.reduce((sum, width) => sum + width, 0) <= limit * 1.4) return [[...columns]];
  const columnOf = new Map(columns.flatMap((column, i) => column.map((box) => [box.id, i] as const)));
  // What leaves a wide box, a zone, is where one part ends and the next begins.
  const weight = (id: Id) =>
    (columns[columnOf.get(id) ?? 0]?.find((box) => box.id === id)?.size[0] ?? 0) > WIDEST / 4 ? 0.4 : 1;
  const crossing = (at: number) =>
    links
      .filter(({ from, to }) => (columnOf.get(from) ?? 0) < at !== (columnOf.get(to) ?? 0) < at)
      .reduce((sum, { from }) => sum + weight(from), 0);
  // best[i]: the cheapest way to break what comes before column i, and where its last row begins.
  const best: { cost: number; begin: number }[] = [{ cost: 0, begin: 0 }];
  for (let end = 1; end <= columns.length; end++) {
    let found = { cost: Infinity, begin: end - 1 };
    let width = 0;
    for (let begin = end - 1; begin >= 0; begin--) {
      width += widths[begin] ?? 0;
      if (width > limit && begin < end - 1) break;
      const cost = (best[begin]?.cost ?? 0) + (begin === 0 ? 0 : 6 + crossing(begin));
      if (cost < found.cost) found = { cost, begin };
    }
    best.push(found);
  }
  const breaks: number[] = [];
  for (let end = columns.length; end > 0; end = best[end]?.begin ?? 0) breaks.unshift(best[end]?.begin ?? 0);
  return withReaders(columns, links, breaks, limit);
}

/** The rows, each small box in that of the first that reads it. */
function withReaders(
  columns: readonly Box[][],
  links: readonly Link[],
  breaks: readonly number[],
  limit: number,
): Box[][][] {
  const rowOf = new Map<Id, number>();
  columns.forEach((column, i) => {
    const row = breaks.findLastIndex((begin) => begin <= i);
    for (const box of column) rowOf.set(box.id, row);
  });
  for (const column of [...columns].reverse()) {
    for (const box of column) {
      const readers = links.filter((link) => link.from === box.id).map((link) => rowOf.get(link.to) ?? 0);
      if (readers.length > 0 && box.size[0] < limit / 4)
        rowOf.set(box.id, Math.max(rowOf.get(box.id) ?? 0, Math.min(...readers)));
    }
  }
  return breaks
    .map((_, row) =>
      columns
        .map((column) => column.filter((box) => rowOf.get(box.id) === row))
        .filter((column) => column.length > 0),
    )
    .filter((row) => row.length > 0);
}

/** Place a row's boxes below `top`; the answer is where the row ends. */
function placeRow(columns: readonly Box[][], links: readonly Link[], top: number): number {
  const boxes = new Map(columns.flat().map((box) => [box.id, box]));
  let x = 0;
  for (const column of columns) {
    let y = 0;
    for (const box of column) {
      y += box.above;
      box.x = x;
      box.y = y;
      y += box.size[1] + NODE_GAP;
    }
    x += widthOf(column) + COLUMN_GAP;
  }
  const wishes = new Map<Id, { box: Box; shift: number }[]>();
  const wish = (id: Id, box: Box, shift: number) => {
    const known = wishes.get(id);
    if (known) known.push({ box, shift });
    else wishes.set(id, [{ box, shift }]);
  };
  for (const { from, to, fromY, toY } of links) {
    const [a, b] = [boxes.get(from), boxes.get(to)];
    if (!a || !b) continue;
    wish(from, b, toY - fromY);
    wish(to, a, fromY - toY);
  }
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    const order = sweep % 2 === 0 ? [...columns].reverse() : columns;
    for (const column of order) {
      const wanted = column.map((box) => {
        const own = wishes.get(box.id);
        return own
          ? own.reduce((sum, { box: other, shift }) => sum + other.y + shift, 0) / own.length
          : box.y;
      });
      const tops = spread(
        wanted,
        column.map((box, i) => box.size[1] + NODE_GAP + (column[i + 1]?.above ?? 0)),
      );
      column.forEach((box, i) => (box.y = tops[i] ?? 0));
    }
  }
  const highest = Math.min(...[...boxes.values()].map((box) => box.y - box.above));
  for (const box of boxes.values()) box.y += top - highest;
  return Math.max(...[...boxes.values()].map((box) => box.y + box.size[1]));
}

/**
 * The places nearest to those wanted (least squares) that keep the order and leave each its room: an isotonic
 * regression, by pooling neighbours that would overlap.
 */
export function spread(wanted: readonly number[], rooms: readonly number[]): number[] {
  const pools: { sum: number; count: number }[] = [];
  let before = 0;
  const offsets = rooms.map((room) => {
    const own = before;
    before += room;
    return own;
  });
  wanted.forEach((value, i) => {
    pools.push({ sum: value - (offsets[i] ?? 0), count: 1 });
    for (;;) {
      const [a, b] = [pools.at(-2), pools.at(-1)];
      if (!a || !b || a.sum / a.count <= b.sum / b.count) break;
      pools.splice(-2, 2, { sum: a.sum + b.sum, count: a.count + b.count });
    }
  });
  const levels = pools.flatMap(({ sum, count }) => Array.from({ length: count }, () => sum / count));
  return levels.map((level, i) => level + (offsets[i] ?? 0));
}
