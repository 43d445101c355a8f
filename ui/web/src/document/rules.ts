/** What may be wired to what, and the sentence that says why not. */
import type { Catalog } from "../server/types";
import { enclosing, inside, isNamed, refsOf, type Doc, type Id } from "./document";
import { resolve, type Source, type SpecOf } from "./references";
import { slotAt, type InSlot } from "./slots";
import { element, kindOf, saying, takes, type Kinds, type Misfit, type WireKind } from "./types";
import { connect } from "./wires";

export { slotAt } from "./slots";

/** The scope that a slot reads: a result reads its zone's body, an input what is around the node. */
export function scopeOf(doc: Doc, node: Id, handle: string): Id | null {
  return handle.startsWith("results.") ? node : (doc.nodes[node]?.zone ?? null);
}

/** Why a wire from `source` may not enter this slot; null where it may. */
export function objection(doc: Doc, kinds: Kinds, source: Source, target: Id, handle: string): string | null {
  const slot = slotAt(doc, kinds, target, handle);
  if (!slot) return "There is no such port";
  return (
    objectionToKind(kinds.catalog, kinds.of(doc, source), slot) ??
    objectionToPlace(doc, kinds, source, target, handle) ??
    objectionToStore(doc, kinds, source) ??
    objectionToGradient(doc, kinds, source, target, slot) ??
    objectionToSolution(doc, kinds, source, target, handle, slot)
  );
}

/** Why a value of this kind may not enter a slot, wherever it comes from. */
export function objectionToKind(catalog: Catalog, kind: WireKind | null, slot: InSlot): string | null {
  if (kind === null || slot.port.variable) return null;
  const port = kindOf(slot.port);
  if (takes(catalog, port, kind)) return null;
  if (port.many > 0 && takes(catalog, element(port), kind) && !slot.port.named) return null;
  // A wire of a list may bring a whole list.
  if (/\.\d+$/.test(slot.handle) && takes(catalog, { ...port, many: port.many + 1 }, kind)) return null;
  return `${slot.label} takes ${saying(slot.adds && !slot.port.named ? element(port) : port)}, and this is ${saying(kind)}`;
}

/** Why type variables, solved anew with this wire, no longer fit: at this slot, or at what reads the node. */
function objectionToSolution(
  doc: Doc,
  kinds: Kinds,
  source: Source,
  target: Id,
  handle: string,
  slot: InSlot,
): string | null {
  if (!slot.port.variable) return null;
  const told = (misfit: Misfit) => `${misfit.node}.${misfit.port}`;
  const before = new Set(kinds.misfits(doc).map(told));
  const found = kinds
    .misfits(connect(doc, kinds, source, target, handle))
    .find((misfit) => !before.has(told(misfit)));
  if (!found) return null;
  const own = found.node === target && found.port.startsWith(slot.port.name || handle);
  return own ? `${slot.label} ${found.why}` : `${told(found)} would not fit any more: it ${found.why}`;
}

/** What a node differentiates with respect to is a port of a zone around it, unless gradients flow there anyhow. */
function objectionToGradient(
  doc: Doc,
  kinds: Kinds,
  source: Source,
  target: Id,
  slot: InSlot,
): string | null {
  const specs = kinds.specs(doc);
  const node = doc.nodes[target];
  if (!node || !specs(node.type)?.grad.includes(slot.handle)) return null;
  const scopes = enclosing(doc, node.zone);
  const trains = scopes.some((zone) => {
    const around = zone === null ? undefined : doc.nodes[zone];
    return around && (specs(around.type)?.trains ?? false);
  });
  if (trains || (source.inner && scopes.includes(source.node))) return null;
  return `${slot.label} is what the node differentiates with respect to: wire a port of a zone around it`;
}

/** What is kept on disk, and read, must be of a type that the disk can hold. */
function objectionToStore(doc: Doc, kinds: Kinds, source: Source): string | null {
  const node = doc.nodes[source.node];
  const kind = kinds.of(doc, source);
  if (!node || !kind || source.inner || node.zone !== null || !kinds.specs(doc)(node.type)?.keep) return null;
  const storable = kinds.catalog.types[kind.name]?.storable ?? true;
  return storable ? null : `${source.node} gives ${saying(kind)}, which cannot be kept on disk`;
}

