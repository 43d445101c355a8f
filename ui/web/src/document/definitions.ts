/** Definitions, named graphs used as nodes: what one use stands for, put in its place. */
import { read } from "./codec";
import {
  bendsFollow,
  freshId,
  halves,
  inside,
  isTaken,
  joined,
  mapRefs,
  nodeOf,
  rewired,
  type Doc,
  type DocNode,
  type Id,
  type Ref,
  type Wired,
} from "./document";
import { print, type Json } from "./json";

export interface Definition {
  readonly about?: string;
  readonly inputs?: readonly string[];
  readonly body?: { readonly ports?: readonly string[]; readonly results?: readonly string[] };
  readonly nodes?: object;
  readonly results?: Readonly<Record<string, Ref | readonly Ref[]>>;
  readonly layout?: object;
}

/** The type of the nodes that stand for the body of each use, and what its inputs are read by, as the engine names them. */
export const CALL = "body";
export const INPUTS = "inputs";
const DEEPEST = 100;

export const definitionNamed = ({ definitions }: Doc, name: string): Definition | undefined =>
  Object.hasOwn(definitions, name) ? (definitions[name] as unknown as Definition) : undefined;

/** What a node is a use of. */
export const definitionOf = (doc: Doc, id: Id): Definition | undefined =>
  definitionNamed(doc, doc.nodes[id]?.type ?? "");

const graphs = new WeakMap<Definition, Doc>();

/** The nodes of a definition, at every depth, as a document with the places that it has for them. */
export function graphOf(definition: Definition): Doc {
  let graph = graphs.get(definition);
  if (!graph) {
    const { nodes = {}, layout = {} } = definition;
    graphs.set(definition, (graph = read(print({ loom: 1, nodes, layout })).doc));
  }
  return graph;
}

/** Say what the graph of a definition is that was made of one: its nodes stay the same objects. */
export const remember = (definition: Definition, graph: Doc) => graphs.set(definition, graph);

/**
 * The nodes that a use of a definition stands for in place of it, to look at and to change; its own body's with them.
 * They have no places yet: `ids` names those that want one where the use was.
 */
