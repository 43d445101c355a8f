/** A definition made of nodes that are there: the wires over the rim become its ports, one use stands in their place. */
import { toWorkflow } from "./codec";
import { CALL, INPUTS, type Definition } from "./definitions";
import {
  bending,
  wiresOf,
  EMPTY,
  freshId,
  halves,
  inside,
  isNamed,
  isTaken,
  joined,
  nodeOf,
  refsOf,
  rewired,
  rootsOf,
  type Doc,
  type DocNode,
  type Id,
  type Place,
  type Ref,
  type Wired,
} from "./document";
import { without } from "./edits";
import { isRimNode } from "./inside";
import type { Json } from "./json";
import { nameOfSource } from "./naming";
import { resolve, sourceKey } from "./references";
import { dependencies } from "./rules";
import type { Kinds } from "./types";

const rootNodes = (doc: Doc, ids: readonly Id[]): DocNode[] =>
  rootsOf(doc, ids).flatMap((id) => doc.nodes[id] ?? []);

/** A node with each of its references replaced, told the scope that it is read in. */
function rewiredIn(node: DocNode, change: (scope: Id | null) => (ref: Ref) => Ref): DocNode {
  const { wires } = rewired({ ...node, results: null }, change(node.zone));
  const { results } = rewired({ ...node, wires: {} }, change(node.id));
  return { ...node, wires, results };
}

/** Why no definition can be made of these nodes; null where one can. */
export function objectionToDefinition(doc: Doc, kinds: Kinds, ids: readonly Id[]): string | null {
  const roots = rootNodes(doc, ids);
  const [first] = roots;
  if (!first) return "Select the nodes that the definition is made of";
  if (roots.some((node) => node.zone !== first.zone))
    return "The nodes lie in different zones: select nodes of one zone, or of the sheet";
  const members = [...roots, ...roots.flatMap((node) => inside(doc, node.id))];
  if (members.some(isRimNode))
    return "The ports of this definition cannot become part of another: leave them out";
  if (members.some((node) => node.id === INPUTS))
    return `Inside of a definition "${INPUTS}" stands for what goes in: call that node otherwise first`;
  const call = members.find((node) => node.type === CALL && doc.within !== undefined);
  if (call)
    return `"${call.id}" calls the body of this definition's uses, and can be nowhere else: leave it out`;
  const between = betweenOf(doc, kinds, roots);
  if (between !== null)
    return `"${between}" reads some of these nodes, and others read it: select it as well, or fewer nodes`;
  const own = new Set(members.map((node) => node.id));
  const deep = Object.entries(doc.exposed.params).find(
    ([, ref]) => own.has(nodeOf(ref)) && halves(ref)[1].includes("."),
  );
  return deep ? `The app view shows "${deep[0]}", which lies inside: hide it there first` : null;
}

/** A node beside these that waits for some of them, and for which others wait. */
function betweenOf(doc: Doc, kinds: Kinds, roots: readonly DocNode[]): Id | null {
  const specs = kinds.specs(doc);
  const own = new Set(roots.map((node) => node.id));
  const waits = new Map<Id, boolean>();
  const waitsForOwn = (id: Id): boolean => {
    const known = waits.get(id);
    if (known !== undefined) return known;
    waits.set(id, false);
    const found = dependencies(doc, specs, id).some((next) => own.has(next) || waitsForOwn(next));
    waits.set(id, found);
    return found;
  };
  for (const { id } of roots)
    for (const next of dependencies(doc, specs, id)) if (!own.has(next) && waitsForOwn(next)) return next;
  return null;
}

/** A wire over the rim: what it comes from, and the names that it could have. */
interface Crossing {
  readonly ref: Ref;
  readonly source: string;
  readonly ports: string[];
}

/**
 * Make one of these nodes, to which there must be no objection. `spot`: where they are; `origin`: where the zone around
 * them is on the sheet, since what only the drawing knows is placed on that.
 */
