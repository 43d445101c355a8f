/** What a layout has to know of a sheet: names and numbers alone, so that it can be sent to a worker. */
import type { Cards } from "../document/cards";
import type { Doc, Id } from "../document/document";
import { emptyZone, estimate, railRight, type Size } from "./geometry";

export interface Planned {
  readonly id: Id;
  readonly zone: Id | null;
  /** Of an open zone, without what it holds. */
  readonly size: Size;
  /** Of an open zone: the width of its right rail. */
  readonly open: { readonly right: number } | null;
}

export interface Plan {
  /** In the file's order. */
  readonly boxes: readonly Planned[];
  /** From which node to which, where no zone's own port is read. */
  readonly wires: readonly (readonly [Id, Id])[];
}

/** Sizes as the browser measured them count, others are estimated. */
export function planOf(doc: Doc, cards: Cards, measured: Readonly<Record<Id, Size>>): Plan {
  const boxes = Object.values(doc.nodes).flatMap(({ id, zone }): Planned[] => {
    const card = cards[id];
    if (!card) return [];
    if (card.collapsed) return [{ id, zone, size: estimate(card), open: null }];
    if (!card.isZone) return [{ id, zone, size: measured[id] ?? estimate(card), open: null }];
    return [{ id, zone, size: emptyZone(card, measured[id]?.[1]), open: { right: railRight(card) } }];
  });
  const wires = Object.values(cards).flatMap((card) =>
    [...card.inputs, ...card.results].flatMap(({ source }) =>
      source && !source.inner ? [[source.node, card.id] as const] : [],
    ),
  );
  return { boxes, wires };
}