export function unpack<D extends Doc>(doc: D, id: Id): { doc: D; ids: Id[] } {
  const use = doc.nodes[id];
  const definition = definitionOf(doc, id);
  if (!use || !definition) return { doc, ids: [] };
  const inner = graphOf(definition).nodes;
  const members = inside(doc, id);
  const isCall = (name: string): boolean => inner[name]?.type === CALL && definition.body !== undefined;
  const names = namesFor(doc, id, Object.keys(inner), isCall, members);
  const own = (name: string): Id => names.get(name) ?? name;
  const zoneOf = (zone: Id | null): Id | null => (zone === null ? use.zone : own(zone));
  const onlyOf = (record: object): string =>
    Object.keys(record).length === 1 ? (Object.keys(record)[0] ?? "") : "";

  // What a reference stands for: one of the definition, and one of the body where `call` calls it.
  const outside = (ref: Ref, depth = 0): Wired | undefined => {
    const [head, port] = halves(ref);
    if (depth > DEEPEST) return undefined;
    if (head === INPUTS) return use.wires[port];
    if (!isCall(head)) return joined(own(head), port);
    const given = use.results ? use.results[port || onlyOf(use.results)] : undefined;
    return given && mapRefs(given, (each) => bodily(head, each, depth + 1));
  };
  const bodily = (call: Id, ref: Ref, depth = 0): Wired | undefined => {
    const [head, port] = halves(ref);
    const ports = inner[call]?.wires ?? {};
    if (head === id) {
      const wired = ports[port || onlyOf(ports)];
      return wired && mapRefs(wired, (each) => outside(each, depth + 1));
    }
    return members.some((member) => member.id === head) ? joined(own(`${call}/${head}`), port) : ref;
  };

  const nodes: Record<Id, DocNode> = {};
  for (const [name, node] of Object.entries(inner)) {
    if (!isCall(name)) {
      const typed = literals(node, use);
      const wired = rewired({ ...node, params: { ...node.params, ...typed } }, (ref) => outside(ref));
      nodes[own(name)] = { ...wired, id: own(name), zone: zoneOf(node.zone) };
      continue;
    }
    for (const member of members) {
      const copy = own(`${name}/${member.id}`);
      const zone = member.zone === id ? zoneOf(node.zone) : own(`${name}/${member.zone ?? ""}`);
      nodes[copy] = { ...rewired(member, (ref) => bodily(name, ref)), id: copy, zone };
    }
  }
  const results = definition.results ?? {};
  const fromOutside = (ref: Ref): Wired | undefined => {
    const [head, port] = halves(ref);
    if (head !== id) return ref;
    const given = results[port || onlyOf(results)];
    return given && mapRefs(given, (each) => outside(each));
  };
  const gone = new Set([id, ...members.map((member) => member.id)]);
  const kept = Object.entries(doc.nodes).flatMap(([name, node]): [Id, DocNode][] => {
    if (name === id) return Object.entries(nodes);
    return gone.has(name) ? [] : [[name, rewired(node, fromOutside)]];
  });
  const tops = Object.values(nodes).filter((node) => node.zone === use.zone);
  const bent = bendsFollow(doc, (wire) => (gone.has(nodeOf(wire)) ? undefined : wire));
  const places = Object.entries(bent.places).filter(([name]) => !gone.has(name));
  const { exposed } = doc;
  const outputs = Object.entries(exposed.outputs).flatMap(([name, ref]): [string, Ref][] => {
    const now = fromOutside(ref);
    return typeof now === "string" ? [[name, now]] : [];
  });
  const params = Object.entries(exposed.params).flatMap(([name, ref]): [string, Ref][] => {
    const [head, port] = halves(ref);
    if (head !== id) return gone.has(head) ? [] : [[name, ref]];
    const reader = Object.entries(inner).flatMap(([node, { wires }]) =>
      Object.entries(wires).flatMap(([input, wired]) =>
        wired === `${INPUTS}.${port}` ? [`${own(node)}.${input}`] : [],
      ),
    )[0];
    return reader === undefined ? [] : [[name, reader]];
  });
  const next = {
    ...doc,
    nodes: Object.fromEntries(kept),
    places: Object.fromEntries(places),
    exposed: { params: Object.fromEntries(params), outputs: Object.fromEntries(outputs) },
  };
  return { doc: next, ids: tops.map((node) => node.id) };
}

/** New ids: of the definition's nodes by their names, of the body's for each call as `CALL/NODE`. */
function namesFor(
  doc: Doc,
  id: Id,
  inner: readonly string[],
  isCall: (name: string) => boolean,
  members: readonly DocNode[],
): Map<string, Id> {
  const names = new Map<string, Id>();
  const used = new Set<Id>();
  const free = [id, ...members.map((member) => member.id)];
  const isUsed = (wanted: string) => used.has(wanted) || (isTaken(doc)(wanted) && !free.includes(wanted));
  const give = (key: string, wanted: string) => {
    const name = freshId(isUsed, wanted);
    used.add(name);
    names.set(key, name);
  };
  for (const name of inner) {
    if (isCall(name)) for (const member of members) give(`${name}/${member.id}`, member.id);
    else give(name, name);
  }
  return names;
}

/** The literals of a use that a node of its definition reads as inputs. */
function literals(node: DocNode, use: DocNode): Record<string, Json> {
  return Object.fromEntries(
    Object.entries(node.wires).flatMap(([port, wired]): [string, Json][] => {
      const name =
        typeof wired === "string" && wired.startsWith(`${INPUTS}.`) ? wired.slice(INPUTS.length + 1) : "";
      const value = use.params[name];
      return name !== "" && value !== undefined ? [[port, value]] : [];
    }),
  );
}
