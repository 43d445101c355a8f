/**
 * The editor's document: a workflow with its nested bodies laid flat, never changed in place.
 *
 * `nodes` holds every node of every depth in the file's order; `zone` names the one it is drawn in. `places` is the
 * file's layout, of nodes and of what only the drawing knows (frames, notes, reroutes) alike. A nested node's place is
 * relative to the upper left corner of its zone; all others are absolute.
 */
import type { Json } from "./json";

export type Id = string;
export type Ref = string;

/** An address cut at its first dot: a node and the rest, a port and a name. */
export function halves(address: string): [head: string, rest: string] {
  const dot = address.indexOf(".");
  return dot < 0 ? [address, ""] : [address.slice(0, dot), address.slice(dot + 1)];
}

/** An address of those of its parts that are not empty. */
export const joined = (...parts: readonly string[]): string => parts.filter(Boolean).join(".");

/** The node that a reference names, or a target, a wire's id: what stands before the first dot. */
export const nodeOf = (ref: Ref): Id => halves(ref)[0];

export type Wired = Ref | readonly Ref[] | Readonly<Record<string, Ref>>;
export type Mode = "run" | "mute" | "bypass";

export interface DocNode {
  readonly id: Id;
  readonly type: string;
  readonly mode: Mode;
  readonly zone: Id | null;
  readonly params: Readonly<Record<string, Json>>;
  readonly wires: Readonly<Record<string, Wired>>;
  /** The results of a zone's body; null where the node has no body. */
  readonly results: Readonly<Record<string, Ref | readonly Ref[]>> | null;
}

export type PlaceKind = "node" | "frame" | "note" | "reroute";

export interface Place {
  readonly at: readonly [number, number];
  readonly size?: readonly [number, number];
  readonly kind?: PlaceKind;
  readonly collapsed?: boolean;
  readonly colour?: string;
  readonly text?: string;
  /** Of a reroute: the ends of the wires that it bends; several where it branches. */
  readonly wire?: string | readonly string[];
  /** What becomes of its seeds once a run was sent off, by their names; of one that is not here: it stays. */
  readonly after?: Readonly<Record<string, Seeding>>;
}

/** The wires that a reroute bends. */
export const wiresOf = ({ wire }: Pick<Place, "wire">): readonly string[] =>
  wire === undefined ? [] : typeof wire === "string" ? [wire] : wire;

/** A place of a reroute with wires in place of those it bent; null where it bends none any more. */
export function bending(spot: Place, wires: readonly string[]): Place | null {
  const [first, ...more] = [...new Set(wires)];
  return first === undefined ? null : { ...spot, wire: more.length === 0 ? first : [first, ...more] };
}

/** Reroutes follow their wires: to another end, or, undefined, no more. Those that bend none go. */
export function bendsFollow<D extends Doc>(doc: D, follow: (wire: string) => string | undefined): D {
  const changed = Object.entries(doc.places).filter(([, spot]) =>
    wiresOf(spot).some((wire) => follow(wire) !== wire),
  );
  if (changed.length === 0) return doc;
  const places: Record<Id, Place> = { ...doc.places };
  for (const [id, spot] of changed) {
    const next = bending(
      spot,
      wiresOf(spot).flatMap((wire) => follow(wire) ?? []),
    );
    if (next) places[id] = next;
    else Reflect.deleteProperty(places, id);
  }
  return { ...doc, places };
}

/** A seed counts on, or is drawn anew. */
export type Seeding = "next" | "random";

export interface Doc {
  readonly title: string;
  readonly about: string;
  readonly exposed: {
    readonly params: Readonly<Record<string, Ref>>;
    readonly outputs: Readonly<Record<string, Ref>>;
  };
  readonly definitions: Readonly<Record<string, Json>>;
  readonly nodes: Readonly<Record<Id, DocNode>>;
  readonly places: Readonly<Record<Id, Place>>;
  /** The definition whose inside this is (document/inside.ts); absent where it is a whole workflow. */
  readonly within?: string;
}

/**
 * A change to a document. It can give back only what it made of the document that it was handed: no other one, such as
 * the one that was shown when a button was drawn, is a D.
 */
export type Edit = <D extends Doc>(doc: D) => D;

export const EMPTY: Doc = {
  title: "",
  about: "",
  exposed: { params: {}, outputs: {} },
  definitions: {},
  nodes: {},
  places: {},
};

/** The zones around a node, innermost first; null, the top, ends them. */
export function enclosing(doc: Doc, zone: Id | null): (Id | null)[] {
  const scopes: (Id | null)[] = [];
  for (let at: Id | null = zone; at !== null; at = doc.nodes[at]?.zone ?? null) {
    if (scopes.includes(at)) break;
    scopes.push(at);
  }
  scopes.push(null);
  return scopes;
}

/** The node at the top that a node is drawn in, or itself. */
export const outermost = (doc: Doc, id: Id): Id => enclosing(doc, doc.nodes[id]?.zone ?? null).at(-2) ?? id;

/** Those of a selection that lie in no other node of it. */
export const rootsOf = (doc: Doc, ids: readonly Id[]): Id[] =>
  ids.filter(
    (id) => !enclosing(doc, doc.nodes[id]?.zone ?? null).some((zone) => zone !== null && ids.includes(zone)),
  );

