/** What a person can do to wires. */
import type { Id } from "../document/document";
import { connect, disconnect, renameWire } from "../document/wires";
import type { Source } from "../document/references";
import { edit, useEditor } from "../state/editor";

/** A wire's end at an input. */
export interface Slot {
  readonly node: Id;
  readonly handle: string;
}

/** Wire a source into a slot; `lifted` is the slot that the wire was pulled out of to be put there. */
export function connectWire(source: Source, target: Slot, lifted: Slot | null = null): void {
  const { kinds } = useEditor.getState();
  edit("Connect", (doc) => {
    // Connect first: taking a list's item out would move the ones behind it.
    const joined = connect(doc, kinds, source, target.node, target.handle);
    return !lifted || joined === doc ? joined : disconnect(joined, lifted.node, lifted.handle);
  });
}

export const disconnectWire = ({ node, handle }: Slot) =>
  edit("Disconnect", (doc) => disconnect(doc, node, handle));

/** Rename what the user named: a model that a zone carries, a state, a result. */
export function renamePort({ node, handle }: Slot, name: string): void {
  const { kinds } = useEditor.getState();
  edit("Rename a port", (doc) => renameWire(doc, kinds.specs(doc), node, handle, name));
}
