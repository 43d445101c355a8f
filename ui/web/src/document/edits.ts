/** Changes to a document's nodes: each takes a document and gives the next one. */
import type { NodeSpec } from "../server/types";
import {
  bendsFollow,
  type Doc,
  type DocNode,
  enclosing,
  freshId,
  type Id,
  inside,
  isTaken,
  mapValues,
  type Mode,
  nodeOf,
  type Place,
  type Ref,
  rewired,
} from "./document";
import type { LosslessNumber } from "lossless-json";
import { isRim, isRimNode } from "./inside";
import { readNumber, type Json } from "./json";
import { resolve, type SpecOf } from "./references";

/** A record without a key; the very same where it has none such. */
export const without = <T>(record: Readonly<Record<string, T>>, key: string): Readonly<Record<string, T>> =>
  Object.hasOwn(record, key)
    ? Object.fromEntries(Object.entries(record).filter(([name]) => name !== key))
    : record;

export function changeNode<D extends Doc>(doc: D, id: Id, change: Partial<DocNode>): D {
  const node = doc.nodes[id];
  return node ? { ...doc, nodes: { ...doc.nodes, [id]: { ...node, ...change } } } : doc;
}

export interface Wanted {
  zone: Id | null;
  at: readonly [number, number];
  params?: Readonly<Record<string, Json>>;
}

/** Add a node; one that draws random numbers gets a seed of its own. */
export function addNode<D extends Doc>(doc: D, spec: NodeSpec, wanted: Wanted): { doc: D; id: Id } {
  const id = freshId(isTaken(doc), spec.type);
  const begun: Record<string, Json> = {};
  for (const port of spec.inputs) if (port.begins !== undefined) begun[port.name] = port.begins as Json;
  const draws = spec.draws && spec.inputs.some((port) => port.name === "seed");
  const node: DocNode = {
    id,
    type: spec.type,
    mode: "run",
    zone: wanted.zone,
    params: { ...begun, ...(draws ? { seed: randomSeed() } : {}), ...wanted.params },
    wires: {},
    results: spec.body ? {} : null,
  };
  const placed = place({ ...doc, nodes: { ...doc.nodes, [id]: node } }, { [id]: { at: wanted.at } });
  return { doc: placed, id };
}

const SEEDS = 2n ** 64n;

/** The seed after one that is written in these digits; after the largest comes 0. */
export const nextSeed = (digits: string): number | LosslessNumber =>
  readNumber(String((BigInt(digits || "0") + 1n) % SEEDS));

export const randomSeed = (): number => crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;

/** Take nodes out, with what is drawn inside of them and every wire that reads them. */
export function removeNodes<D extends Doc>(doc: D, chosen: readonly Id[]): D {
  const ids = chosen.filter((id) => !isRim(doc, id));
  const gone = new Set<string>(ids);
  for (const id of ids) for (const node of id in doc.nodes ? inside(doc, id) : []) gone.add(node.id);
  const stays = (ref: Ref) => !gone.has(nodeOf(ref));
  const keep = (ref: Ref) => (stays(ref) ? ref : undefined);
  const nodes = Object.entries(doc.nodes)
    .filter(([id]) => !gone.has(id))
    .map(([id, node]) => [id, rewired(node, keep)] as const);
  const bent = bendsFollow(doc, (wire) => (stays(wire) ? wire : undefined));
  const places = Object.entries(bent.places).filter(([id]) => !gone.has(id));
  const kept = (map: Readonly<Record<string, Ref>>) =>
    Object.fromEntries(Object.entries(map).filter(([, ref]) => stays(ref)));
  return {
    ...doc,
    exposed: { params: kept(doc.exposed.params), outputs: kept(doc.exposed.outputs) },
    nodes: Object.fromEntries(nodes),
    places: Object.fromEntries(places),
  };
}