function objectionToPlace(doc: Doc, kinds: Kinds, source: Source, target: Id, handle: string): string | null {
  const scope = scopeOf(doc, target, handle);
  const scopes = enclosing(doc, scope);
  const from = doc.nodes[source.node];
  if (!from) return "There is no such node";
  if (source.inner) {
    if (!scopes.includes(source.node)) return `This port exists only inside the zone "${source.node}"`;
  } else {
    if (scopes.includes(source.node)) return `Inside the zone "${source.node}" its outputs do not exist yet`;
    if (!scopes.includes(from.zone))
      return `A wire may not leave the zone "${from.zone ?? ""}"; make it a result of the zone and read the zone here`;
    if (circular(doc, kinds.specs(doc), source.node, target)) return "These nodes would wait for each other";
  }
  return carriedBy(doc, kinds, source, target, scope);
}

/** A model that a zone changes a copy of is read through the zone, inside of it. */
function carriedBy(doc: Doc, kinds: Kinds, source: Source, target: Id, scope: Id | null): string | null {
  const specs = kinds.specs(doc);
  for (const zone of enclosing(doc, scope)) {
    const node = zone === null ? undefined : doc.nodes[zone];
    const spec = node && specs(node.type);
    if (!spec || node.id === target) continue;
    for (const port of spec.mutates) {
      const wired = node.wires[port];
      if (!isNamed(wired)) continue;
      for (const [name, ref] of Object.entries(wired)) {
        const carried = resolve(doc, specs, ref, node.zone);
        if (carried && same(carried, source))
          return `The zone "${node.id}" changes a copy of this: wire ${port}.${name} of the zone`;
      }
    }
  }
  return null;
}

const same = (a: Source, b: Source): boolean =>
  a.node === b.node && a.inner === b.inner && a.port === b.port && a.name === b.name;

/** Whether a wire from node `from` to node `to` would close a circle in the scope of `from`. */
export function circular(doc: Doc, specs: SpecOf, from: Id, to: Id): boolean {
  const scope = doc.nodes[from]?.zone ?? null;
  const lifted = lift(doc, to, scope);
  if (lifted === null) return false;
  const seen = new Set<Id>();
  const waiting = [from];
  for (let id = waiting.pop(); id !== undefined; id = waiting.pop()) {
    if (id === lifted) return true;
    if (seen.has(id)) continue;
    seen.add(id);
    waiting.push(...dependencies(doc, specs, id));
  }
  return false;
}

/** The ancestor of a node (or itself) that is drawn in `scope`. */
function lift(doc: Doc, id: Id, scope: Id | null): Id | null {
  for (let at: Id | null = id; at !== null; at = doc.nodes[at]?.zone ?? null) {
    if ((doc.nodes[at]?.zone ?? null) === scope) return at;
  }
  return null;
}

const known = new WeakMap<Doc, Map<Id, readonly Id[]>>();

/** The neighbours in its scope that a node, or anything drawn inside of it, reads. */
export function dependencies(doc: Doc, specs: SpecOf, id: Id): readonly Id[] {
  const memory = known.get(doc) ?? new Map<Id, readonly Id[]>();
  known.set(doc, memory);
  const remembered = memory.get(id);
  if (remembered) return remembered;
  const node = doc.nodes[id];
  const members = !node ? [] : node.results === null ? [node] : [node, ...inside(doc, id)];
  const found = new Set<Id>();
  const read = (ref: string, at: Id | null) => {
    const source = resolve(doc, specs, ref, at);
    const owner = source && !source.inner ? doc.nodes[source.node] : undefined;
    if (owner && owner.id !== id && owner.zone === node?.zone) found.add(owner.id);
  };
  for (const member of members) {
    for (const wired of Object.values(member.wires)) for (const ref of refsOf(wired)) read(ref, member.zone);
    for (const wired of Object.values(member.results ?? {}))
      for (const ref of refsOf(wired)) read(ref, member.id);
  }
  memory.set(id, [...found]);
  return [...found];
}
