/**
 * Zones around nodes that are there, and off them: the nodes stay, and wires are drawn anew where the zone's ports allow.
 *
 * A wire may enter a zone and never leaves it. So what leaves the wrapped nodes becomes a result of the zone, and its
 * readers read the zone; and what a zone hands to its body takes the place of what entered of the same type.
 */
import type { NodeSpec } from "../server/types";
import { children, inside, rootsOf, type Doc, type DocNode, type Id } from "./document";
import { addNode, removeNodes } from "./edits";
import { isRim } from "./inside";
import type { Source } from "./references";
import {
  exposedFollow,
  readersOf,
  relink,
  relinkAll,
  sameKind,
  sameSource,
  sourcesOf,
  wiredSlots,
  wireName,
  type Reader,
} from "./relinking";
import { objection } from "./rules";
import { inputSlots, resultSlots } from "./slots";
import type { Kinds } from "./types";
import { connect } from "./wires";

export interface Wrapped<D extends Doc> {
  doc: D;
  /** The zone. */
  id: Id;
  lost: string[];
}

/** The nodes among `ids` that one zone can hold: those of the first one's scope that lie in no other of them. */
export function wrappable(doc: Doc, ids: readonly Id[]): Id[] {
  const nodes = ids.filter((id) => id in doc.nodes && !isRim(doc, id));
  const outer = rootsOf(doc, nodes);
  const scope = doc.nodes[outer[0] ?? ""]?.zone ?? null;
  return outer.filter((id) => doc.nodes[id]?.zone === scope);
}

/** Put nodes of one scope into a new zone of a type. */
export function wrap<D extends Doc>(
  doc: D,
  kinds: Kinds,
  ids: readonly Id[],
  spec: NodeSpec,
  at: readonly [number, number],
): Wrapped<D> {
  const members = wrappable(doc, ids);
  const [first = ""] = members;
  const scope = doc.nodes[first]?.zone ?? null;
  const all = members.flatMap((id) => (doc.nodes[id] ? [doc.nodes[id], ...inside(doc, id)] : []));
  const own = new Set(all.map((node) => node.id));
  const leaving = members
    .flatMap((id) => readersOf(doc, kinds, id, false))
    .filter(({ node }) => !own.has(node));
  const entering = wiredSlots(doc, kinds, all).filter(({ source }) => !own.has(source.node));
  const added = addNode(doc, spec, { zone: scope, at });
  const moved = members.map((id) => [id, { ...doc.nodes[id], zone: added.id } as DocNode] as const);
  const wrapped = { ...added.doc, nodes: { ...added.doc.nodes, ...Object.fromEntries(moved) } };
  const zone = new Wrapping(wrapped, kinds, added.id, spec, entering);
  zone.handIn(all);
  const lost = zone.takeOut(doc, leaving);
  const next = exposedFollowAll(zone.doc, doc, kinds, members, added.id);
  return { doc: next, id: added.id, lost: lost.map(wireName) };
}

const exposedFollowAll = <D extends Doc>(
  doc: D,
  before: Doc,
  kinds: Kinds,
  members: readonly Id[],
  zone: Id,
): D =>
  members.reduce(
    (next, id) => exposedFollow(next, before, kinds, id, () => sourcesOf(next, kinds, zone)),
    doc,
  );

/** A zone that was put around nodes, while its wires are drawn. */
class Wrapping<D extends Doc> {
  constructor(
    public doc: D,
    private readonly kinds: Kinds,
    private readonly id: Id,
    private readonly spec: NodeSpec,
    private readonly entering: readonly Reader[],
  ) {}

  private get zone(): DocNode {
    const node = this.doc.nodes[this.id];
    if (!node) throw new Error(`The zone "${this.id}" is gone`);
    return node;
  }

  /** What enters the wrapped nodes, each source once. */
  private entrants(): Source[] {
    const found: Source[] = [];
    for (const { source } of this.entering)
      if (!found.some((own) => sameSource(own, source))) found.push(source);
    return found;
  }

  /** Let the body read a port of the zone where it read this source. */
  private handOver(source: Source, port: Source): void {
    const readers = this.entering.filter((reader) => sameSource(reader.source, source));
    for (const reader of readers) {
      const linked = relink(this.doc, this.kinds, reader, [port]);
      if (linked.source) this.doc = linked.doc; // else it is captured, as it was
    }
  }

  /** Fill the zone's inputs with what enters, and wire what it hands to its body to what wants it. */
  handIn(all: readonly DocNode[]): void {
    for (const slot of inputSlots(this.doc, this.kinds, this.zone)) {
      if (slot.port.named || slot.port.schema !== undefined || slot.port.variable) continue;
      const fits = (source: Source) => objection(this.doc, this.kinds, source, this.id, slot.handle) === null;
      const source = this.entrants().find(fits);
      if (!source) continue;
      this.doc = connect(this.doc, this.kinds, source, this.id, slot.handle);
      const port = this.inner().find((own) => sameKind(this.kindOf(own), this.kindOf(source)));
      if (port) this.handOver(source, port);
    }
    for (const node of all)
      for (const slot of inputSlots(this.doc, this.kinds, node)) {
        if (slot.ref !== null || !slot.port.required || slot.port.variable || slot.port.schema) continue;
        const port = this.inner().find((own) => sameKind(this.kindOf(own), slot.kind));
        if (port && objection(this.doc, this.kinds, port, node.id, slot.handle) === null)
          this.doc = connect(this.doc, this.kinds, port, node.id, slot.handle);
      }
  }

