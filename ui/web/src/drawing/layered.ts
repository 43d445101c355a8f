/**
 * Layout from left to right by ELK's layered algorithm, which knows where wires meet a node. Each zone is laid out by
 * itself and is then one box, callbacks below what they look at. A sheet that grows too wide is set in bands, one below
 * the other, each a stage: the zones that wait for equally many others, what they are given, what is made of their results.
 */
import type { ElkExtendedEdge, ElkNode, ElkPort } from "elkjs/lib/elk-api";
import type { Card, Cards } from "../document/cards";
import { children, enclosing, outermost, type Doc, type Id, type Place } from "../document/document";
import { entryHandle, zonesEntered } from "../document/entries";
import { sourceHandle } from "../document/references";
import { estimate, handleSpots, HEADER, RAIL_LEFT, ROOM, zoneSize, type Point, type Size } from "./geometry";

/** What lays a graph out: ELK, in a worker. */
export type Layered = (graph: ElkNode) => Promise<ElkNode>;

export interface Unplaced {
  readonly doc: Doc;
  readonly cards: Cards;
  readonly measured: Readonly<Record<Id, Size>>;
}

const WIDEST = 2600;
const BAND_GAP = 110;
const COLUMN_GAP = 56;
const NODE_GAP = 26;
/** Free room above a zone, for the name that it shows from afar. */
const ZONE_GAP = 36;
const PORT = HEADER + 18; // where a wire meets a node whose port is not drawn, about

const OPTIONS = {
  "elk.algorithm": "layered",
  "elk.direction": "RIGHT",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.layered.spacing.nodeNodeBetweenLayers": String(COLUMN_GAP),
  "elk.layered.spacing.edgeNodeBetweenLayers": "8",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "2",
  "elk.spacing.nodeNode": String(NODE_GAP),
  "elk.spacing.edgeNode": "12",
  "elk.spacing.edgeEdge": "4",
  "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
  "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES",
  "elk.separateConnectedComponents": "false",
};

interface Box {
  readonly at: Point;
  readonly size: Size;
}

/** A place for every node of a document. Sizes as the browser measured them count, others are estimated. */
export async function layeredPlaces(sheet: Unplaced, layered: Layered): Promise<Record<Id, Place>> {
  const top = children(sheet.doc, null).flatMap((node) => (node.id in sheet.cards ? [node.id] : []));
  const found: Found = { ...sheet, places: {}, sizes: {} };
  for (const id of top) await within(found, id, layered);
  const whole = await inColumns(found, null, top, layered);
  const width = Math.max(0, ...whole.map(({ at, size }) => at[0] + size[0]));
  if (width <= WIDEST) return found.places;
  let y = 0;
  for (const band of bandsOf(sheet, top)) {
    const boxes = await inColumns(found, null, band, layered, [0, y]);
    y = Math.max(...boxes.map(({ at, size }) => at[1] + size[1])) + BAND_GAP;
  }
  return found.places;
}

interface Found extends Unplaced {
  readonly places: Record<Id, Place>;
  readonly sizes: Record<Id, Size>;
}

const isOpen = (card: Card | undefined): boolean => card?.isZone === true && !card.collapsed;