export function makeDefinition<D extends Doc>(
  doc: D,
  kinds: Kinds,
  ids: readonly Id[],
  wanted: string,
  spot: (id: Id) => Place,
  origin: readonly [number, number] = [0, 0],
): { doc: D; id: Id; name: string } {
  const specs = kinds.specs(doc);
  const roots = rootNodes(doc, ids);
  const zone = roots[0]?.zone ?? null;
  const members = [...roots, ...roots.flatMap((node) => inside(doc, node.id))];
  const own = new Set(members.map((node) => node.id));
  const name = freshId((id) => id in doc.definitions || specs(id) !== undefined, wanted);

  const keyOf = (ref: Ref, scope: Id | null): string => {
    const source = resolve(doc, specs, ref, scope);
    return source ? sourceKey(source) : ref;
  };
  const nameOf = (ref: Ref, scope: Id | null): string => {
    const source = resolve(doc, specs, ref, scope);
    return source ? nameOfSource(doc, kinds, source) : joined(...halves(ref)).replaceAll(".", "_");
  };

  // What goes in: one input for each source outside, called after the ports that read it, or after itself.
  const entering = new Map<string, Crossing>();
  for (const node of members) {
    const read = (record: object, scope: Id | null) => {
      for (const [port, wired] of Object.entries(record) as [string, Wired][]) {
        const names = isNamed(wired) ? Object.keys(wired) : []; // that the user gave, say more than the port
        for (const [i, ref] of refsOf(wired).entries()) {
          if (own.has(nodeOf(ref))) continue;
          const key = keyOf(ref, scope);
          const known = entering.get(key) ?? { ref, source: nameOf(ref, scope), ports: [] };
          known.ports.push(names[i] ?? halves(port)[0]);
          entering.set(key, known);
        }
      }
    };
    read(node.wires, node.zone);
    read(node.results ?? {}, node.id);
  }
  const contested = new Map<string, number>();
  for (const { ports } of entering.values()) {
    const port = ports[0] ?? "";
    contested.set(port, (contested.get(port) ?? 0) + 1);
  }
  const inputs = new Map<string, string>();
  const taken = new Set<string>();
  const give = (wish: string): string => {
    const found = freshId((id) => taken.has(id), wish);
    taken.add(found);
    return found;
  };
  for (const [key, { ref, source, ports }] of entering) {
    const port = ports[0] ?? "";
    const alone = contested.get(port) === 1 && new Set(ports).size === 1;
    inputs.set(key, give(alone ? port : nodeOf(ref) === zone ? source : nodeOf(ref)));
  }

  // What comes out: one result for each port that is read outside.
  const results: Record<string, Ref> = {};
  const leaving = new Map<string, string>();
  const letOut = (ref: Ref, scope: Id | null): string => {
    const key = keyOf(ref, scope);
    const known = leaving.get(key);
    if (known !== undefined) return known;
    const found = freshId((id) => id in results, nameOf(ref, scope));
    results[found] = ref;
    leaving.set(key, found);
    return found;
  };
  const id = freshId((other) => isTaken(doc)(other) && !own.has(other), name);
  const outward = (scope: Id | null) => (ref: Ref) =>
    own.has(nodeOf(ref)) ? joined(id, letOut(ref, scope)) : ref;
  const outside = Object.entries(doc.nodes).flatMap(([other, node]): [Id, DocNode][] => {
    if (own.has(other)) return [];
    return [[other, rewiredIn(node, outward)]];
  });
  const outputs = Object.fromEntries(
    Object.entries(doc.exposed.outputs).map(([key, ref]) => [key, outward(null)(ref)]),
  );

  // What the app view shows of a node inside becomes an input, with the value that is typed in there.
  const nodes: Record<Id, DocNode> = {};
  for (const node of members) {
    const inward = (scope: Id | null) => (ref: Ref) =>
      own.has(nodeOf(ref)) ? ref : joined(INPUTS, inputs.get(keyOf(ref, scope)) ?? "");
    nodes[node.id] = { ...rewiredIn(node, inward), zone: node.zone === zone ? null : node.zone };
  }
  const typed: Record<string, Json> = {};
  const shown = [...inputs.values()];
  const params = Object.fromEntries(
    Object.entries(doc.exposed.params).map(([key, ref]) => {
      const [head, param] = halves(ref);
      const node = nodes[head];
      if (!own.has(head) || !node) return [key, ref];
      const wired = node.wires[param];
      if (typeof wired === "string") return [key, joined(id, halves(wired)[1])];
      const port = give(key);
      shown.push(port);
      if (node.params[param] !== undefined) typed[port] = node.params[param];
      nodes[head] = {
        ...node,
        params: without(node.params, param),
        wires: { ...node.wires, [param]: joined(INPUTS, port) },
      };
      return [key, joined(id, port)];
    }),
  );

  const use: DocNode = {
    ...{ id, type: name, mode: "run", zone, params: typed, results: null },
    wires: Object.fromEntries([...entering].map(([key, { ref }]) => [inputs.get(key) ?? "", ref])),
  };
  const at = [0, 1].map((axis) => Math.min(...roots.map((node) => spot(node.id).at[axis] ?? 0))) as [
    number,
    number,
  ];
  const { places, layout } = placesOf(doc, roots, ids, own, at, origin, spot);
  const definition: Definition = {
    ...(shown.length > 0 ? { inputs: shown } : {}),
    nodes: toWorkflow({ ...EMPTY, nodes }).nodes as object,
    results,
    ...(Object.keys(layout).length > 0 ? { layout } : {}),
  };
  const before = Object.keys(doc.nodes).findIndex((other) => own.has(other));
  const next = {
    ...doc,
    nodes: Object.fromEntries(outside.toSpliced(before, 0, [id, use])),
    places: { ...places, [id]: { at } },
    exposed: { params, outputs },
    definitions: { ...doc.definitions, [name]: definition as unknown as Json },
  };
  return { doc: next, id, name };
}

/** What moves into the definition's drawing, and what stays outside. */
function placesOf(
  doc: Doc,
  roots: readonly DocNode[],
  ids: readonly Id[],
  own: ReadonlySet<Id>,
  corner: readonly [number, number],
  origin: readonly [number, number],
  spot: (id: Id) => Place,
): { places: Record<Id, Place>; layout: Record<Id, Place> } {
  const MARGIN = 320; // room for the node of the rim, on the left
  const tops = new Set<Id>(roots.map((node) => node.id));
  const places: Record<Id, Place> = {};
  const layout: Record<Id, Place> = {};
  const moved = (place: Place, [x, y] = [0, 0] as readonly [number, number]): Place => ({
    ...place,
    at: [Math.round(place.at[0] - corner[0] - x + MARGIN), Math.round(place.at[1] - corner[1] - y)],
  });
  for (const id of own)
    if (id in doc.places || tops.has(id)) layout[id] = tops.has(id) ? moved(spot(id)) : spot(id);
  for (const [id, place] of Object.entries(doc.places)) {
    if (own.has(id)) continue;
    const ends = wiresOf(place);
    const left = ends.filter((wire) => !own.has(nodeOf(wire)));
    const bends = ends.length > 0 && left.length === 0;
    const drawn = ids.includes(id) && !(id in doc.nodes) && ends.length === 0;
    if (bends || drawn) layout[id] = moved(place, origin);
    else places[id] = left.length === ends.length ? place : (bending(place, left) ?? place);
  }
  return { places, layout };
}
