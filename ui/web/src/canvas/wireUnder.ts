/** The wire that a dragged node lies on and would fit into. */
import type { Id } from "../document/document";
import { changeNode } from "../document/edits";
import { insertInto, readersOf } from "../document/relinking";
import { useEditor } from "../state/editor";
import { absolute, type Point } from "../drawing/geometry";
import type { LoomNode } from "../drawing/view";

/** Wires as points on the sheet, taken from what is drawn when a drag first asks: whatever way they go round. */
let wires: ReadonlyMap<string, readonly Point[]> | null = null;
/** Whether the dragged node, in a zone, fits into a wire; asked once of each. */
let fits = new Map<string, boolean>();

const GAP = 14; // pixels of the sheet between points
const MOST = 60; // points of a wire

export function forgetWires(): void {
  wires = null;
  fits = new Map();
}

/** Of the wires under a node that nothing reads yet and that would land in `zone`, the nearest to its middle that it fits. */
export function wireUnder(dragged: readonly LoomNode[], zone: Id | null): string | null {
  const [node] = dragged;
  const { doc, kinds, auto, cards } = useEditor.getState();
  if (!node || dragged.length > 1 || !(node.id in cards)) return null;
  wires ??= readersOf(doc, kinds, node.id, false).length > 0 ? new Map<string, Point[]>() : drawnWires();
  if (wires.size === 0) return null;
  const [zx, zy] = node.parentId === undefined ? [0, 0] : absolute({ doc, auto }, node.parentId);
  const [x, y] = [zx + node.position.x, zy + node.position.y];
  const [width, height] = [node.measured?.width ?? 0, node.measured?.height ?? 0];
  const found = [...wires].flatMap(([id, points]) => {
    const within = points.filter(([px, py]) => px > x && px < x + width && py > y && py < y + height);
    const off = within.map(([px, py]) => Math.hypot(px - x - width / 2, py - y - height / 2));
    return off.length > 0 ? [{ id, off: Math.min(...off) }] : [];
  });
  found.sort((a, b) => a.off - b.off);
  return found.find(({ id }) => mayEnter(node.id, id, zone))?.id ?? null;
}

function mayEnter(id: Id, wire: string, zone: Id | null): boolean {
  const key = `${zone ?? ""} ${wire}`;
  let known = fits.get(key);
  if (known === undefined) {
    const { doc, kinds } = useEditor.getState();
    known = insertInto(changeNode(doc, id, { zone }), kinds, id, wire) !== null;
    fits.set(key, known);
  }
  return known;
}

function drawnWires(): Map<string, Point[]> {
  const found = new Map<string, Point[]>();
  for (const edge of document.querySelectorAll<SVGGElement>(".react-flow__edge")) {
    const path = edge.querySelector<SVGPathElement>(".react-flow__edge-path");
    const length = path?.getTotalLength() ?? 0;
    const { id } = edge.dataset;
    if (!path || id === undefined || length === 0) continue;
    const count = Math.min(MOST, Math.max(2, Math.ceil(length / GAP)));
    found.set(
      id,
      Array.from({ length: count + 1 }, (_, i): Point => {
        const at = path.getPointAtLength((length * i) / count);
        return [at.x, at.y];
      }),
    );
  }
  return found;
}