/** Find the size of a node: of an open zone, by laying out what it holds. */
async function within(found: Found, id: Id, layered: Layered): Promise<void> {
  const { doc, cards, measured, sizes } = found;
  const card = cards[id];
  if (!card) return;
  if (!isOpen(card)) {
    sizes[id] = card.collapsed ? estimate(card) : (measured[id] ?? estimate(card));
    if (!card.isZone) return;
  }
  const held = children(doc, id).flatMap((node) => (node.id in cards ? [node.id] : []));
  for (const each of held) await within(found, each, layered);
  const callbacks = held.filter((each) => isOpen(cards[each]) && cards[each]?.outputs.length === 0);
  const origin: Point = [RAIL_LEFT + ROOM, HEADER + ROOM];
  const main = held.filter((each) => !callbacks.includes(each));
  const boxes = await inColumns(found, id, main, layered, origin);
  let y = Math.max(origin[1] - NODE_GAP, ...boxes.map(({ at, size }) => at[1] + size[1]));
  for (const each of callbacks) {
    const size = sizes[each] ?? [0, 0];
    const at: Point = [origin[0], y + NODE_GAP + (boxes.length > 0 ? ZONE_GAP : 0)];
    found.places[each] = { at };
    boxes.push({ at, size });
    y = at[1] + size[1];
  }
  if (isOpen(card)) sizes[id] = zoneSize(card, boxes, measured[id]?.[1]);
}

/** Lay out some nodes of a scope, from `origin` on. */
async function inColumns(
  found: Found,
  zone: Id | null,
  ids: readonly Id[],
  layered: Layered,
  origin: Point = [0, 0],
): Promise<Box[]> {
  if (ids.length === 0) return [];
  const laid = await layered(graphOf(found, zone, ids));
  const spots = (laid.children ?? []).filter((box) => box.id in found.cards && ids.includes(box.id));
  const left = Math.min(...spots.map((box) => box.x ?? 0));
  const top = Math.min(...spots.map((box) => (box.y ?? 0) - (isOpen(found.cards[box.id]) ? ZONE_GAP : 0)));
  return spots.map((box) => {
    const at: Point = [
      Math.round((box.x ?? 0) - left + origin[0]),
      Math.round((box.y ?? 0) - top + origin[1]),
    ];
    found.places[box.id] = { at };
    return { at, size: found.sizes[box.id] ?? [0, 0] };
  });
}

/** A wire between two boxes of a scope, and how far below their tops it begins and ends. */
interface Link {
  readonly from: Id;
  readonly to: Id;
  readonly fromY: number;
  readonly toY: number;
}

/** The ends of a scope's own rails, as boxes of it. */
const RAIL = ["rail of ports", "rail of results"] as const;

function linksOf({ doc, cards, sizes }: Found, zone: Id | null, among: ReadonlySet<Id>): Link[] {
  const y = (id: Id, handle: string): number => {
    const card = cards[id];
    const spot = card && handleSpots(card, sizes[id]?.[0] ?? 0).find((own) => own.handle === handle);
    return spot?.y ?? PORT;
  };
  const links: Link[] = [];
  for (const card of Object.values(cards)) {
    for (const slot of [...card.inputs, ...card.results]) {
      const { source, handle } = slot;
      if (!source) continue;
      const isResult = card.id === zone && handle.startsWith("results.");
      const fromRail = source.inner && source.node === zone;
      const scope = handle.startsWith("results.") ? card.id : card.zone;
      const entered = zonesEntered(doc, source, scope);
      // The box of this scope that the wire leads to: the reader, or the zone that it goes into on its way.
      const around = enclosing(doc, scope);
      const next = around[around.indexOf(zone) - 1];
      const to = !around.includes(zone) ? null : isResult ? RAIL[1] : (next ?? card.id);
      const isEntry = zone !== null && entered.includes(zone);
      const from = fromRail || isEntry ? RAIL[0] : source.inner ? null : source.node;
      if (to === null || from === null || to === from) continue;
      if ((from !== RAIL[0] && !among.has(from)) || (to !== RAIL[1] && !among.has(to))) continue;
      const entry = entryHandle(source);
      const fromY = isEntry ? y(zone, entry) : y(source.node, sourceHandle(source));
      const toY = entered.includes(to) ? y(to, entry) : y(card.id, handle);
      links.push({ from, to, fromY, toY });
    }
  }
  return links;
}

