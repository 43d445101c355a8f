/** What is drawn of each node: its slots with their types, worked out once for each change of the document. */
import type { NodeSpec } from "../server/types";
import { inOrder, type DocNode, type Doc, type Id, type Mode } from "./document";
import { entriesOf, type Entry } from "./entries";
import { inputSlots, outputSlots, resultSlots, type InSlot, type OutSlot } from "./slots";
import type { Kinds } from "./types";

export interface Card {
  readonly id: Id;
  readonly type: string;
  readonly spec: NodeSpec | null;
  readonly mode: Mode;
  readonly zone: Id | null;
  readonly isZone: boolean;
  readonly collapsed: boolean;
  readonly colour: string;
  /** The width and the least height that a person gave it; 0 where nobody did. */
  readonly width: number;
  readonly height: number;
  /** How many nodes are drawn inside. */
  readonly count: number;
  readonly inputs: readonly InSlot[];
  readonly outputs: readonly OutSlot[];
  readonly inner: readonly OutSlot[];
  readonly results: readonly InSlot[];
  /** What the body reads from outside the zone, once each. */
  readonly entries: readonly Entry[];
}

export type Cards = Readonly<Record<Id, Card>>;

/** A document that was drawn, and its cards. */
export interface Drawn {
  readonly doc: Doc;
  readonly cards: Cards;
}

/** The cards after an edit, as `cardsOf` finds them; where it changed values alone, only those of their nodes are made. */
export function cardsAfter(doc: Doc, kinds: Kinds, before: Drawn, asPorts: ReadonlySet<string>): Cards {
  const nodes = valuesChanged(doc, kinds, before.doc);
  if (!nodes) return cardsOf(doc, kinds, before.cards, asPorts);
  const made = nodes.flatMap((node): [Id, Card][] => {
    const known = before.cards[node.id];
    if (!known) return [];
    const card = { ...cardOf(doc, kinds, node, known.count, asPorts), entries: known.entries };
    return same(known, card) ? [] : [[node.id, card]];
  });
  return made.length === 0 ? before.cards : { ...before.cards, ...Object.fromEntries(made) };
}

/** The nodes that differ, where they do in values that no type and no other node depends on; null where more changed. */
function valuesChanged(doc: Doc, kinds: Kinds, was: Doc): DocNode[] | null {
  if (doc.places !== was.places || doc.definitions !== was.definitions || doc.within !== was.within)
    return null;
  const [nodes, before] = [Object.values(doc.nodes), Object.values(was.nodes)];
  if (nodes.length !== before.length) return null;
  const specs = kinds.specs(doc);
  const changed: DocNode[] = [];
  for (const [i, node] of nodes.entries()) {
    const old = before[i];
    if (node === old) continue;
    // The names of named ports, and with them types, may come from values.
    const plain = specs(node.type)?.inputs.every((port) => !port.named) ?? false;
    if (!plain || PARTS.some((part) => node[part] !== old?.[part])) return null;
    changed.push(node);
  }
  return changed;
}

/** All of a node but its values. */
const PARTS = ["id", "type", "mode", "zone", "wires", "results"] as const;

/** The cards of a document; a card that says the same as before stays the same object. */
export function cardsOf(
  doc: Doc,
  kinds: Kinds,
  before: Cards,
  asPorts: ReadonlySet<string> = new Set(),
): Cards {
  const counts = new Map<Id, number>();
  for (const node of Object.values(doc.nodes)) {
    if (node.zone !== null) counts.set(node.zone, (counts.get(node.zone) ?? 0) + 1);
  }
  const made = inOrder(doc).map((node) => cardOf(doc, kinds, node, counts.get(node.id) ?? 0, asPorts));
  const readers = made.flatMap(({ id, zone, inputs, results }) => [
    { scope: zone, slots: inputs },
    { scope: id, slots: results },
  ]);
  const entries = entriesOf(doc, readers);
  const cards: Record<Id, Card> = {};
  for (const each of made) {
    const own = entries.get(each.id);
    const card = own ? { ...each, entries: own } : each;
    const known = before[card.id];
    cards[card.id] = known && same(known, card) ? known : card;
  }
  return cards;
}

function cardOf(doc: Doc, kinds: Kinds, node: DocNode, count: number, asPorts: ReadonlySet<string>): Card {
  const spec = kinds.specs(doc)(node.type) ?? null;
  const spot = doc.places[node.id];
  const isZone = node.results !== null;
  return {
    id: node.id,
    type: node.type,
    spec,
    mode: node.mode,
    zone: node.zone,
    isZone,
    collapsed: spot?.collapsed ?? false,
    colour: spot?.colour ?? "",
    width: (isZone ? null : spot?.size?.[0]) ?? 0,
    height: (isZone ? null : spot?.size?.[1]) ?? 0,
    count,
    inputs: inputSlots(doc, kinds, node).map((slot) =>
      asPorts.has(`${node.id}.${slot.handle}`) ? { ...slot, asPort: true } : slot,
    ),
    outputs: outputSlots(doc, kinds, node, false),
    inner: isZone ? outputSlots(doc, kinds, node, true) : [],
    results: resultSlots(doc, kinds, node),
    entries: [],
  };
}

const PLAIN = [
  "type",
  "spec",
  "mode",
  "zone",
  "isZone",
  "collapsed",
  "colour",
  "width",
  "height",
  "count",
] as const;

/** Whether the cards are as large, and wired, as before: no more than values changed. */
export function sameShapes(a: Cards, b: Cards): boolean {
  if (a === b) return true;
  const [all, others] = [Object.values(a), Object.values(b)];
  return (
    all.length === others.length &&
    all.every((card, i) => {
      const other = others[i];
      return card === other || (other?.id === card.id && same(card, other, sameRoom));
    })
  );
}

type Equal = (a: InSlot, b: InSlot) => boolean;
const sameValue: Equal = (a, b) => a.value === b.value;
/** A parameter has a field where it has a value, or might have one. */
const sameRoom: Equal = (a, b) => (a.value === undefined) === (b.value === undefined);

function same(a: Card, b: Card, equal = sameValue): boolean {
  return (
    PLAIN.every((field) => a[field] === b[field]) &&
    sameSlots(a.inputs, b.inputs, equal) &&
    sameSlots(a.outputs, b.outputs, equal) &&
    sameSlots(a.inner, b.inner, equal) &&
    sameSlots(a.results, b.results, equal) &&
    sameEntries(a.entries, b.entries)
  );
}

function sameSlots(
  a: readonly (InSlot | OutSlot)[],
  b: readonly (InSlot | OutSlot)[],
  equal: Equal,
): boolean {
  if (a.length !== b.length) return false;
  return a.every((slot, i) => {
    const other = b[i];
    if (!other || slot.handle !== other.handle || slot.label !== other.label) return false;
    if (slot.kind.name !== other.kind.name || slot.kind.many !== other.kind.many) return false;
    if (!("ref" in slot) || !("ref" in other)) return true;
    if (slot.asPort !== other.asPort) return false;
    return slot.ref === other.ref && equal(slot, other) && !slot.source === !other.source;
  });
}

const sameEntries = (a: readonly Entry[], b: readonly Entry[]): boolean =>
  a.length === b.length &&
  a.every((entry, i) => entry.handle === b[i]?.handle && entry.kind.name === b[i].kind.name);

/** A node's name for people. */
export const titleOf = (id: Id): string => id.replaceAll("_", " ");
