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

function same(a: Card, b: Card): boolean {
  return (
    PLAIN.every((field) => a[field] === b[field]) &&
    sameSlots(a.inputs, b.inputs) &&
    sameSlots(a.outputs, b.outputs) &&
    sameSlots(a.inner, b.inner) &&
    sameSlots(a.results, b.results) &&
    sameEntries(a.entries, b.entries)
  );
}

function sameSlots(a: readonly (InSlot | OutSlot)[], b: readonly (InSlot | OutSlot)[]): boolean {
  if (a.length !== b.length) return false;
  return a.every((slot, i) => {
    const other = b[i];
    if (!other || slot.handle !== other.handle || slot.label !== other.label) return false;
    if (slot.kind.name !== other.kind.name || slot.kind.many !== other.kind.many) return false;
    if (!("ref" in slot) || !("ref" in other)) return true;
    if (slot.asPort !== other.asPort) return false;
    return slot.ref === other.ref && slot.value === other.value && !slot.source === !other.source;
  });
}

const sameEntries = (a: readonly Entry[], b: readonly Entry[]): boolean =>
  a.length === b.length &&
  a.every((entry, i) => entry.handle === b[i]?.handle && entry.kind.name === b[i].kind.name);

/** A node's name for people. */
export const titleOf = (id: Id): string => id.replaceAll("_", " ");
