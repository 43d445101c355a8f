/**
 * The document as React Flow wants it: nodes and edges, made anew for each change, with every object that says the
 * same as before kept, and the list too where all of them are, so that only what changed is drawn again.
 */
import { Position, type Edge, type Node, type NodeHandle } from "@xyflow/react";
import type { Card } from "../document/cards";
import { depth, inOrder, outermost, wiresOf, type Id, type Place } from "../document/document";
import { entryHandle } from "../document/entries";
import { sourceHandle } from "../document/references";
import { absolute, HANDLE, handleSpots, hiddenIn, placeOf, sizesOf, type Sheet, type Spot } from "./geometry";
import { finder, type Way } from "./ways";

export type LoomNode = Node<Record<string, never>, "card" | "zone" | "frame" | "note" | "reroute">;

export interface WireData extends Record<string, unknown> {
  readonly kind: string;
  readonly many: boolean;
  /** Reroutes that the wire passes, in order. */
  readonly through: readonly Id[];
  readonly faint: boolean;
  /** Its way over the zones that it goes into; null where its end is hidden. */
  readonly way: Way | null;
}
export type LoomEdge = Edge<WireData, "wire">;

const NOTHING: Record<string, never> = {};

/** `far`: zones are drawn as cards, without what is in them. */
export function nodesOf(sheet: Sheet, before: readonly LoomNode[], far = false): LoomNode[] {
  const known = new Map(before.map((node) => [node.id, node]));
  const sizes = sizesOf(sheet);
  const drawings = Object.entries(sheet.doc.places)
    .filter(([id]) => !(id in sheet.cards))
    .map(([id, place]) => drawn(id, place));
  const nodes = inOrder(sheet.doc).flatMap((node) => {
    const card = sheet.cards[node.id];
    return card ? [boxed(sheet, card, sizes.get(node.id) ?? [0, 0], far)] : [];
  });
  const frames = drawings.filter((node) => node.type === "frame");
  const others = drawings.filter((node) => node.type !== "frame");
  const all = [...frames, ...nodes, ...others].map((node) => {
    const old = known.get(node.id);
    return old && sameNode(old, node) ? old : { ...carried(old), ...node };
  });
  return kept(before, all);
}

/** The list from before, where it holds the very same things: then React Flow has nothing to look through. */
const kept = <T>(before: readonly T[], now: T[]): T[] =>
  before.length === now.length && now.every((item, i) => item === before[i]) ? (before as T[]) : now;

/** What React Flow itself has put on a node and expects to find again. */
const carried = (old: LoomNode | undefined): Partial<LoomNode> =>
  old ? { ...(old.measured ? { measured: old.measured } : {}), selected: old.selected ?? false } : {};

function boxed(sheet: Sheet, card: Card, size: readonly [number, number], far: boolean): LoomNode {
  const open = card.isZone && !card.collapsed;
  const [x, y] = placeOf(sheet, card.id).at;
  return {
    id: card.id,
    type: open ? "zone" : "card",
    position: { x, y },
    data: NOTHING,
    measured: { width: size[0], height: size[1] },
    handles: handlesOf(card, size[0]),
    hidden: shownAs(sheet, card.id, far) !== card.id,
    zIndex: 10 * depth(sheet.doc, card.id) + (open ? 1 : 5),
    ...(card.zone === null ? {} : { parentId: card.zone }),
    ...(open ? { width: size[0], height: size[1] } : {}),
  };
}

function drawn(id: Id, place: Place): LoomNode {
  const kind = place.kind === "frame" || place.kind === "note" ? place.kind : "reroute";
  const [width, height] = place.size ?? (kind === "frame" ? [400, 300] : [220, 120]);
  return {
    id,
    type: kind,
    position: { x: place.at[0], y: place.at[1] },
    data: NOTHING,
    ...(kind === "reroute" ? { handles: BRANCH } : { width, height }),
    ...(kind === "frame" ? { zIndex: -1, dragHandle: ".drag" } : { zIndex: 2000 }),
  };
}

/** Where another wire begins at a reroute. */
const BRANCH: NodeHandle[] = [
  { id: "out:", type: "source", position: Position.Right, x: 6, y: 1, width: HANDLE, height: HANDLE },
];
const handles = new WeakMap<readonly Spot[], NodeHandle[]>();

/** Handles as React Flow wants them. Knowing them, it draws wires of nodes that were never seen. */
function handlesOf(card: Card, width: number): NodeHandle[] {
  const spots = handleSpots(card, width);
  const known = handles.get(spots);
  if (known) return known;
  const made = spots.map(({ handle, type, x, y }): NodeHandle => ({
    id: handle,
    type,
    position: type === "target" ? Position.Left : Position.Right,
    x: x - HANDLE / 2,
    y: y - HANDLE / 2,
    width: HANDLE,
    height: HANDLE,
  }));
  handles.set(spots, made);
  return made;
}

/** A card that changed has handles of its own, which mostly are where they were. */
const sameHandles = (a: readonly NodeHandle[] = [], b: readonly NodeHandle[] = []): boolean =>
  a === b ||
  (a.length === b.length &&
    a.every((own, i) => {
      const other = b[i];
      return own.id === other?.id && own.type === other?.type && own.x === other.x && own.y === other.y;
    }));

