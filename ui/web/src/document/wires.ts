/** Changes to a document's wires: drawing one, taking one off, renaming what the user named. */
import {
  bendsFollow,
  freshId,
  isList,
  isNamed,
  joined,
  mapValues,
  rewired,
  type Doc,
  type DocNode,
  type Id,
  type Ref,
  type Wired,
} from "./document";
import type { Json } from "./json";
import { changeNode, without } from "./edits";
import { refTo, resolve, type Source, type SpecOf } from "./references";
import { nameOfSource } from "./naming";
import { opened } from "./ports";
import { inputSlots, slotAt } from "./slots";
import type { Kinds } from "./types";

const RESULTS = "results.";

/** Wire a source into a slot, in place of what was wired or typed there; the last port of a rim makes a new one. */
export function connect<D extends Doc>(before: D, kinds: Kinds, from: Source, target: Id, wanted: string): D {
  const {
    doc,
    port: out,
    handle,
  } = opened(
    before,
    from,
    { node: target, handle: wanted },
    {
      source: nameOfSource(before, kinds, from),
      target: slotAt(before, kinds, target, wanted)?.port.name ?? "",
    },
  );
  const source = { ...from, port: out };
  const node = doc.nodes[target];
  const slot = slotAt(doc, kinds, target, handle) ?? (node && newSlot(doc, kinds, node, handle));
  if (!node || !slot) return doc;
  const ref = refTo(kinds.specs(doc)(doc.nodes[source.node]?.type ?? ""), source);
  const many = slot.port.list > 0 && !slot.port.either && !slot.port.named;
  const whole = many && (kinds.of(doc, source)?.many ?? 0) >= slot.port.list;
  const isItem = /\.(\d+|\+)$/.test(handle);
  // A whole list takes the place of the wires of a list, unless its items may go in between them.
  const listed = isItem ? !whole || !slot.port.variable : many && !whole;
  if (handle.startsWith(RESULTS)) {
    const named = slot.adds && slot.port.named;
    const key = named ? newResult(node, slot.port.name, source) : resultKey(handle, slot.adds);
    const known = node.results?.[key];
    const value = wiredInto(known, handle, ref, listed && !slot.port.named);
    return changeNode(doc, target, { results: { ...node.results, [key]: value } });
  }
  const port = slot.port.name;
  const known = node.wires[port];
  let value: Wired;
  if (slot.port.named) {
    const names = isNamed(known) ? known : {};
    const typed = (node.params[port] ?? {}) as object;
    const isTaken = (name: string) => name in names || name in typed;
    const name = slot.adds || !slot.name ? nameFor(source, isTaken) : slot.name;
    value = { ...names, [name]: ref };
  } else {
    value = wiredInto(known, handle, ref, listed);
  }
  return changeNode(doc, target, {
    wires: { ...node.wires, [port]: value },
    params: typedBeside(node.params, port, value),
  });
}

/** The slot of a result that is about to be made. */
const newSlot = (doc: Doc, kinds: Kinds, node: DocNode, handle: string) =>
  inputSlots(doc, kinds, { ...node, wires: { ...node.wires, [handle]: "" } }).find(
    (own) => own.handle === handle,
  );

/** What stays typed in: nothing at the port, but for the names of one with names that are not wired. */
function typedBeside(params: DocNode["params"], port: string, wired: Wired): DocNode["params"] {
  const typed = params[port];
  if (!isNamed(wired) || typeof typed !== "object" || typed === null) return without(params, port);
  const kept = Object.entries(typed).filter(([name]) => !(name in wired));
  return kept.length > 0 ? { ...params, [port]: Object.fromEntries(kept) } : without(params, port);
}

function wiredInto(
  known: Wired | undefined,
  handle: string,
  ref: Ref,
  listed: boolean,
): Ref | readonly Ref[] {
  if (!listed) return ref;
  const items = typeof known === "string" ? [known] : isList(known) ? [...known] : [];
  const index = Number(handle.slice(handle.lastIndexOf(".") + 1));
  if (Number.isInteger(index) && index < items.length) items[index] = ref;
  else items.push(ref);
  return items;
}

/** The key in a body's results that a slot's handle means: `results.objectives.0` is `objectives`. */
function resultKey(handle: string, adds: boolean): string {
  const key = handle.slice(RESULTS.length);
  return adds || /\.\d+$/.test(key) ? key.replace(/\.(\d+|\+)$/, "") : key;
}

function newResult(node: DocNode, port: string, source: Source): string {
  const prefix = port === "" ? "" : `${port}.`;
  return prefix + nameFor(source, (name) => prefix + name in (node.results ?? {}));
}

/** A name for a wire that the user may rename: that of its source, without a number at its end. */
function nameFor(source: Source, taken: (name: string) => boolean): string {
  return freshId(taken, source.name || source.node.replace(/_?\d+$/, "") || "value");
}