/** Type a value in; undefined goes back to the default. */
export function setParam<D extends Doc>(doc: D, id: Id, name: string, value: Json | undefined): D {
  const node = doc.nodes[id];
  if (!node) return doc;
  const params = value === undefined ? without(node.params, name) : { ...node.params, [name]: value };
  return changeNode(doc, id, { params, wires: value === undefined ? node.wires : without(node.wires, name) });
}

export function setMode<D extends Doc>(doc: D, ids: readonly Id[], mode: Mode): D {
  return ids.reduce((next, id) => (isRim(doc, id) ? next : changeNode(next, id, { mode })), doc);
}

/** Give a node another id, in every place that names it. */
export function rename<D extends Doc>(doc: D, id: Id, wanted: string): D {
  if (wanted === id || !doc.nodes[id] || isRim(doc, id)) return doc;
  const name = freshId(isTaken(doc), wanted);
  const follow = (ref: Ref): Ref => (nodeOf(ref) === id ? name + ref.slice(id.length) : ref);
  const nodes = Object.entries(doc.nodes).map(([key, node]) => {
    const next = rewired(node, follow);
    return [
      key === id ? name : key,
      { ...next, id: key === id ? name : key, zone: next.zone === id ? name : next.zone },
    ];
  });
  const places = Object.entries(bendsFollow(doc, follow).places).map(([key, spot]) => [
    key === id ? name : key,
    spot,
  ]);
  return {
    ...doc,
    exposed: {
      params: mapValues(doc.exposed.params, follow),
      outputs: mapValues(doc.exposed.outputs, follow),
    },
    nodes: Object.fromEntries(nodes) as Doc["nodes"],
    places: Object.fromEntries(places) as Doc["places"],
  };
}

/** Draw nodes in another zone. A wire that cannot follow is cut; `cut` tells which, as sentences. */
export function moveToZone<D extends Doc>(
  doc: D,
  specs: SpecOf,
  ids: readonly Id[],
  zone: Id | null,
): { doc: D; cut: string[] } {
  const nodes = { ...doc.nodes };
  for (const id of ids) {
    const node = nodes[id];
    if (node && !isRimNode(node)) nodes[id] = { ...node, zone };
  }
  const moved = { ...doc, nodes };
  const cut: string[] = [];
  const mended = Object.entries(nodes).map(([id, node]) => {
    const keep = (scope: Id | null, before: Id | null) => (ref: Ref) => {
      const was = resolve(doc, specs, ref, before);
      const now = resolve(moved, specs, ref, scope);
      if (!was || (now && now.inner === was.inner)) return ref;
      cut.push(`${ref} → ${id}`);
      return undefined;
    };
    const wires = rewired({ ...node, results: null }, keep(node.zone, doc.nodes[id]?.zone ?? null)).wires;
    const results =
      node.results && rewired({ ...node, wires: node.results, results: null }, keep(id, id)).wires;
    const same = wires === node.wires && results === node.results;
    return [id, same ? node : { ...node, wires, results }];
  });
  return { doc: { ...moved, nodes: Object.fromEntries(mended) as Doc["nodes"] }, cut: [...new Set(cut)] };
}

/** Whether nodes may be drawn in a zone: not in themselves. */
export function mayHold(doc: Doc, zone: Id | null, ids: readonly Id[]): boolean {
  if (zone !== null && ids.some((id) => isRim(doc, id))) return false; // the rim is around all
  return !enclosing(doc, zone).some((around) => around !== null && ids.includes(around));
}

const whole = (pair: readonly [number, number] | undefined) => pair?.map(Math.round);

/** Put things somewhere; the file holds whole pixels. An undefined field takes it away. */
export function place<D extends Doc>(doc: D, places: Readonly<Record<Id, Partial<Place>>>): D {
  const next = { ...doc.places };
  for (const [id, change] of Object.entries(places)) {
    const merged: Partial<Place> = { at: [0, 0], ...next[id], ...change };
    const rounded = { ...merged, at: whole(merged.at), size: whole(merged.size) };
    const said = Object.entries(rounded).filter(([, value]) => value !== undefined);
    next[id] = Object.fromEntries(said) as unknown as Place;
  }
  return { ...doc, places: next };
}
