/** What a person can do to where things are, and to what only the drawing knows: frames, notes, bends. */
import { freshId, isTaken, type Doc, type Id, type Place } from "../document/document";
import { moveToZone, place } from "../document/edits";
import { insertInto } from "../document/relinking";
import { editPlaces, selectedIds, useEditor } from "../state/editor";
import {
  absolute,
  HEADER,
  placeOf,
  RAIL_LEFT,
  ROOM,
  sizesOf,
  type Point,
  type Size,
} from "../drawing/geometry";
import { layered } from "../state/layering";
import { sayError } from "../state/ui";
import { boundsOf } from "../drawing/view";

/** Put things where they were moved to, by arrows or a hand; steps of one key that follow each other are one. */
export function move(places: Readonly<Record<Id, { readonly at: Point }>>, key: string | null = null): void {
  const { auto } = useEditor.getState();
  editPlaces("Move", (doc) => tidied(place(doc, places), auto), key);
}

/**
 * Put things where they were dropped, and those of `dropped` that are nodes into a zone; one that is dropped on a wire
 * goes between its ends. Gives the wires that could not follow, as sentences.
 */
export function drop(
  places: Readonly<Record<Id, { readonly at: Point }>>,
  dropped: readonly Id[],
  zone: Id | null,
  wire: string | null = null,
): string[] {
  const { auto, kinds, pushed } = useEditor.getState();
  const still = Object.fromEntries(Object.entries(pushed).filter(([id]) => !(id in places)));
  let lost: string[] = [];
  const between = <D extends Doc>(doc: D): D =>
    (wire !== null && dropped[0] !== undefined && insertInto(doc, kinds, dropped[0], wire)) || doc;
  editPlaces(wire === null ? "Move" : "Put into a wire", (doc) => {
    const placed = place(doc, places);
    const movers = dropped.filter((id) => {
      const node = doc.nodes[id];
      return node && node.zone !== zone && !dropped.includes(node.zone ?? "");
    });
    if (movers.length === 0) return tidied(between(placed), auto);
    const sheet = { doc: placed, auto, pushed: still };
    const origin: Point = zone === null ? [0, 0] : absolute(sheet, zone);
    const landed = Object.fromEntries(
      movers.map((id) => {
        const [x, y] = absolute(sheet, id);
        return [id, { at: [x - origin[0], y - origin[1]] as const }];
      }),
    );
    const result = moveToZone(placed, kinds.specs(doc), movers, zone);
    lost = result.cut;
    return tidied(between(place(result.doc, landed)), auto);
  });
  return lost;
}

/** Zones start where their first nodes are: what was moved over a zone's upper or left rim moves the rim. */
function tidied<D extends Doc>(doc: D, auto: Readonly<Record<Id, Place>>): D {
  const least = new Map<Id, Point>();
  for (const node of Object.values(doc.nodes)) {
    if (node.zone === null) continue;
    const [x, y] = placeOf({ doc, auto }, node.id).at;
    const [lx, ly] = least.get(node.zone) ?? [Infinity, Infinity];
    least.set(node.zone, [Math.min(lx, x), Math.min(ly, y)]);
  }
  const places: Record<Id, Partial<Place>> = {};
  for (const [zone, [x, y]] of least) {
    const dx = Math.max(0, RAIL_LEFT + ROOM - x);
    const dy = Math.max(0, HEADER + ROOM / 2 - y);
    if (dx === 0 && dy === 0) continue;
    const own = placeOf({ doc, auto }, zone);
    const at = places[zone]?.at ?? own.at;
    const grown = own.size ? { size: [own.size[0] + dx, own.size[1] + dy] as const } : {};
    places[zone] = { at: [at[0] - dx, at[1] - dy], ...grown };
    for (const node of Object.values(doc.nodes)) {
      if (node.zone !== zone) continue;
      const [cx, cy] = places[node.id]?.at ?? placeOf({ doc, auto }, node.id).at;
      places[node.id] = { ...places[node.id], at: [cx + dx, cy + dy] };
    }
  }
  return Object.keys(places).length === 0 ? doc : tidied(place(doc, places), auto);
}

export function toggleCollapsed(ids: readonly Id[] = selectedIds()): void {
  editPlaces("Collapse", (doc) => {
    const nodes = ids.filter((id) => id in doc.nodes);
    const all = nodes.every((id) => doc.places[id]?.collapsed);
    return place(doc, Object.fromEntries(nodes.map((id) => [id, { collapsed: all ? undefined : true }])));
  });
}

/** Lay out everything, or what is inside of the selected zones. */
export async function arrange(): Promise<void> {
  const { doc, cards, measured } = useEditor.getState();
  let places: Readonly<Record<Id, Place>>;
  try {
    places = await layered({ doc, cards, measured });
  } catch (error) {
    sayError(error);
    return;
  }
  if (useEditor.getState().doc === doc) putInOrder(places); // else somebody went on, and it is of another graph
}