/** Take the wire out of a slot. */
export function disconnect<D extends Doc>(whole: D, target: Id, handle: string): D {
  const node = whole.nodes[target];
  if (!node) return whole;
  const [, list = "", item] = /^(.*)\.(\d+)$/.exec(`${target}.${handle}`) ?? [];
  const doc = bendsFollow(whole, (wire) => {
    if (wire === `${target}.${handle}`) return undefined;
    // What stands behind an item that is taken out of a list moves up.
    const [, of, later] = /^(.*)\.(\d+)$/.exec(wire) ?? [];
    const movesUp = item !== undefined && of === list && Number(later) > Number(item);
    return movesUp ? `${list}.${Number(later) - 1}` : wire;
  });
  if (handle.startsWith(RESULTS)) {
    const results = cut(node.results ?? {}, handle.slice(RESULTS.length));
    return changeNode(doc, target, { results: results as DocNode["results"] });
  }
  return changeNode(doc, target, { wires: cut(node.wires, handle) });
}

function cut(record: Readonly<Record<string, Wired>>, address: string): Record<string, Wired> {
  if (address in record) return without(record, address);
  const dot = address.lastIndexOf(".");
  const port = address.slice(0, dot);
  const part = address.slice(dot + 1);
  const wired = record[port];
  if (wired === undefined || typeof wired === "string") return { ...record };
  const kept = isList(wired) ? wired.filter((_, i) => String(i) !== part) : without(wired, part);
  return Object.keys(kept).length > 0 ? { ...record, [port]: kept } : without(record, port);
}

/** Rename what the user called a wire of a port with names, wherever it is read under that name. */
export function renameWire<D extends Doc>(doc: D, specs: SpecOf, id: Id, handle: string, wanted: string): D {
  const node = doc.nodes[id];
  const spec = node && specs(node.type);
  if (!spec) return doc;
  const isResult = handle.startsWith(RESULTS);
  const address = isResult ? handle.slice(RESULTS.length) : handle;
  const dot = address.lastIndexOf(".");
  const old = address.slice(dot + 1);
  const port = dot < 0 ? "" : address.slice(0, dot);
  const ports = isResult ? (spec.body?.results ?? []) : spec.inputs;
  const variable = ports.find((candidate) => candidate.name === port)?.type;
  if (wanted === old || !variable) return doc;
  const siblings = isResult
    ? (node.results ?? {})
    : ((node.wires[port] ?? node.params[port] ?? {}) as object);
  const name = freshId((key) => (isResult && port ? `${port}.${key}` : key) in siblings, wanted);

  // The same name means the same wire at every port of the same variable: models in, models inside, models out.
  const shares = new Set(
    spec.inputs.filter((input) => input.named && input.type === variable).map((input) => input.name),
  );
  const renamed = <T>(record: Readonly<Record<string, T>>, prefix = ""): Record<string, T> =>
    Object.fromEntries(
      Object.entries(record).map(([key, value]) => [key === prefix + old ? prefix + name : key, value]),
    );
  const ownResults = (spec.body?.results ?? []).filter((own) => own.named && own.type === variable);
  const results = ownResults.reduce<Readonly<Record<string, Ref | readonly Ref[]>>>(
    (all, own) => renamed(all, own.name ? `${own.name}.` : ""),
    node.results ?? {},
  );
  const next = changeNode(doc, id, {
    wires: mapValues(node.wires, (wired, key) =>
      shares.has(key) && isNamed(wired) ? renamed(wired) : wired,
    ),
    params: mapValues(node.params, (value, key) =>
      shares.has(key) ? renamed(value as Readonly<Record<string, Json>>) : value,
    ),
    results: node.results && results,
  });
  const follow = (ref: Ref, scopes: readonly (Id | null)[]): Ref => {
    const read = scopes.map((scope) => resolve(doc, specs, ref, scope));
    const source = read.find((found) => found?.node === id);
    if (source?.name !== old) return ref;
    const owner = (source.inner ? (spec.body?.ports ?? []) : spec.outputs).find(
      (own) => own.name === source.port,
    );
    return owner?.type === variable ? joined(id, source.port, name) : ref;
  };
  const nodes = mapValues(next.nodes, (reader) =>
    rewired(reader, (ref) => follow(ref, [reader.zone, reader.id])),
  );
  const outputs = mapValues(next.exposed.outputs, (ref) => follow(ref, [null]));
  const handles = new Set(
    [...shares, ...ownResults.map((own) => joined("results", own.name))].map((own) => joined(id, own, old)),
  );
  return bendsFollow({ ...next, nodes, exposed: { ...next.exposed, outputs } }, (wire) =>
    handles.has(wire) ? wire.slice(0, -old.length) + name : wire,
  );
}
