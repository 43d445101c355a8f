/** What a person can do to wires. */
import { bending, wiresOf, type Doc, type Id } from "../document/document";
import { sameSource, wiredSlots, type Slot } from "../document/relinking";
import type { Kinds } from "../document/types";
import { connect, disconnect, renameWire } from "../document/wires";
import type { Source } from "../document/references";
import { edit, useEditor } from "../state/editor";

export type { Slot } from "../document/relinking";

/**
 * Wire a source into a slot; `lifted` is the slot that the wire was pulled out of to be put there, `bend` the reroute that
 * it branches off at.
 */
export function connectWire(
  source: Source,
  target: Slot,
  lifted: Slot | null = null,
  bend: Id | null = null,
): void {
  const { kinds } = useEditor.getState();
  edit("Connect", (doc) => {
    // Connect first: taking a list's item out would move the ones behind it.
    const joined = connect(doc, kinds, source, target.node, target.handle);
    const bent = bend === null || joined === doc ? joined : branched(joined, kinds, source, target, bend);
    return !lifted || joined === doc ? bent : disconnect(bent, lifted.node, lifted.handle);
  });
}

/** Lead the wire that was just drawn from a source into a node through a reroute. */
function branched<D extends Doc>(doc: D, kinds: Kinds, source: Source, { node, handle }: Slot, bend: Id): D {
  const spot = doc.places[bend];
  const reader = doc.nodes[node];
  if (!spot || !reader) return doc;
  const port = handle.replace(/\.\+$/, "");
  const own = wiredSlots(doc, kinds, [reader]).find(
    (wire) =>
      (wire.handle === handle || wire.handle.startsWith(`${port}.`)) && sameSource(wire.source, source),
  );
  const next = own && bending(spot, [...wiresOf(spot), `${node}.${own.handle}`]);
  return next ? { ...doc, places: { ...doc.places, [bend]: next } } : doc;
}

export const disconnectWire = ({ node, handle }: Slot) =>
  edit("Disconnect", (doc) => disconnect(doc, node, handle));

/** Rename what the user named: a model that a zone carries, a state, a result. */
export function renamePort({ node, handle }: Slot, name: string): void {
  const { kinds } = useEditor.getState();
  edit("Rename a port", (doc) => renameWire(doc, kinds.specs(doc), node, handle, name));
}
