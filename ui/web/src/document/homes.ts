/** Nodes that want a zone around them: which one, and how it is wired when both are new. */
import type { Catalog, NodeSpec, Port } from "../server/types";
import { type Doc, type Id, enclosing } from "./document";
import { sourceOf } from "./references";
import { objection } from "./rules";
import { inputSlots, outputSlots, resultSlots } from "./slots";
import type { Kinds } from "./types";
import { connect } from "./wires";

/**
 * The zones that a node is made for, best first: they want what it gives, or give most of what it needs. Of equal ones the
 * one that is used more.
 */
export function homesOf(
  catalog: Catalog,
  spec: NodeSpec,
  used: Readonly<Record<string, number>> = {},
): NodeSpec[] {
  const shares = (ports: readonly Port[], others: readonly Port[]) =>
    ports.filter((port) => !port.variable && others.some((own) => own.type === port.type && !own.variable))
      .length;
  const needs = spec.inputs.filter((port) => port.required && port.schema === undefined);
  return Object.values(catalog.nodes)
    .map((zone) => {
      const given = zone.body ? shares(needs, zone.body.ports) : 0;
      const wanted = zone.body ? shares(spec.outputs, zone.body.results) : 0;
      return { zone, fit: wanted > 0 || given > 1 ? given + 2 * wanted : 0 };
    })
    .filter(({ fit }) => fit > 0)
    .sort((a, b) => b.fit - a.fit || (used[b.zone.type] ?? 0) - (used[a.zone.type] ?? 0))
    .map(({ zone }) => zone);
}

/** Whether a place is in a zone of this type already. */
export const isWithin = (doc: Doc, place: Id | null, type: string): boolean =>
  enclosing(doc, place).some((zone) => zone !== null && doc.nodes[zone]?.type === type);

/** Wire a zone to the one node in it: its ports to what the node needs, first those of the same name, and the node to its results. */
export function wiredWithin<D extends Doc>(doc: D, kinds: Kinds, zone: Id, id: Id): D {
  const around = doc.nodes[zone];
  const node = doc.nodes[id];
  if (!around || !node) return doc;
  const inner = outputSlots(doc, kinds, around, true);
  let next = doc;
  for (const slot of inputSlots(doc, kinds, node)) {
    if (slot.port.schema !== undefined || slot.ref !== null) continue;
    const fitting = inner.filter(
      ({ handle, kind }) =>
        kind.name !== "any" && objection(next, kinds, sourceOf(zone, handle), id, slot.handle) === null,
    );
    const found = fitting.find(({ label }) => label === slot.label) ?? fitting[0];
    if (found) next = connect(next, kinds, sourceOf(zone, found.handle), id, slot.handle);
  }
  for (const result of resultSlots(next, kinds, around)) {
    const found = outputSlots(next, kinds, node, false).find(
      ({ handle }) => objection(next, kinds, sourceOf(id, handle), zone, result.handle) === null,
    );
    if (found) next = connect(next, kinds, sourceOf(id, found.handle), zone, result.handle);
  }
  return next;
}
