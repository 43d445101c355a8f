/**
 * A sweep over a parameter: a `for_each` zone round the node that has it and all that depends on it, one turn for each
 * value. Where pictures come out, they go into a grid with a label for each value; where numbers do, into a table with a row for
 * each. Both read the values from the zone. All of it is drawn, and may be edited.
 */
import { addNode, changeNode, place, rename, without } from "./edits";
import {
  children,
  freshId,
  inside,
  isTaken,
  nodeOf,
  outermost,
  refsOf,
  type Doc,
  type DocNode,
  type Id,
  type Ref,
} from "./document";
import { digitsOf, parse, readNumber, type Json } from "./json";
import { refTo, resolve, type SpecOf } from "./references";
import { outputSlots } from "./slots";
import type { Kinds } from "./types";

/** The nodes that a sweep is drawn with. */
const ZONE = "for_each";
const GRID = "labelled_grid";
const SHOW = "preview_image";
const TABLE = "table";
const SAVE = "save_table";
const PICTURES = "image";
const NUMBERS = new Set(["scalar", "loss", "float", "int"]);
const GAP = 80;
/** From one node that is drawn beside the zone to the next. */
const APART = 300;
/** Room of a zone's rail and rim beside what is drawn inside. */
const RIM: readonly [number, number] = [250, 60];
export const MOST_VALUES = 100;

export interface Swept<D extends Doc> {
  readonly doc: D;
  readonly zone: Id;
  /** Whether pictures come out of it. */
  readonly grid: boolean;
  /** Whether numbers do. */
  readonly table: boolean;
}

/** A document with a sweep over a parameter drawn into it; null where the server has no zone for it. */
export function sweep<D extends Doc>(
  doc: D,
  kinds: Kinds,
  id: Id,
  param: string,
  values: readonly Json[],
): Swept<D> | null {
  const specs = kinds.specs(doc);
  const zoneSpec = specs(ZONE);
  if (!zoneSpec || !doc.nodes[id]) return null;
  const within = dependents(doc, specs, outermost(doc, id));
  const pictures = specs(GRID) && specs(SHOW) ? picturesOf(doc, kinds, within) : null;
  const numbers = specs(TABLE) && specs(SAVE) ? numbersOf(doc, kinds, within) : [];
  const name = freshId(() => false, param);
  const corner = cornerOf(doc, within);
  const added = addNode(doc, zoneSpec, { zone: null, at: corner, params: { over: { [name]: values } } });
  const zone = freshId(isTaken(added.doc), "sweep");
  let next = rename(added.doc, added.id, zone);

  const places: Record<Id, { at: readonly [number, number] }> = {};
  for (const member of within) {
    next = changeNode(next, member, { zone });
    const at = doc.places[member]?.at;
    if (at) places[member] = { at: [at[0] - corner[0] + RIM[0], at[1] - corner[1] + RIM[1]] };
  }
  next = place(next, places);
  const node = next.nodes[id];
  if (!node) return null;
  next = changeNode(next, id, {
    params: without(node.params, param),
    wires: { ...node.wires, [param]: `${zone}.item.${name}` },
  });
  const outputs = Object.entries(next.exposed.outputs).filter(([, ref]) => !within.has(nodeOf(ref)));
  next = { ...next, exposed: { ...next.exposed, outputs: Object.fromEntries(outputs) } };

  const results: Record<string, Ref> = { [name]: `${zone}.item.${name}` };
  const give = (wanted: string, ref: Ref): Ref => {
    const own = freshId((taken) => taken in results, wanted);
    results[own] = ref;
    return own;
  };
  const images = pictures === null ? null : give("image", pictures);
  const columns = numbers.map((ref) => give(ref.replaceAll(".", "_"), ref));
  if (images === null && columns.length === 0) return { doc: next, zone, grid: false, table: false };
  next = changeNode(next, zone, { results });

  const right = rightOf(doc, within, corner, [corner[0] + RIM[0] + 2 * GAP, corner[1]]);
  const draw = (type: string, at: readonly [number, number], wires: DocNode["wires"], params = {}): Id => {
    const spec = specs(type);
    if (!spec) return "";
    const drawn = addNode(next, spec, { zone: null, at, params });
    next = changeNode(drawn.doc, drawn.id, { wires });
    return drawn.id;
  };
  if (images !== null) {
    const wires = { images: `${zone}.${images}`, columns: `${zone}.${name}` };
    const grid = draw(GRID, right, wires, { column_name: param });
    draw(SHOW, [right[0] + APART, right[1]], { [specs(SHOW)?.inputs[0]?.name ?? "images"]: grid });
  }
  if (columns.length > 0) {
    const at = [right[0], right[1] + (images === null ? 0 : APART)] as const;
    // A cell is a number or a text: values that are lists are no column.
    const cells = values.some((value) => Array.isArray(value)) ? columns : [name, ...columns];
    const named = Object.fromEntries(cells.map((own) => [own, `${zone}.${own}`]));
    const table = draw(TABLE, at, { columns: named });
    draw(SAVE, [at[0] + APART, at[1]], { table }, { name: `sweep-${param.replaceAll("_", "-")}` });
  }
  return { doc: next, zone, grid: images !== null, table: columns.length > 0 };
}

