/** Moving nodes: into and out of zones, and along with the frame they lie in. */
import type { NodeChange } from "@xyflow/react";
import { applyNodeChanges } from "@xyflow/react";
import { drop, move } from "../commands/places";
import type { Id } from "../document/document";
import { mayHold } from "../document/edits";
import { measure, setNodes, useEditor } from "../state/editor";
import { say, useUi } from "../state/ui";
import { absolute, sizesOf, zoneAt, type Point, type Size } from "../drawing/geometry";
import type { LoomNode } from "../drawing/view";
import { forgetWires, wireUnder } from "./wireUnder";

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
    move(Object.fromEntries(Object.entries(moved).map(([id, at]) => [id, { at }])), "arrows");
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

/** Mark the zone that what is dragged would land in, and the wire that it would be put into. */
export function dragOver(nodes: readonly LoomNode[], pointer: Point): void {
  const zone = landing(nodes, pointer);
  const wire = wireUnder(nodes, zone);
  const { dropZone, dropWire } = useUi.getState();
  if (dropZone !== zone || dropWire !== wire) useUi.setState({ dropZone: zone, dropWire: wire });
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
  const wire = wireUnder(nodes, zone);
  forgetWires();
  useUi.setState({ dropZone: null, dropWire: null });
  const state = useEditor.getState();
  const riders = new Set([...passengers.values()].flat());
  passengers = new Map();
  const moved = state.nodes.filter((node) => riders.has(node.id) || nodes.some((own) => own.id === node.id));
  const places = Object.fromEntries(
    moved.map((node) => [node.id, { at: [node.position.x, node.position.y] as const }]),
  );
  const lost = drop(
    places,
    nodes.map((node) => node.id),
    zone,
    wire,
  );
  if (lost.length > 0) {
    const wires = lost.length === 1 ? "One wire" : `${lost.length} wires`;
    say(
      `${wires} could not follow, because a wire may not leave a zone: ${lost.slice(0, 3).join(", ")}`,
      "bad",
    );
  }
}