function graphOf(found: Found, zone: Id | null, ids: readonly Id[]): ElkNode {
  const links = linksOf(found, zone, new Set(ids));
  const ends = { in: new Map<Id, Set<number>>(), out: new Map<Id, Set<number>>() };
  for (const { from, to, fromY, toY } of links) {
    ends.out.set(from, (ends.out.get(from) ?? new Set()).add(fromY));
    ends.in.set(to, (ends.in.get(to) ?? new Set()).add(toY));
  }
  const box = (id: Id, [width, height]: Size, options: Record<string, string> = {}): ElkNode => ({
    id,
    width,
    height,
    ports: [
      ...[...(ends.in.get(id) ?? [])].map((y) => portAt(id, "in", 0, y)),
      ...[...(ends.out.get(id) ?? [])].map((y) => portAt(id, "out", width, y)),
    ],
    layoutOptions: { "elk.portConstraints": "FIXED_POS", ...options },
  });
  const size = (id: Id): Size => {
    const [width, height] = found.sizes[id] ?? [0, 0];
    return [width, height];
  };
  const rail = (id: string, side: "FIRST" | "LAST"): ElkNode[] => {
    const own = (side === "FIRST" ? ends.out : ends.in).get(id);
    return own ? [box(id, [1, Math.max(...own) + 1], { "elk.layered.layering.layerConstraint": side })] : [];
  };
  return {
    id: "sheet",
    layoutOptions: OPTIONS,
    children: [...rail(RAIL[0], "FIRST"), ...ids.map((id) => box(id, size(id))), ...rail(RAIL[1], "LAST")],
    edges: links.map(({ from, to, fromY, toY }, i): ElkExtendedEdge => ({
      id: `wire ${i}`,
      sources: [portAt(from, "out", 0, fromY).id],
      targets: [portAt(to, "in", 0, toY).id],
    })),
  };
}

const portAt = (id: Id, side: "in" | "out", x: number, y: number): ElkPort => ({
  id: `${id} ${side} ${y}`,
  x,
  y,
  width: 0,
  height: 0,
  layoutOptions: { "elk.port.side": side === "in" ? "WEST" : "EAST" },
});

/** The nodes of the top by stages. */
export function bandsOf(sheet: Unplaced, top: readonly Id[]): Id[][] {
  const { cards } = sheet;
  const isStage = (id: Id): boolean => isOpen(cards[id]);
  const before = new Map<Id, Set<Id>>(top.map((id) => [id, new Set()]));
  const after = new Map<Id, Set<Id>>(top.map((id) => [id, new Set()]));
  for (const card of Object.values(cards)) {
    for (const { source } of [...card.inputs, ...card.results]) {
      const [from, to] = [source && outermost(sheet.doc, source.node), outermost(sheet.doc, card.id)];
      if (!from || from === to) continue;
      before.get(to)?.add(from);
      after.get(from)?.add(to);
    }
  }
  // How many stages a node waits for, at most; nodes that wait for each other count once.
  const level = new Map<Id, number>();
  const levelOf = (id: Id): number => {
    const known = level.get(id);
    if (known !== undefined) return known;
    level.set(id, 0);
    const found = Math.max(
      0,
      ...[...(before.get(id) ?? [])].map((each) => levelOf(each) + (isStage(each) ? 1 : 0)),
    );
    level.set(id, found);
    return found;
  };
  // What no stage waits for stays beside the last stage that it was made of; all else goes to its first reader.
  const band = new Map<Id, number>();
  const bandOf = (id: Id): number => {
    const known = band.get(id);
    if (known !== undefined) return known;
    const own = levelOf(id);
    band.set(id, own);
    if (isStage(id)) return own;
    const readers = [...(after.get(id) ?? [])].map(bandOf);
    const found = readers.length > 0 ? Math.min(...readers) : Math.max(0, own - 1);
    band.set(id, found);
    return found;
  };
  const bands: Id[][] = [];
  for (const id of top) (bands[bandOf(id)] ??= []).push(id);
  return bands.filter((ids) => ids.length > 0);
}