/** Whether `id` lies in `zone`, at any depth. */
export function isInside(doc: Doc, id: Id, zone: Id): boolean {
  return enclosing(doc, doc.nodes[id]?.zone ?? null).includes(zone);
}

const holdings = new WeakMap<Doc["nodes"], ReadonlyMap<Id, readonly Id[]>>();
const NONE: readonly Id[] = [];

/** What lies in a zone, at any depth, in the file's order; worked out once for each change of the nodes, for all zones. */
export function heldIn(doc: Doc, zone: Id): readonly Id[] {
  let known = holdings.get(doc.nodes);
  if (!known) {
    const found = new Map<Id, Id[]>();
    for (const { id, zone: own } of Object.values(doc.nodes))
      for (const around of enclosing(doc, own)) {
        if (around === null) continue;
        const held = found.get(around);
        if (held) held.push(id);
        else found.set(around, [id]);
      }
    known = found;
    holdings.set(doc.nodes, known);
  }
  return known.get(zone) ?? NONE;
}

/** The nodes of a zone and of the zones in it; of the whole document where `zone` is null. */
export function inside(doc: Doc, zone: Id | null): DocNode[] {
  if (zone === null) return Object.values(doc.nodes);
  return heldIn(doc, zone).flatMap((id) => doc.nodes[id] ?? []);
}

export function children(doc: Doc, zone: Id | null): DocNode[] {
  return Object.values(doc.nodes).filter((node) => node.zone === zone);
}

export function depth(doc: Doc, id: Id): number {
  return enclosing(doc, doc.nodes[id]?.zone ?? null).length - 1;
}

/** All nodes, each zone before its children, siblings in the file's order. */
export function inOrder(doc: Doc): DocNode[] {
  const byZone = new Map<Id | null, DocNode[]>();
  for (const node of Object.values(doc.nodes)) {
    const zone = node.zone !== null && node.zone in doc.nodes ? node.zone : null;
    const siblings = byZone.get(zone);
    if (siblings) siblings.push(node);
    else byZone.set(zone, [node]);
  }
  const result: DocNode[] = [];
  const visit = (zone: Id | null) => {
    for (const node of byZone.get(zone) ?? []) {
      result.push(node);
      visit(node.id);
    }
  };
  visit(null);
  return result;
}

export const isList = (wired: Wired | undefined): wired is readonly Ref[] => Array.isArray(wired);

export const isNamed = (wired: Wired | undefined): wired is Readonly<Record<string, Ref>> =>
  typeof wired === "object" && !Array.isArray(wired);

export function refsOf(wired: Wired): readonly Ref[] {
  if (typeof wired === "string") return [wired];
  return isList(wired) ? wired : Object.values(wired);
}

/** What becomes of a reference: another, several (those of a list find room in a list only), or undefined for none. */
export type Change = (ref: Ref) => Wired | undefined;

/** `wired` with each reference replaced; undefined where nothing is left. */
export function mapRefs(wired: Wired, change: Change): Wired | undefined {
  if (typeof wired === "string") return change(wired);
  if (isList(wired)) {
    const kept = wired.flatMap((ref) => {
      const next = change(ref);
      return next === undefined ? [] : refsOf(next);
    });
    return kept.length > 0 ? kept : undefined;
  }
  const kept = Object.entries(wired).flatMap(([name, ref]): [string, Ref][] => {
    const next = change(ref);
    return typeof next === "string" ? [[name, next]] : [];
  });
  return kept.length > 0 ? Object.fromEntries(kept) : undefined;
}

export const mapValues = <T, U>(
  record: Readonly<Record<string, T>>,
  change: (value: T, key: string) => U,
): Record<string, U> =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));

/** A node with each of its references replaced; the same object where nothing changes. */
export function rewired(node: DocNode, change: Change): DocNode {
  const mapped = <T extends Wired>(record: Readonly<Record<string, T>>): Record<string, T> => {
    const entries = Object.entries(record).map(([port, wired]) => [port, mapRefs(wired, change)] as const);
    return Object.fromEntries(entries.filter(([, wired]) => wired !== undefined)) as Record<string, T>;
  };
  const reads = [...Object.values(node.wires), ...Object.values(node.results ?? {})];
  const changes = reads.some((wired) => refsOf(wired).some((ref) => change(ref) !== ref));
  if (!changes) return node;
  return { ...node, wires: mapped(node.wires), results: node.results && mapped(node.results) };
}

/** A free identifier close to `wanted`. */
export function freshId(taken: (id: string) => boolean, wanted: string): string {
  const clean =
    wanted
      .toLowerCase()
      .replace(/[^a-z0-9_]+/g, "_")
      .replace(/^[^a-z]+/, "") || "node";
  if (!taken(clean)) return clean;
  const stem = clean.replace(/_?\d+$/, "") || clean;
  for (let i = 2; ; i++) if (!taken(`${stem}${i}`)) return `${stem}${i}`;
}

export const isTaken = (doc: Doc) => (id: string) => id in doc.nodes || id in doc.places;
