/** The stages of a workflow: the zones of its top, in the file's order, each with what leads to it. */
import type { Card, Cards } from "./cards";
import {
  children,
  halves,
  inside,
  isInside,
  nodeOf,
  outermost,
  refsOf,
  type Doc,
  type Id,
  type Ref,
} from "./document";
import type { InSlot } from "./slots";

export const stagesOf = (doc: Doc): Id[] =>
  children(doc, null).flatMap(({ id, results }) => (results === null ? [] : [id]));

/** The first stage and what it is made from; everything where there is no zone. */
export function firstStage(doc: Doc): Id[] {
  const [stage] = stagesOf(doc);
  if (stage === undefined) return Object.keys(doc.nodes);
  const found = new Set<Id>([stage]);
  const reached = (ref: string): void => {
    if (!(nodeOf(ref) in doc.nodes)) return;
    const id = outermost(doc, nodeOf(ref));
    if (found.has(id)) return;
    found.add(id);
    sourcesOf(doc, id).forEach(reached);
  };
  sourcesOf(doc, stage).forEach(reached);
  return [...found];
}

/** The references that a node, and all that is drawn inside of it, reads. */
const sourcesOf = (doc: Doc, id: Id): string[] =>
  [doc.nodes[id], ...inside(doc, id)].flatMap((node) =>
    node
      ? [...Object.values(node.wires), ...Object.values(node.results ?? {})].flatMap((wired) => [
          ...refsOf(wired),
        ])
      : [],
  );

/** A parameter that the workflow exposes. */
export interface Exposed {
  readonly node: Id;
  readonly slot: InSlot;
  /** What the workflow calls it. */
  readonly name: string;
}

/** What a workflow exposes: the parameters that may be typed in, in its order. */
export const exposedOf = (doc: Doc, cards: Cards): Exposed[] =>
  Object.entries(doc.exposed.params).flatMap(([name, ref]) => {
    const [node, param] = halves(ref);
    const slot = parameter(cards[node], param);
    return slot ? [{ node, slot, name: name.replaceAll("_", " ") }] : [];
  });

/** What a workflow exposes of a zone and of the nodes inside of it. */
export const exposedIn = (doc: Doc, cards: Cards, zone: Id): Exposed[] =>
  exposedOf(doc, cards).filter(({ node }) => node === zone || isInside(doc, node, zone));

const parameter = (card: Card | undefined, name: string): InSlot | undefined =>
  card?.inputs.find((slot) => slot.handle === name && slot.ref === null);

/** The exposed outputs that a run can be asked for: those of nodes at the top that give something. */
export const exposedTargets = (doc: Doc, cards: Cards): Ref[] =>
  Object.values(doc.exposed.outputs).filter((ref) => {
    const card = cards[nodeOf(ref)];
    return card?.zone === null && card.outputs.length > 0;
  });