  /** Make results of what leaves, and wire its readers to the zone. Gives the wires that could not follow. */
  takeOut(before: Doc, leaving: readonly Reader[]): Reader[] {
    const lost: Reader[] = [];
    const done: Source[] = [];
    for (const { source } of leaving) {
      if (done.some((own) => sameSource(own, source))) continue;
      done.push(source);
      const readers = leaving.filter((reader) => sameSource(reader.source, source));
      const gives = this.result(before, source);
      const linked = relinkAll(this.doc, this.kinds, readers, () => gives);
      this.doc = linked.doc;
      lost.push(...linked.lost);
    }
    return lost;
  }

  /** Wire a source to a result of the zone; gives the outputs by which it leaves. */
  private result(before: Doc, source: Source): Source[] {
    const known = this.outputs();
    this.carry(before, source);
    const slot = resultSlots(this.doc, this.kinds, this.zone).find(
      (own) => own.ref === null && objection(this.doc, this.kinds, source, this.id, own.handle) === null,
    );
    if (!slot) return [];
    this.doc = connect(this.doc, this.kinds, source, this.id, slot.handle);
    // Where outputs have names, it is the one that came with it.
    const named = slot.port.named;
    return this.outputs().filter((own) =>
      named ? !known.some((other) => sameSource(other, own)) : own.name === "",
    );
  }

  /** Where results are what entered under the same name (the state of `repeat`), let something of its kind enter. */
  private carry(before: Doc, source: Source): void {
    const carrying = this.spec.inputs.find(
      (port) => port.named && this.spec.body?.results.some((own) => own.named && own.type === port.type),
    );
    const inner = this.spec.body?.ports.find((port) => port.named && port.type === carrying?.type);
    if (!carrying || !inner) return;
    const kind = this.kinds.of(before, source);
    const taken = Object.values(this.zone.wires[carrying.name] ?? {});
    const entrant = this.entrants().find(
      (own) => sameKind(this.kinds.of(before, own), kind) && !taken.includes(own.node),
    );
    const handle = `${carrying.name}.+`;
    if (!entrant || objection(this.doc, this.kinds, entrant, this.id, handle) !== null) return;
    const had = Object.keys(this.zone.wires[carrying.name] ?? {});
    this.doc = connect(this.doc, this.kinds, entrant, this.id, handle);
    const name = Object.keys(this.zone.wires[carrying.name] ?? {}).find((own) => !had.includes(own));
    if (name !== undefined) this.handOver(entrant, { node: this.id, inner: true, port: inner.name, name });
  }

  private kindOf(source: Source) {
    return this.kinds.of(this.doc, source);
  }

  private inner(): Source[] {
    return sourcesOf(this.doc, this.kinds, this.id, true);
  }

  private outputs(): Source[] {
    return sourcesOf(this.doc, this.kinds, this.id);
  }
}

/** Take a zone off its nodes: they are drawn where it was, and read what it read. */
export function dissolve<D extends Doc>(doc: D, kinds: Kinds, id: Id): { doc: D; ids: Id[]; lost: string[] } {
  const zone = doc.nodes[id];
  if (!zone || zone.results === null) return { doc, ids: [], lost: [] };
  const members = children(doc, id).map((node) => node.id);
  const enters = wiredSlots(doc, kinds, [zone]).filter(({ handle }) => !handle.startsWith("results."));
  const leaves = wiredSlots(doc, kinds, [zone]).filter(({ handle }) => handle.startsWith("results."));
  /** Of the same name, of the same port, then of the same kind. */
  const standIns = (source: Source, among: readonly Reader[]): Source[] => {
    const kind = kinds.of(doc, source);
    const alike = among.filter((own) => sameKind(kinds.of(doc, own.source), kind));
    const named = alike.filter(({ slot }) => source.name !== "" && slot.name === source.name);
    const ofPort = among.filter(({ slot }) => slot.port.name === source.port && slot.name === source.name);
    return [...named, ...ofPort, ...(source.name === "" ? alike : [])].map((own) => own.source);
  };
  const within = readersOf(doc, kinds, id, true);
  const outside = readersOf(doc, kinds, id, false);
  const moved = members.map((name) => [name, { ...doc.nodes[name], zone: zone.zone } as DocNode] as const);
  const bare = { ...doc, nodes: { ...doc.nodes, ...Object.fromEntries(moved) } };
  const handed = relinkAll(
    bare,
    kinds,
    within.filter(({ node }) => node !== id), // a result that hands on what it was handed goes with the zone
    ({ source }) => standIns(source, enters),
  );
  const from = (source: Source) => {
    const given = standIns(source, leaves).filter((own) => own.node !== id);
    return [...given, ...standIns(source, enters)];
  };
  const taken = relinkAll(handed.doc, kinds, outside, ({ source }) => from(source));
  const shown = exposedFollow(taken.doc, doc, kinds, id, from);
  return {
    doc: removeNodes(shown, [id]),
    ids: members,
    lost: [...handed.lost, ...taken.lost].map(wireName),
  };
}
