/** Drawing a wire: what it fits, what a drop does, and the reason when nothing does. */
import type { Connection, FinalConnectionState, HandleType } from "@xyflow/react";
import { halves, wiresOf, type Id } from "../document/document";
import { connectWire, disconnectWire } from "../commands/wires";
import { sourceHandle, sourceOf, type Source } from "../document/references";
import { objection } from "../document/rules";
import { useEditor } from "../state/editor";
import { say, useUi, type LooseEnd, type PaletteAt } from "../state/ui";

/** The wire end that was lifted from its input and is being dragged. */
let picked: { node: Id; handle: string } | null = null;

export const pickUp = (node: Id, handle: string) => {
  picked = { node, handle };
};

/** The reroute that a wire being drawn branches off at. */
const bendIn = (node: Id | null | undefined): Id | null =>
  node && useEditor.getState().doc.places[node]?.kind === "reroute" ? node : null;

/** Where a wire that begins at a handle comes from; at a reroute, where the wires come from that it bends. */
function sourceAt(node: Id, handle: string): Source {
  const { doc, cards } = useEditor.getState();
  if (bendIn(node) === null) return sourceOf(node, handle);
  const [target, port] = halves(wiresOf(doc.places[node] ?? {})[0] ?? "");
  const card = cards[target];
  const slot = card && [...card.inputs, ...card.results].find((own) => own.handle === port);
  return slot?.source ?? sourceOf(node, handle);
}

const sourceIn = (connection: Connection): Source =>
  sourceAt(connection.source, connection.sourceHandle ?? "");

export function beginWire(node: Id, handle: string, type: HandleType): void {
  const end: LooseEnd =
    type === "source" ? { side: "source", source: sourceAt(node, handle) } : { side: "target", node, handle };
  useUi.setState({ wiring: { end, fits: fitting(end) } });
}

/** Why a loose end may not go to a handle; null where it may. */
export function objectionTo(end: LooseEnd, node: Id, handle: string): string | null {
  const { doc, kinds } = useEditor.getState();
  return end.side === "source"
    ? objection(doc, kinds, end.source, node, handle)
    : objection(doc, kinds, sourceOf(node, handle), end.node, end.handle);
}

/** All handles that a loose end may go to. */
export function fitting(end: LooseEnd): Map<Id, Set<string>> {
  const { cards } = useEditor.getState();
  const fits = new Map<Id, Set<string>>();
  for (const card of Object.values(cards)) {
    const handles =
      end.side === "source"
        ? [...card.inputs, ...card.results].map((slot) => slot.handle)
        : [...card.outputs, ...card.inner].map((slot) => slot.handle);
    fits.set(card.id, new Set(handles.filter((handle) => objectionTo(end, card.id, handle) === null)));
  }
  return fits;
}

export function mayConnect(connection: Connection): boolean {
  const { doc, kinds } = useEditor.getState();
  const handle = connection.targetHandle ?? "";
  return objection(doc, kinds, sourceIn(connection), connection.target, handle) === null;
}

export function finishWire(connection: Connection): void {
  const lifted = picked;
  picked = null;
  const handle = connection.targetHandle ?? "";
  const source = sourceIn(connection);
  if (lifted?.node === connection.target && lifted.handle === handle) return;
  connectWire(source, { node: connection.target, handle }, lifted, bendIn(connection.source));
}

export function endWire(
  event: MouseEvent | TouchEvent,
  connection: FinalConnectionState,
  at: PaletteAt,
): void {
  const { wiring } = useUi.getState();
  const lifted = picked;
  picked = null;
  useUi.setState({ wiring: null });
  if (!wiring || connection.isValid) return;
  if (connection.toHandle) {
    const { nodeId, id } = connection.toHandle;
    const reason = objectionTo(wiring.end, nodeId, id ?? "");
    const same = connection.toHandle.type === connection.fromHandle.type;
    say(reason ?? (same ? "A wire goes from an output to an input" : "This does not fit"), "bad");
    return;
  }
  if (lifted) {
    disconnectWire(lifted);
    return;
  }
  const target = event.target as HTMLElement;
  const dropped = target.closest<HTMLElement>(".react-flow__node")?.dataset.id;
  if (
    dropped &&
    dropped !== connection.fromNode?.id &&
    connectToNode(wiring.end, dropped, wiring.fits, bendIn(connection.fromNode?.id))
  )
    return;
  if (dropped && !target.closest(".react-flow__node-frame, .react-flow__node-zone")) return;
  useUi.setState({ palette: { ...at, loose: wiring.end } });
}

/** A wire dropped on a node itself goes to the first port it fits. */
function connectToNode(
  end: LooseEnd,
  node: Id,
  fits: ReadonlyMap<Id, ReadonlySet<string>>,
  bend: Id | null,
): boolean {
  const { cards } = useEditor.getState();
  const good = fits.get(node);
  const card = cards[node];
  if (!good || !card) return false;
  if (end.side === "target") {
    const [handle] = [...card.outputs, ...card.inner]
      .map((slot) => slot.handle)
      .filter((own) => good.has(own));
    if (!handle) return false;
    connectWire(sourceOf(node, handle), end);
    return true;
  }
  const slots = [...card.inputs, ...card.results].filter((slot) => good.has(slot.handle));
  const free =
    slots.find((slot) => slot.ref === null && slot.port.schema === undefined) ??
    slots.find((slot) => slot.ref === null);
  if (!free) return false;
  connectWire(end.source, { node, handle: free.handle }, null, bend);
  return true;
}

/** Every wire that could be drawn from or to a node, for choosing one by keyboard; from a reroute, its branches. */
export function possibleWires(node: Id): { source: Source; target: Id; handle: string; bend?: Id }[] {
  const { cards } = useEditor.getState();
  const card = cards[node];
  if (bendIn(node) !== null) {
    const source = sourceAt(node, "out:");
    return [...fitting({ side: "source", source })].flatMap(([target, handles]) =>
      [...handles].map((handle) => ({ source, target, handle, bend: node })),
    );
  }
  if (!card) return [];
  const outgoing = [...card.outputs, ...card.inner].flatMap((slot) => {
    const source = sourceOf(node, slot.handle);
    return [...fitting({ side: "source", source })].flatMap(([target, handles]) =>
      [...handles].map((handle) => ({ source, target, handle })),
    );
  });
  const incoming = [...card.inputs, ...card.results]
    .filter((slot) => slot.ref === null)
    .flatMap((slot) =>
      [...fitting({ side: "target", node, handle: slot.handle })].flatMap(([owner, handles]) =>
        [...handles].map((handle) => ({
          source: sourceOf(owner, handle),
          target: node,
          handle: slot.handle,
        })),
      ),
    );
  const seen = new Set<string>();
  return [...incoming, ...outgoing].filter(({ source, target, handle }) => {
    const key = `${source.node} ${sourceHandle(source)} ${target} ${handle}`;
    return !seen.has(key) && seen.add(key);
  });
}
