/** Copy and paste as the text of a workflow, so that it works across tabs, in editors and in mail. */
import { read, write } from "./codec";
import { closure } from "./blueprints";
import { place } from "./edits";
import { isRim } from "./inside";
import {
  EMPTY,
  freshId,
  halves,
  inside,
  isTaken,
  joined,
  type Doc,
  type DocNode,
  type Id,
  type Place,
  type Ref,
  rewired,
  rootsOf,
} from "./document";
import { resolve, type SpecOf } from "./references";

/** The text of some nodes and drawings, with what is inside of the zones among them, and the definitions that they use. */
export function copy(doc: Doc, ids: readonly Id[], placeOf: (id: Id) => Place): string {
  const roots = rootsOf(doc, ids).filter((id) => !isRim(doc, id));
  const nodes: Record<Id, DocNode> = {};
  const places: Record<Id, Place> = {};
  for (const root of roots) {
    places[root] = placeOf(root);
    const node = doc.nodes[root];
    if (!node) continue;
    nodes[root] = { ...node, zone: null };
    for (const child of inside(doc, root)) {
      nodes[child.id] = child;
      places[child.id] = placeOf(child.id);
    }
  }
  const needed = new Set(Object.values(nodes).flatMap((node) => closure(doc, node.type)));
  const definitions = Object.fromEntries(
    Object.entries(doc.definitions).filter(([name]) => needed.has(name)),
  );
  return write({ ...EMPTY, definitions, nodes, places }, 1);
}

export interface Pasted<D extends Doc> {
  doc: D;
  ids: Id[];
}

/**
 * Put copied text into a zone (or the top) so that its upper left corner lies `at`. Wires from what was not copied
 * are cut, or kept where `keepWires` and they can be read there. Definitions that are not there yet come along.
 */
export function paste<D extends Doc>(
  before: D,
  specs: SpecOf,
  text: string,
  zone: Id | null,
  at: readonly [number, number],
  keepWires: boolean,
): Pasted<D> {
  const { doc: piece } = read(text);
  const missing = Object.entries(piece.definitions).filter(([name]) => !(name in before.definitions));
  const definitions = { ...before.definitions, ...Object.fromEntries(missing) };
  const doc = missing.length > 0 ? { ...before, definitions } : before;
  const taken = new Set<string>();
  const names = new Map<Id, Id>();
  for (const id of new Set([...Object.keys(piece.nodes), ...Object.keys(piece.places)])) {
    const name = freshId((wanted) => isTaken(doc)(wanted) || taken.has(wanted), id);
    taken.add(name);
    names.set(id, name);
  }
  const tops = [...names.keys()].filter((id) => (piece.nodes[id]?.zone ?? null) === null);
  const corner = [0, 1].map((axis) => Math.min(...tops.map((id) => piece.places[id]?.at[axis] ?? 0)));
  const nodes = { ...doc.nodes };
  for (const node of Object.values(piece.nodes)) {
    const id = names.get(node.id) ?? node.id;
    nodes[id] = { ...node, id, zone: node.zone === null ? zone : (names.get(node.zone) ?? null) };
  }
  const whole: Doc = { ...doc, nodes };
  for (const id of Object.keys(piece.nodes).map((old) => names.get(old) ?? old)) {
    const node = whole.nodes[id];
    if (!node) continue;
    nodes[id] = rewired(node, (ref: Ref) => {
      const [head, rest] = halves(ref);
      const own = head in piece.nodes ? names.get(head) : undefined;
      if (own) return joined(own, rest);
      return keepWires && resolve(whole, specs, ref, node.zone) ? ref : undefined;
    });
  }
  const shifted = Object.entries(piece.places).map(([id, spot]) => {
    const top = tops.includes(id);
    const moved = spot.at.map((value, axis) => (top ? value - (corner[axis] ?? 0) + (at[axis] ?? 0) : value));
    return [names.get(id) ?? id, { ...spot, at: moved as unknown as Place["at"] }] as const;
  });
  return {
    doc: place({ ...doc, nodes }, Object.fromEntries(shifted)),
    ids: tops.map((id) => names.get(id) ?? id),
  };
}

/** Copies beside their originals, with the wires that come in. */
export function duplicate<D extends Doc>(
  doc: D,
  specs: SpecOf,
  ids: readonly Id[],
  placeOf: (id: Id) => Place,
  shift = 32,
): Pasted<D> {
  const groups = new Map<Id | null, Id[]>();
  for (const id of ids) {
    const zone = doc.nodes[id]?.zone ?? null;
    groups.set(zone, [...(groups.get(zone) ?? []), id]);
  }
  let next = doc;
  const made: Id[] = [];
  for (const [zone, members] of groups) {
    if (zone !== null && ids.includes(zone)) continue;
    const corner = [0, 1].map((axis) => Math.min(...members.map((id) => placeOf(id).at[axis] ?? 0)) + shift);
    const pasted = paste(next, specs, copy(doc, members, placeOf), zone, corner as [number, number], true);
    next = pasted.doc;
    made.push(...pasted.ids);
  }
  return { doc: next, ids: made };
}
