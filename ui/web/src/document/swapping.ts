/** Another type for a node: which types would do, and what of its wires and parameters can be kept. */
import type { NodeSpec, Port } from "../server/types";
import { halves, inside, type Doc, type DocNode, type Id } from "./document";
import { changeNode, randomSeed, rename } from "./edits";
import { isRimNode } from "./inside";
import { equal, type Json } from "./json";
import {
  exposedFollow,
  readersOf,
  relinkAll,
  sourcesOf,
  wiredSlots,
  wireName,
  type Reader,
} from "./relinking";
import { objection } from "./rules";
import { inputSlots, resultSlots } from "./slots";
import { kindOf, takes, type Kinds } from "./types";
import type { Source } from "./references";
import { reaches } from "./uses";
import { connect, renameWire } from "./wires";

/** A type that a node could have instead, and how many of its wires would stay. */
export interface Swap {
  readonly spec: NodeSpec;
  readonly kept: number;
  readonly of: number;
}

/** The types that could take a node's place: first those that keep the most wires, then parameters, then its category. */
export function swapsFor(doc: Doc, kinds: Kinds, id: Id): Swap[] {
  const node = doc.nodes[id];
  if (!node || isRimNode(node)) return [];
  const specs = kinds.specs(doc);
  const before = specs(node.type);
  const enters = wiredSlots(doc, kinds, [node]).filter(({ handle }) => !handle.startsWith("results."));
  const leaves = readersOf(doc, kinds, id, false);
  const of = enters.length + leaves.length;
  const definitions = Object.keys(doc.definitions).filter((name) => !reaches(doc, name, doc.within ?? ""));
  const types = [...definitions, ...Object.keys(kinds.catalog.nodes)];
  return types
    .flatMap((type) => {
      const spec = specs(type);
      if (!spec || type === node.type || (spec.body !== null) !== (node.results !== null)) return [];
      const kept = entering(doc, kinds, enters, spec) + leaving(kinds, leaves, spec);
      const shared = alike(before, spec);
      const fits = of > 0 ? kept > 0 : shared > 0;
      return fits ? [{ spec, kept, of, shared, near: Number(spec.category === before?.category) }] : [];
    })
    .sort(
      (a, b) =>
        b.kept - a.kept || b.shared - a.shared || b.near - a.near || (a.spec.type < b.spec.type ? -1 : 1),
    )
    .map(({ spec, kept }) => ({ spec, kept, of }));
}

/** How many of the wires that enter find an input. */
function entering(doc: Doc, kinds: Kinds, enters: readonly Reader[], spec: NodeSpec): number {
  const free = new Set(spec.inputs);
  return enters.filter(({ slot, source }) => {
    const flowing = kinds.of(doc, source);
    const fits = (port: Port) => flowing === null || takes(kinds.catalog, kindOf(port), flowing);
    const found =
      [...free].find((port) => port.name === slot.port.name && fits(port)) ?? [...free].find(fits);
    if (found && found.list === 0 && !found.named) free.delete(found);
    return found !== undefined;
  }).length;
}

const leaving = (kinds: Kinds, leaves: readonly Reader[], spec: NodeSpec): number =>
  leaves.filter(({ slot }) =>
    spec.outputs.some((port) => port.bound === "" && takes(kinds.catalog, kindOf(slot.port), kindOf(port))),
  ).length;

/** How much two types have in common: ports of one name and type, and what they give. */
const alike = (a: NodeSpec | undefined, b: NodeSpec): number => {
  const same = (ports: readonly Port[], others: readonly Port[], byName: boolean) =>
    ports.filter((port) =>
      others.some(
        (own) => own.type === port.type && own.list === port.list && (!byName || own.name === port.name),
      ),
    ).length;
  return a ? same(a.inputs, b.inputs, true) + same(a.outputs, b.outputs, false) : 0;
};

