/** Moving nodes: into and out of zones, and along with the frame they lie in. */
import type { NodeChange } from "@xyflow/react";
import { applyNodeChanges } from "@xyflow/react";
import type { Doc, Id, Place } from "../document/document";
import { mayHold, moveToZone, place } from "../document/edits";
import { editPlaces, measure, setNodes, useEditor } from "../state/editor";
import { say, useUi } from "../state/ui";
import {
  absolute,
  HEADER,
  placeOf,
  RAIL_LEFT,
  ROOM,
  sizesOf,
  zoneAt,
  type Point,
  type Size,
} from "./geometry";
import type { LoomNode } from "./view";

/** What lies in a dragged frame, or is drawn over a dragged zone, and moves with it. */
let passengers: Map<Id, Id[]> = new Map();
let dragging = false;
/** Sizes as they were when the drag began. */
let sizesThen: ReadonlyMap<Id, Size> = new Map();

export function takeChanges(changes: NodeChange<LoomNode>[]): void {
  const sizes: Record<Id, Size> = {};
  const moved: Record<Id, Point> = {};
  for (const change of changes) {
    if (change.type === "dimensions" && change.dimensions) {
      const card = useEditor.getState().cards[change.id];
      if (card && (!card.isZone || card.collapsed) && !card.collapsed)
        sizes[change.id] = [Math.round(change.dimensions.width), Math.round(change.dimensions.height)];
    }
    // The arrow keys move nodes without a drag.
    if (change.type === "position" && change.position && !dragging && !change.dragging)
      moved[change.id] = [change.position.x, change.position.y];
  }
  const drawn = changes.filter((change) => change.type !== "remove");
  setNodes((nodes) => carry(nodes, applyNodeChanges(drawn, nodes)));
  if (Object.keys(sizes).length > 0) measure(sizes);
  if (Object.keys(moved).length > 0) {
    const places = Object.fromEntries(Object.entries(moved).map(([id, at]) => [id, { at }]));
    editPlaces("Move", (doc) => tidied(place(doc, places)), "arrows");
  }
}

/** Shift passengers as far as what carries them went. */
function carry(before: readonly LoomNode[], after: LoomNode[]): LoomNode[] {
  if (passengers.size === 0) return after;
  const was = new Map(before.map((node) => [node.id, node.position]));
  const shifts = new Map<Id, Point>();
  for (const node of after) {
    const old = was.get(node.id);
    const riders = passengers.get(node.id);
    if (!old || !riders) continue;
    const shift: Point = [node.position.x - old.x, node.position.y - old.y];
    for (const rider of riders) shifts.set(rider, shift);
  }
  return after.map((node) => {
    const shift = shifts.get(node.id);
    if (!shift || (shift[0] === 0 && shift[1] === 0)) return node;
    return { ...node, position: { x: node.position.x + shift[0], y: node.position.y + shift[1] } };
  });
}

export function beginDrag(nodes: readonly LoomNode[]): void {
  dragging = true;
  const sheet = useEditor.getState();
  const sizes = sizesOf(sheet);
  sizesThen = sizes;
  const own = new Set(nodes.map((node) => node.id));
  passengers = new Map();
  for (const node of nodes) {
    if (node.type !== "frame" && node.type !== "zone") continue;
    const [x, y] = absolute(sheet, node.id);
    const [w, h] =
      node.type === "zone" ? (sizes.get(node.id) ?? [0, 0]) : [node.width ?? 0, node.height ?? 0];
    const inside = sheet.nodes.filter((other) => {
      if (own.has(other.id) || other.hidden || (other.parentId ?? null) !== null) return false;
      if (node.type === "zone" && other.id in sheet.cards) return false;
      if (node.type === "zone" && other.type === "frame") return false;
      const [cx, cy] = [
        other.position.x + (other.measured?.width ?? 0) / 2,
        other.position.y + (other.measured?.height ?? 0) / 2,
      ];
      return cx > x && cx < x + w && cy > y && cy < y + h;
    });
    const riders = inside.map((other) => other.id);
    if (riders.length > 0) passengers.set(node.id, riders);
  }
}

/** Mark the zone that what is dragged would land in. */
export function dragOver(nodes: readonly LoomNode[], pointer: Point): void {
  const zone = landing(nodes, pointer);
  if (useUi.getState().dropZone !== zone) useUi.setState({ dropZone: zone });
}

function landing(nodes: readonly LoomNode[], pointer: Point): Id | null {
  const sheet = useEditor.getState();
  const ids = nodes.filter((node) => node.id in sheet.cards).map((node) => node.id);
  if (ids.length === 0) return null;
  const zone = zoneAt(sheet, sizesThen, pointer, ids);
  return mayHold(sheet.doc, zone, ids) ? zone : null;
}

export function endDrag(nodes: readonly LoomNode[], pointer: Point): void {
  dragging = false;
  const zone = landing(nodes, pointer);
  useUi.setState({ dropZone: null });
  const state = useEditor.getState();
  const riders = new Set([...passengers.values()].flat());
  passengers = new Map();
  const moved = state.nodes.filter((node) => riders.has(node.id) || nodes.some((own) => own.id === node.id));
  const places = Object.fromEntries(
    moved.map((node) => [node.id, { at: [node.position.x, node.position.y] as const }]),
  );
  let lost: string[] = [];
  editPlaces("Move", (doc) => {
    const placed = place(doc, places);
    const dragged = new Set(nodes.map((node) => node.id));
    const movers = nodes
      .map((node) => node.id)
      .filter(
        (id) => id in doc.nodes && doc.nodes[id]?.zone !== zone && !dragged.has(doc.nodes[id]?.zone ?? ""),
      );
    if (movers.length === 0) return tidied(placed);
    const sheet = { doc: placed, auto: state.auto };
    const origin: Point = zone === null ? [0, 0] : absolute(sheet, zone);
    const landed = Object.fromEntries(
      movers.map((id) => {
        const [x, y] = absolute(sheet, id);
        return [id, { at: [x - origin[0], y - origin[1]] as const }];
      }),
    );
    const result = moveToZone(placed, state.kinds.specs(doc), movers, zone);
    lost = result.cut;
    return tidied(place(result.doc, landed));
  });
  if (lost.length > 0) {
    const wires = lost.length === 1 ? "One wire" : `${lost.length} wires`;
    say(
      `${wires} could not follow, because a wire may not leave a zone: ${lost.slice(0, 3).join(", ")}`,
      "bad",
    );
  }
}

/** Zones start where their first nodes are: what was moved over a zone's upper or left rim moves the rim. */
function tidied<D extends Doc>(doc: D): D {
  const { auto } = useEditor.getState();
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
  return Object.keys(places).length === 0 ? doc : tidied(place(doc, places));
}