/** Take over places that were found for all nodes, or for those inside of the selected zones. */
export function putInOrder(places: Readonly<Record<Id, Place>>): void {
  const { doc, cards } = useEditor.getState();
  const zones = selectedIds().filter((id) => cards[id]?.isZone);
  const wanted = Object.entries(places).filter(([id]) => {
    if (zones.length === 0) return true;
    for (let zone = doc.nodes[id]?.zone ?? null; zone !== null; zone = doc.nodes[zone]?.zone ?? null)
      if (zones.includes(zone)) return true;
    return false;
  });
  editPlaces("Lay out", (next) => {
    const still = wanted.filter(([id]) => id in next.nodes); // others were removed meanwhile
    return place(next, Object.fromEntries(still.map(([id, { at }]) => [id, { at, size: undefined }])));
  });
}

export type Side = "left" | "right" | "top" | "bottom" | "row" | "column";

/** Line up the selected nodes, each within its own zone; "row" and "column" space them out evenly. */
export function align(side: Side): void {
  const sheet = useEditor.getState();
  const sizes = sizesOf(sheet);
  const ids = selectedIds().filter((id) => id in sheet.doc.nodes || id in sheet.doc.places);
  if (ids.length < 2) return;
  const box = (id: Id) => {
    const { at, size } = placeOf(sheet, id);
    const [w, h] = sizes.get(id) ?? size ?? [0, 0];
    return { id, x: at[0], y: at[1], w, h };
  };
  const boxes = ids.map(box);
  const edge = {
    left: Math.min(...boxes.map((own) => own.x)),
    top: Math.min(...boxes.map((own) => own.y)),
    right: Math.max(...boxes.map((own) => own.x + own.w)),
    bottom: Math.max(...boxes.map((own) => own.y + own.h)),
  };
  const gap = 32;
  const places: Record<Id, { at: Point }> = {};
  let [x, y] = [edge.left, edge.top];
  const ordered = [...boxes].sort((a, b) => (side === "row" ? a.x - b.x : a.y - b.y));
  for (const own of ordered) {
    if (side === "left") places[own.id] = { at: [edge.left, own.y] };
    if (side === "right") places[own.id] = { at: [edge.right - own.w, own.y] };
    if (side === "top") places[own.id] = { at: [own.x, edge.top] };
    if (side === "bottom") places[own.id] = { at: [own.x, edge.bottom - own.h] };
    if (side === "row") places[own.id] = { at: [x, edge.top] };
    if (side === "column") places[own.id] = { at: [edge.left, y] };
    x += own.w + gap;
    y += own.h + gap;
  }
  editPlaces("Align", (doc) => place(doc, places));
}

export function addFrame(): void {
  const sheet = useEditor.getState();
  const ids = selectedIds();
  if (ids.length === 0) return;
  const box = boundsOf(sheet, ids);
  const pad = 28;
  editPlaces("Add a frame", (doc) => {
    const id = freshId(isTaken(doc), "frame");
    return place(doc, {
      [id]: {
        kind: "frame",
        at: [box.x - pad, box.y - pad - 16],
        size: [box.width + 2 * pad, box.height + 2 * pad + 16],
        text: "Frame",
      },
    });
  });
}

export function addNote(at: Point): void {
  editPlaces("Add a note", (doc) =>
    place(doc, { [freshId(isTaken(doc), "note")]: { kind: "note", at, size: [220, 120], text: "" } }),
  );
}

/** A bend in a wire. */
export function addReroute(wire: string, at: Point): void {
  editPlaces("Add a reroute", (doc) =>
    place(doc, { [freshId(isTaken(doc), "reroute")]: { kind: "reroute", at: [at[0] - 6, at[1] - 6], wire } }),
  );
}

/** Name a frame, or write a note; the letters typed in one go are one step to undo. */
export const setText = (id: Id, text: string, gesture: string | null = null) =>
  editPlaces("Write", (doc) => place(doc, { [id]: { text } }), gesture && `${gesture} ${id}`);

/** Give nodes, frames or notes a colour (drawing/paint.ts); an empty one takes it away. */
export const setColour = (ids: readonly Id[], colour: string) =>
  editPlaces("Colour", (doc) =>
    place(doc, Object.fromEntries(ids.map((id) => [id, { colour: colour || undefined }]))),
  );

/** Give something a size; undefined goes back to its usual one. */
export const resize = (id: Id, size: Size | undefined) =>
  editPlaces("Resize", (doc) => place(doc, { [id]: { size } }));

const LEAST: Size = [160, 60];

/** Make the selected nodes, zones, frames and notes larger or smaller, by so many pixels. */
export function resizeBy([dx, dy]: Size, ids: readonly Id[] = selectedIds()): void {
  const sheet = useEditor.getState();
  const sizes = sizesOf(sheet);
  const sized = ids.flatMap((id) => {
    const now = sizes.get(id) ?? placeOf(sheet, id).size;
    if (!now || sheet.cards[id]?.collapsed) return [];
    return [
      [id, { size: [Math.max(LEAST[0], now[0] + dx), Math.max(LEAST[1], now[1] + dy)] as const }] as const,
    ];
  });
  editPlaces("Resize", (doc) => place(doc, Object.fromEntries(sized)), "resize by keys");
}