/** A node and all at the top that reads it, at any remove. */
function dependents(doc: Doc, specs: SpecOf, id: Id): Set<Id> {
  const readers = new Map<Id, Set<Id>>();
  const read = (ref: Ref, scope: Id | null, by: Id) => {
    const source = resolve(doc, specs, ref, scope);
    if (!source || source.inner) return;
    const from = outermost(doc, source.node);
    if (from !== by) readers.set(from, (readers.get(from) ?? new Set()).add(by));
  };
  for (const top of children(doc, null)) {
    for (const node of [top, ...inside(doc, top.id)]) {
      for (const wired of Object.values(node.wires))
        for (const ref of refsOf(wired)) read(ref, node.zone, top.id);
      for (const wired of Object.values(node.results ?? {}))
        for (const ref of refsOf(wired)) read(ref, node.id, top.id);
    }
  }
  const found = new Set<Id>([id]);
  for (const each of found) for (const reader of readers.get(each) ?? []) found.add(reader);
  return found;
}

/** The output of pictures among these nodes that no other of their pictures is made of; null where there is none. */
function picturesOf(doc: Doc, kinds: Kinds, within: ReadonlySet<Id>): Ref | null {
  const giving = [...within].filter((id) => {
    const node = doc.nodes[id];
    const outputs = node && node.mode !== "mute" ? outputSlots(doc, kinds, node, false) : [];
    return outputs.length === 1 && outputs[0]?.kind.name === PICTURES && outputs[0].kind.many === 0;
  });
  const last = giving.filter(
    (id) =>
      ![...dependents(doc, kinds.specs(doc), id)].some((other) => other !== id && giving.includes(other)),
  );
  return last[0] ?? null;
}

/** All numbers, one a turn, that come out of these nodes. */
function numbersOf(doc: Doc, kinds: Kinds, within: ReadonlySet<Id>): Ref[] {
  return [...within].flatMap((id) => {
    const node = doc.nodes[id];
    if (!node || node.mode === "mute") return [];
    const spec = kinds.specs(doc)(node.type);
    return outputSlots(doc, kinds, node, false)
      .filter(({ kind }) => kind.many === 0 && NUMBERS.has(kind.name))
      .map(({ port, name }) => refTo(spec, { node: id, inner: false, port: port.name, name }));
  });
}

function cornerOf(doc: Doc, ids: ReadonlySet<Id>): readonly [number, number] {
  const all = [...ids].flatMap((id) => (doc.places[id] ? [doc.places[id].at] : []));
  return all.length === 0 ? [0, 0] : [Math.min(...all.map(([x]) => x)), Math.min(...all.map(([, y]) => y))];
}

/** A point right of what is drawn of some nodes, counted from another corner. */
function rightOf(
  doc: Doc,
  ids: ReadonlySet<Id>,
  corner: readonly [number, number],
  from: readonly [number, number],
): readonly [number, number] {
  const right = Math.max(0, ...[...ids].map((id) => widthTo(doc, id) - corner[0]));
  return [from[0] + right + GAP, from[1]];
}

const widthTo = (doc: Doc, id: Id): number => {
  const spot = doc.places[id];
  return spot ? spot.at[0] + (spot.size?.[0] ?? 224) : 0;
};

/** So many numbers from one to another, both among them; whole ones where the parameter takes no others, each once. */
export function range(from: number, to: number, count: number, integer: boolean): Json[] {
  const most = Math.min(Math.max(Math.round(count), 1), MOST_VALUES);
  const step = most === 1 ? 0 : (to - from) / (most - 1);
  const all = Array.from({ length: most }, (_, i) => Number((from + i * step).toPrecision(6)));
  return [...new Set(integer ? all.map(Math.round) : all)];
}

/** The values of a line that a person typed: numbers or texts with commas between, or a JSON list. Throws SyntaxError. */
export function list(text: string, numbers: boolean): Json[] {
  const line = text.trim();
  if (line.startsWith("[")) {
    const found = parse(line);
    if (Array.isArray(found)) return found as Json[];
  }
  const parts = line.split(",").flatMap((part) => (part.trim() === "" ? [] : [part.trim()]));
  return parts.map((part) => {
    if (!numbers) return part;
    if (!/^[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?$/i.test(part)) throw new SyntaxError(`"${part}" is no number`);
    return /^-?\d+$/.test(part) ? readNumber(part) : Number(part);
  });
}

/** A number as a field begins with it. */
export const begin = (value: Json | undefined): string => digitsOf(value) || "0";
