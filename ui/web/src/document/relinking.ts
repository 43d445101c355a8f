/**
 * What becomes of a node's wires when it goes, changes or is put between others: each reader is wired to the first source
 * that fits it, and to none where none does.
 */
import { halves, nodeOf, type Doc, type DocNode, type Id, type Ref } from "./document";
import { removeNodes } from "./edits";
import { isRim, isRimNode } from "./inside";
import { refTo, resolve, type Source } from "./references";
import { objection } from "./rules";
import { inputSlots, outputSlots, resultSlots, type InSlot } from "./slots";
import { takes, type Kinds, type WireKind } from "./types";
import { connect, disconnect } from "./wires";

/** A wire's end at an input. */
export interface Slot {
  readonly node: Id;
  readonly handle: string;
}

export interface Reader extends Slot {
  readonly slot: InSlot;
  readonly source: Source;
}

/** A wire in words, for what is told of one that was lost. */
export const wireName = ({ source, node, handle }: Reader): string => `${source.node} → ${node}.${handle}`;

/** All wired inputs of some nodes; of each list the last item first, so that taking one out moves none that follow. */
export function wiredSlots(doc: Doc, kinds: Kinds, nodes: readonly DocNode[]): Reader[] {
  return nodes.flatMap((node) =>
    [...inputSlots(doc, kinds, node), ...resultSlots(doc, kinds, node)]
      .flatMap((slot): Reader[] =>
        slot.source ? [{ node: node.id, handle: slot.handle, slot, source: slot.source }] : [],
      )
      .reverse(),
  );
}

/** Every wire that reads a node's outputs, or, `inner`, what a zone hands to its body. */
export const readersOf = (doc: Doc, kinds: Kinds, id: Id, inner: boolean): Reader[] =>
  wiredSlots(doc, kinds, Object.values(doc.nodes)).filter(
    ({ source }) => source.node === id && source.inner === inner,
  );

/** What leaves a node, or, `inner`, what a zone hands to its body. */
export const sourcesOf = (doc: Doc, kinds: Kinds, id: Id, inner = false): Source[] => {
  const node = doc.nodes[id];
  return node
    ? outputSlots(doc, kinds, node, inner).map(({ port, name }) => ({
        node: id,
        inner,
        port: port.name,
        name,
      }))
    : [];
};

export const sameSource = (a: Source, b: Source): boolean =>
  a.node === b.node && a.inner === b.inner && a.port === b.port && a.name === b.name;

export const sameKind = (a: WireKind | null, b: WireKind | null): boolean =>
  a !== null && b !== null && a.name === b.name && a.many === b.many;

/** Wire the first source that fits to a reader; where none does, what it reads is taken off. */
export function relink<D extends Doc>(
  doc: D,
  kinds: Kinds,
  reader: Slot,
  candidates: readonly Source[],
): { doc: D; source: Source | null } {
  const fits = (own: Source) => objection(doc, kinds, own, reader.node, reader.handle) === null;
  const source = candidates.find(fits) ?? null;
  const next = source
    ? connect(doc, kinds, source, reader.node, reader.handle)
    : disconnect(doc, reader.node, reader.handle);
  return { doc: next, source };
}

/** Wire each reader to the first that fits of what `candidates` names for it; `lost` are those that found none. */
export function relinkAll<D extends Doc>(
  doc: D,
  kinds: Kinds,
  readers: readonly Reader[],
  candidates: (reader: Reader) => readonly Source[],
): { doc: D; lost: Reader[] } {
  let next = doc;
  const lost = readers.filter((reader) => {
    const linked = relink(next, kinds, reader, candidates(reader));
    next = linked.doc;
    return linked.source === null;
  });
  return { doc: next, lost };
}

/** The outputs that the app view shows follow: of each the first source of its kind, or none. */
export function exposedFollow<D extends Doc>(
  doc: D,
  before: Doc,
  kinds: Kinds,
  id: Id,
  candidates: (source: Source) => readonly Source[],
): D {
  const outputs = Object.entries(doc.exposed.outputs).flatMap(([name, ref]): [string, Ref][] => {
    if (nodeOf(ref) !== id) return [[name, ref]];
    const source = resolve(before, kinds.specs(before), ref, null);
    const kind = source && kinds.of(before, source);
    const found = source && candidates(source).find((own) => sameKind(kinds.of(doc, own), kind));
    return found ? [[name, refTo(kinds.specs(doc)(doc.nodes[found.node]?.type ?? ""), found)]] : [];
  });
  return { ...doc, exposed: { ...doc.exposed, outputs: Object.fromEntries(outputs) } };
}

/** Take nodes out, and wire what read them to what they read: of the same type, else of one that may stand in for it. */
export function removeRelinked<D extends Doc>(doc: D, kinds: Kinds, ids: readonly Id[]): D {
  let next = doc;
  for (const id of ids) {
    const node = next.nodes[id];
    if (!node || isRimNode(node)) continue;
    const now: Doc = next;
    const enters = inputSlots(now, kinds, node).flatMap((slot) => (slot.source ? [slot.source] : []));
    const standIns = (source: Source): Source[] => {
      const kind = kinds.of(now, source);
      if (!kind) return [];
      const same = enters.filter((own) => sameKind(kinds.of(now, own), kind));
      const accepted = enters.filter((own) => {
        const flowing = kinds.of(now, own);
        return flowing !== null && flowing.name !== "any" && takes(kinds.catalog, kind, flowing);
      });
      return [...same, ...accepted];
    };
    const relinked = relinkAll(next, kinds, readersOf(next, kinds, id, false), ({ source, slot }) =>
      // A port that names its type says itself what else it takes.
      slot.port.variable || slot.port.type === "any" ? standIns(source) : [...standIns(source), ...enters],
    );
    next = exposedFollow(relinked.doc, now, kinds, id, standIns);
  }
  return removeNodes(next, ids);
}

/** The free input of a node that takes a source: one that only a wire can fill comes before a parameter. */
export function entrance(doc: Doc, kinds: Kinds, source: Source, id: Id): string | null {
  const node = doc.nodes[id];
  const free = node ? inputSlots(doc, kinds, node).filter((slot) => slot.ref === null) : [];
  free.sort((a, b) => Number(a.port.schema !== undefined) - Number(b.port.schema !== undefined));
  return free.find((slot) => objection(doc, kinds, source, id, slot.handle) === null)?.handle ?? null;
}

/** The output of a node that fits an input. */
export const exit = (doc: Doc, kinds: Kinds, id: Id, target: Slot): Source | null =>
  sourcesOf(doc, kinds, id).find((own) => objection(doc, kinds, own, target.node, target.handle) === null) ??
  null;

/** Put a node into a wire, by the first ports that fit; null where it does not fit there. */
export function insertInto<D extends Doc>(doc: D, kinds: Kinds, id: Id, wire: string): D | null {
  const [target, handle] = halves(wire);
  const reader = doc.nodes[target];
  const source = reader && wiredSlots(doc, kinds, [reader]).find((own) => own.handle === handle)?.source;
  if (!source || target === id || source.node === id || isRim(doc, id)) return null;
  const into = entrance(doc, kinds, source, id);
  if (into === null) return null;
  const joined = connect(doc, kinds, source, id, into);
  const onward = exit(joined, kinds, id, { node: target, handle });
  return onward && connect(joined, kinds, onward, target, handle);
}
