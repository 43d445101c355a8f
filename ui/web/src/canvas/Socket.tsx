/**
 * The dot where a wire begins or ends. React Flow's own handle listens to the whole store; hundreds of them cost more
 * than all else, so this is a plain element with what React Flow looks for on it.
 */
import { useStoreApi, type ReactFlowState } from "@xyflow/react";
import { XYHandle } from "@xyflow/system";
import { memo, type MouseEvent } from "react";
import type { Id } from "../document/document";
import { sourceHandle } from "../document/references";
import type { InSlot, OutSlot } from "../document/slots";
import { pickUp } from "./wiring";

interface Props {
  node: Id;
  slot: InSlot | OutSlot;
  /** "out" begins a wire and looks right, "in" ends one and looks left. */
  side: "in" | "out";
  colour: string;
  /** While a wire is drawn: whether it fits here. */
  fits: boolean | null;
}

const HANDLE =
  "react-flow__handle nodrag nopan connectable connectablestart connectableend connectionindicator";

export const Socket = memo(function Socket({ node, slot, side, colour, fits }: Props) {
  const store = useStoreApi();
  const isInput = side === "in";
  const look = [
    HANDLE,
    isInput ? "react-flow__handle-left target" : "react-flow__handle-right source",
    "socket",
    slot.kind.many ? "many" : "",
    "ref" in slot && slot.ref === null ? "loose" : "",
    "adds" in slot && slot.adds ? "adds" : "",
    fits === true ? "fits" : fits === false ? "unfit" : "",
  ];
  const down = (event: MouseEvent<HTMLElement>) => {
    if (event.button !== 0) return;
    event.stopPropagation();
    const lifted = isInput && "source" in slot && !event.altKey ? slot.source : null;
    const from = lifted && sourceHandle(lifted);
    const state = store.getState();
    if (lifted && from && hasHandle(state, lifted.node, from)) {
      // Dragging from an input that is wired lifts the wire's end, instead of beginning a new one.
      begin(event, store.getState, lifted.node, from, false, () => pickUp(node, slot.handle));
    } else begin(event, store.getState, node, slot.handle, isInput);
  };
  return (
    <div
      className={look.filter(Boolean).join(" ")}
      style={{ "--wire": colour } as React.CSSProperties}
      data-nodeid={node}
      data-handleid={slot.handle}
      data-handlepos={isInput ? "left" : "right"}
      data-id={`${store.getState().rfId}-${node}-${slot.handle}-${isInput ? "target" : "source"}`}
      data-tip={`${isInput ? "slot" : "port"}|${node}|${slot.handle}`}
      onMouseDown={down}
    />
  );
});

const hasHandle = (state: ReactFlowState, node: Id, handle: string): boolean =>
  state.nodeLookup.get(node)?.internals.handleBounds?.source?.some((own) => own.id === handle) ?? false;

/** Begin a wire at a handle, as React Flow's own handle does. */
export function begin(
  event: MouseEvent<HTMLElement>,
  get: () => ReactFlowState,
  nodeId: Id,
  handleId: string,
  isTarget: boolean,
  begun?: () => void,
): void {
  const state = get();
  XYHandle.onPointerDown(event.nativeEvent, {
    autoPanOnConnect: state.autoPanOnConnect,
    connectionMode: state.connectionMode,
    connectionRadius: state.connectionRadius,
    domNode: state.domNode,
    handleId,
    nodeId,
    nodeLookup: state.nodeLookup,
    isTarget,
    edgeUpdaterType: isTarget ? "target" : "source",
    lib: state.lib,
    flowId: state.rfId,
    cancelConnection: state.cancelConnection,
    panBy: state.panBy,
    isValidConnection: (connection) => get().isValidConnection?.(connection) ?? true,
    onConnect: (connection) => get().onConnect?.(connection),
    onConnectStart: (started, params) => {
      begun?.();
      get().onConnectStart?.(started, params);
    },
    onConnectEnd: (ended, connection) => get().onConnectEnd?.(ended, connection),
    updateConnection: state.updateConnection,
    getTransform: () => get().transform,
    getFromHandle: () => get().connection.fromHandle,
    dragThreshold: state.connectionDragThreshold,
    handleDomNode: event.currentTarget,
  });
}