/** Give a node another type. Wires and parameters of equal names stay, other wires go to the first port that fits. */
export function swap<D extends Doc>(
  doc: D,
  kinds: Kinds,
  id: Id,
  type: string,
): { doc: D; id: Id; lost: string[] } {
  const old = doc.nodes[id];
  const spec = kinds.specs(doc)(type);
  if (!old || !spec) return { doc, id, lost: [] };
  const params = keptParams(old, kinds.specs(doc)(old.type), spec);
  let next: D = changeNode(doc, id, { type, params, wires: {}, results: old.results && {} });
  const lost: string[] = [];
  // Those of a list in the order in which they were.
  for (const wire of wiredSlots(doc, kinds, [old]).reverse()) {
    if (wire.handle.startsWith("results.")) continue;
    const joined = enter(next, kinds, id, wire);
    if (joined) next = joined;
    else lost.push(wireName(wire));
  }
  const sameFirst = (source: Source, inner: boolean): Source[] => {
    const own = sourcesOf(next, kinds, id, inner);
    const near = own.filter(({ port, name }) => port === source.port && name === source.name);
    return [...near, ...own];
  };
  if (old.results !== null) {
    const within = inside(doc, id).map((node) => node.id);
    const readers = readersOf(doc, kinds, id, true).filter(({ node }) => within.includes(node));
    const linked = relinkAll(next, kinds, readers, ({ source }) => sameFirst(source, true));
    next = linked.doc;
    lost.push(...linked.lost.map(wireName));
    for (const wire of wiredSlots(doc, kinds, [old]).reverse()) {
      if (!wire.handle.startsWith("results.")) continue;
      const joined = enter(next, kinds, id, wire);
      if (joined) next = joined;
      else lost.push(wireName(wire));
    }
  }
  const linked = relinkAll(next, kinds, readersOf(doc, kinds, id, false), ({ source }) =>
    sameFirst(source, false),
  );
  next = exposedFollow(linked.doc, doc, kinds, id, (source) => sameFirst(source, false));
  lost.push(...linked.lost.map(wireName));
  const known = new Set(spec.inputs.map((port) => port.name));
  const shown = Object.entries(next.exposed.params).filter(([, ref]) => {
    const [node, port] = halves(ref);
    return node !== id || known.has(port);
  });
  next = { ...next, exposed: { ...next.exposed, params: Object.fromEntries(shown) } };
  // A name that only said the type says the new one.
  if (!id.startsWith(old.type) || !/^\d*$/.test(id.slice(old.type.length))) return { doc: next, id, lost };
  const renamed = rename(next, id, type);
  const name = Object.keys(renamed.nodes).find((own) => !(own in next.nodes)) ?? id;
  return { doc: renamed, id: name, lost };
}

/** Wire a source in where a wire of that name was, or at the first free port that takes it; null where there is none. */
function enter<D extends Doc>(doc: D, kinds: Kinds, id: Id, wire: Reader): D | null {
  const node = doc.nodes[id];
  if (!node) return null;
  const slots = (wire.handle.startsWith("results.") ? resultSlots : inputSlots)(doc, kinds, node);
  const free = slots.filter((slot) => slot.ref === null);
  const named = free.filter((slot) => slot.handle === wire.handle);
  const ofPort = free.filter((slot) => slot.port.name === wire.slot.port.name);
  const rest = free.toSorted(
    (a, b) => Number(a.port.schema !== undefined) - Number(b.port.schema !== undefined),
  );
  const found = [...named, ...ofPort, ...rest].find(
    (slot) => objection(doc, kinds, wire.source, id, slot.handle) === null,
  );
  if (!found) return null;
  const joined = connect(doc, kinds, wire.source, id, found.handle);
  if (!wire.slot.name || !found.adds || !found.port.named) return joined;
  // What the user named keeps its name.
  const record = wire.handle.startsWith("results.") ? joined.nodes[id]?.results : joined.nodes[id]?.wires;
  const had = wire.handle.startsWith("results.") ? node.results : node.wires;
  const names = (of: object | null | undefined) =>
    Object.entries(of ?? {}).flatMap(([port, wired]) =>
      typeof wired === "object" && !Array.isArray(wired)
        ? Object.keys(wired as object).map((own) => `${port}.${own}`)
        : [port],
    );
  const made = names(record).find((name) => !names(had).includes(name));
  const prefix = wire.handle.startsWith("results.") ? "results." : "";
  return made === undefined
    ? joined
    : renameWire(joined, kinds.specs(joined), id, prefix + made, wire.slot.name);
}

/** The parameters that the new type has as well, of the same type and, where there are choices, among them. */
function keptParams(old: DocNode, before: NodeSpec | undefined, spec: NodeSpec): Record<string, Json> {
  const kept = Object.entries(old.params).filter(([name, value]) => {
    const was = before?.inputs.find((port) => port.name === name);
    const is = spec.inputs.find((port) => port.name === name && port.schema !== undefined);
    if (!is || (was && (was.type !== is.type || was.list !== is.list))) return false;
    const choices = is.schema?.enum;
    return !Array.isArray(choices) || choices.some((choice) => equal(choice, value));
  });
  const draws = spec.draws && spec.inputs.some((port) => port.name === "seed");
  return { ...(draws ? { seed: randomSeed() } : {}), ...Object.fromEntries(kept) };
}