function sameNode(a: LoomNode, b: LoomNode): boolean {
  return (
    a.type === b.type &&
    sameHandles(a.handles, b.handles) &&
    (b.measured === undefined ||
      (a.measured?.width === b.measured.width && a.measured?.height === b.measured.height)) &&
    a.position.x === b.position.x &&
    a.position.y === b.position.y &&
    a.parentId === b.parentId &&
    a.zIndex === b.zIndex &&
    (a.hidden ?? false) === (b.hidden ?? false) &&
    a.width === b.width &&
    a.height === b.height
  );
}

export function edgesOf(sheet: Sheet, before: readonly LoomEdge[], far = false): LoomEdge[] {
  const known = new Map(before.map((edge) => [edge.id, edge]));
  const reroutes = new Map<string, Id[]>();
  for (const [id, place] of Object.entries(sheet.doc.places)) {
    if (place.kind !== "reroute") continue;
    for (const wire of wiresOf(place)) reroutes.set(wire, [...(reroutes.get(wire) ?? []), id]);
  }
  const edges = new Map<string, LoomEdge>();
  const wayOf = finder(sheet);
  const drawn = new Set<string>();
  for (const card of Object.values(sheet.cards)) {
    for (const slot of [...card.inputs, ...card.results]) {
      if (!slot.source || !(slot.source.node in sheet.cards)) continue;
      const id = `${card.id}.${slot.handle}`;
      const from = shownAs(sheet, slot.source.node, far);
      const to = shownAs(sheet, card.id, far);
      if (from === to && (from !== slot.source.node || to !== card.id)) continue;
      const isResult = slot.handle.startsWith("results.");
      if (isResult && (card.collapsed || (far && to === card.id))) continue;
      const old = known.get(id);
      const { source } = slot;
      const run = { source, target: card.id, handle: slot.handle, scope: isResult ? card.id : card.zone };
      const edge: LoomEdge = {
        id,
        type: "wire",
        source: from,
        target: to,
        sourceHandle: from === slot.source.node ? sourceHandle(slot.source) : "out:inside",
        targetHandle:
          to === card.id ? slot.handle : sheet.cards[to]?.collapsed ? "inside" : entryHandle(slot.source),
        data: {
          kind: kindName(sheet.cards[slot.source.node], sourceHandle(slot.source)),
          many: slot.kind.many > 0,
          through: reroutes.get(id) ?? [],
          faint: card.mode === "mute" || from !== slot.source.node || (to !== card.id && !far),
          way: from === slot.source.node && to === card.id ? wayOf(run, old?.data?.way ?? undefined) : null,
        },
      };
      // Of the wires that end at one entry of a zone whose inside is hidden, one is drawn.
      const ends = `${edge.source} ${edge.sourceHandle ?? ""} ${edge.target} ${edge.targetHandle ?? ""}`;
      if (drawn.has(ends)) continue;
      drawn.add(ends);
      edges.set(id, old && sameEdge(old, edge) ? old : { ...edge, selected: old?.selected ?? false });
    }
  }
  return kept(before, [...edges.values()]);
}

const kindName = (card: Card | undefined, handle: string): string =>
  [...(card?.outputs ?? []), ...(card?.inner ?? [])].find((slot) => slot.handle === handle)?.kind.name ??
  "any";

/** What a node is drawn as: itself, or the outermost zone that hides it. */
const shownAs = (sheet: Sheet, id: Id, far: boolean): Id =>
  far ? outermost(sheet.doc, id) : (hiddenIn(sheet, id) ?? id);

function sameEdge(a: LoomEdge, b: LoomEdge): boolean {
  return (
    a.source === b.source &&
    a.target === b.target &&
    a.sourceHandle === b.sourceHandle &&
    a.targetHandle === b.targetHandle &&
    a.data?.kind === b.data?.kind &&
    a.data?.faint === b.data?.faint &&
    a.data?.many === b.data?.many &&
    a.data?.way === b.data?.way &&
    (a.data?.through ?? []).join() === (b.data?.through ?? []).join()
  );
}

/** The box around some nodes on the sheet. */
export function boundsOf(
  sheet: Sheet,
  ids: readonly Id[],
): { x: number; y: number; width: number; height: number } {
  const sizes = sizesOf(sheet);
  const boxes = ids.map((id) => ({
    at: absolute(sheet, id),
    size: sizes.get(id) ?? sheet.doc.places[id]?.size ?? [0, 0],
  }));
  const x = Math.min(...boxes.map((box) => box.at[0]));
  const y = Math.min(...boxes.map((box) => box.at[1]));
  const right = Math.max(...boxes.map((box) => box.at[0] + box.size[0]));
  const bottom = Math.max(...boxes.map((box) => box.at[1] + box.size[1]));
  return { x, y, width: right - x, height: bottom - y };
}

/** How far above a stage a note may lie that is read with it, in pixels of the sheet. */
const NEAR = 160;

/** The notes right above a box: they tell of what is in it. */
export function notesAbove(sheet: Sheet, box: { x: number; y: number; width: number }): Id[] {
  return Object.entries(sheet.doc.places).flatMap(([id, { kind, size }]) => {
    if (kind !== "note") return [];
    const [x, y] = absolute(sheet, id);
    const [width, height] = size ?? [0, 0];
    const gap = box.y - (y + height);
    return x < box.x + box.width && x + width > box.x && gap >= 0 && gap < NEAR ? [id] : [];
  });
}
