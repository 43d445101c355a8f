/** The dot where a wire begins or ends. */
import { Handle, Position, useStoreApi } from "@xyflow/react";
import { XYHandle } from "@xyflow/system";
import { memo, type MouseEvent } from "react";
import type { Id } from "../document/document";
import { sourceHandle } from "../document/references";
import type { InSlot, OutSlot } from "../document/slots";
import { useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { wireColour } from "./colours";
import { pickUp } from "./wiring";

interface Props {
  node: Id;
  slot: InSlot | OutSlot;
  /** "out" begins a wire and looks right, "in" ends one and looks left. */
  side: "in" | "out";
}

export const Socket = memo(function Socket({ node, slot, side }: Props) {
  const catalog = useEditor((state) => state.catalog);
  const fits = useUi((state) =>
    state.wiring ? (state.wiring.fits.get(node)?.has(slot.handle) ?? false) : null,
  );
  const wired = "ref" in slot && slot.ref !== null;
  const startWire = usePickUp(node, slot);
  const look = [
    "socket",
    slot.kind.many ? "many" : "",
    "ref" in slot && !wired ? "loose" : "",
    "adds" in slot && slot.adds ? "adds" : "",
    fits === true ? "fits" : fits === false ? "unfit" : "",
  ];
  return (
    <Handle
      id={slot.handle}
      type={side === "in" ? "target" : "source"}
      position={side === "in" ? Position.Left : Position.Right}
      className={look.filter(Boolean).join(" ")}
      style={{ "--wire": wireColour(catalog, slot.kind.name) } as React.CSSProperties}
      data-tip={`${side === "in" ? "slot" : "port"}|${node}|${slot.handle}`}
      {...(startWire ? { onMouseDownCapture: startWire } : {})}
    />
  );
});

/** Dragging from an input that is wired lifts the wire's end, instead of beginning a new one. */
function usePickUp(node: Id, slot: InSlot | OutSlot): ((event: MouseEvent<HTMLElement>) => void) | null {
  const store = useStoreApi();
  if (!("source" in slot) || slot.source === null) return null;
  const { source } = slot;
  return (event) => {
    if (event.button !== 0 || event.altKey) return;
    const state = store.getState();
    const handleId = sourceHandle(source);
    const from = state.nodeLookup.get(source.node);
    if (!from?.internals.handleBounds?.source?.some((handle) => handle.id === handleId)) return;
    event.stopPropagation();
    event.preventDefault();
    XYHandle.onPointerDown(event.nativeEvent, {
      autoPanOnConnect: state.autoPanOnConnect,
      connectionMode: state.connectionMode,
      connectionRadius: state.connectionRadius,
      domNode: state.domNode,
      handleId,
      nodeId: source.node,
      nodeLookup: state.nodeLookup,
      isTarget: false,
      edgeUpdaterType: "source",
      lib: state.lib,
      flowId: state.rfId,
      cancelConnection: state.cancelConnection,
      panBy: state.panBy,
      isValidConnection: (connection) => store.getState().isValidConnection?.(connection) ?? true,
      onConnect: (connection) => store.getState().onConnect?.(connection),
      onConnectStart: (begun, params) => {
        pickUp(node, slot.handle);
        store.getState().onConnectStart?.(begun, params);
      },
      onConnectEnd: (ended, connection) => store.getState().onConnectEnd?.(ended, connection),
      updateConnection: state.updateConnection,
      getTransform: () => store.getState().transform,
      getFromHandle: () => store.getState().connection.fromHandle,
      dragThreshold: state.connectionDragThreshold,
      handleDomNode: event.currentTarget,
    });
  };
}
