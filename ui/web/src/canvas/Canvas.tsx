/**
 * The sheet: React Flow with our nodes and wires, and what the mouse does on it.
 *
 * Everything handed to React Flow besides nodes and edges is made once: each prop that changes costs it a round through
 * all that listens, several for every step of a drag.
 */
import {
  applyEdgeChanges,
  Background,
  BackgroundVariant,
  ConnectionLineType,
  MiniMap,
  ReactFlow,
  type ReactFlowProps,
} from "@xyflow/react";
import { memo, useEffect, useState, type DragEvent, type MouseEvent } from "react";
import type { DocumentId } from "../state/documents";
import { select, selectedIds, setEdges, useEditor } from "../state/editor";
import { useLevel } from "../state/level";
import { openDropped } from "../state/files";
import { useUi, type MenuItem } from "../state/ui";
import { addReroute } from "../commands";
import { categoryColour, wireColour } from "../drawing/colours";
import { MIN_ZOOM } from "../drawing/framing";
import { beginDrag, dragOver, endDrag, takeChanges } from "./dragging";
import { Frame, Note, Reroute } from "./Drawings";
import { frameFirst, lookFrom, setFlow, setPointer, spotAt, toSheet, viewOf } from "../state/flow";
import type { Point } from "../drawing/geometry";
import { Grounds } from "./Grounds";
import { nodeItems, sheetItems, wireItems } from "./menus";
import { NodeCard } from "./NodeCard";
import type { LoomEdge, LoomNode } from "../drawing/view";
import { Views } from "./Views";
import { Wire } from "./Wire";
import { beginWire, finishWire, endWire, mayConnect } from "./wiring";
import { Zone } from "./Zone";

type Props = ReactFlowProps<LoomNode, LoomEdge>;
type AnyMouse = MouseEvent | globalThis.MouseEvent | TouchEvent;

const pointOf = (event: AnyMouse): Point => {
  const at = "clientX" in event ? event : event.changedTouches[0];
  return [at?.clientX ?? 0, at?.clientY ?? 0];
};

function openMenu(event: MouseEvent | globalThis.MouseEvent, items: readonly (MenuItem | null)[]): void {
  event.preventDefault();
  useUi.setState({ menu: { at: [event.clientX, event.clientY], items } });
}

const FIXED: Props = {
  nodeTypes: { card: NodeCard, zone: Zone, frame: Frame, note: Note, reroute: Reroute },
  edgeTypes: { wire: Wire },
  onInit: setFlow,
  onViewportChange: lookFrom,
  onNodesChange: takeChanges,
  onEdgesChange: (changes) =>
    setEdges((all) =>
      applyEdgeChanges(
        changes.filter((change) => change.type !== "remove"),
        all,
      ),
    ),
  onConnect: finishWire,
  onConnectStart: (_event, { nodeId, handleId, handleType }) => {
    if (nodeId && handleId && handleType) beginWire(nodeId, handleId, handleType);
  },
  onConnectEnd: (event, connection) => endWire(event, connection, { ...spotAt(pointOf(event)), loose: null }),
  isValidConnection: ({ source, target, sourceHandle, targetHandle }) =>
    mayConnect({ source, target, sourceHandle: sourceHandle ?? null, targetHandle: targetHandle ?? null }),
  onNodeDragStart: (_event, _node, dragged) => beginDrag(dragged),
  onNodeDrag: (event, _node, dragged) => dragOver(dragged, toSheet(pointOf(event))),
  onNodeDragStop: (event, _node, dragged) => endDrag(dragged, toSheet(pointOf(event))),
  onSelectionDragStart: (_event, dragged) => beginDrag(dragged),
  onSelectionDrag: (event, dragged) => dragOver(dragged, toSheet(pointOf(event))),
  onSelectionDragStop: (event, dragged) => endDrag(dragged, toSheet(pointOf(event))),
  onNodeClick: (event, node) => {
    // A click on one of several that are selected means that one.
    const adds = event.shiftKey || event.ctrlKey || event.metaKey;
    if (!adds && selectedIds().length > 1) select([node.id]);
  },
  onNodeContextMenu: (event, node) => openMenu(event, nodeItems(node.id)),
  onPaneContextMenu: (event) => {
    const { sheet, screen, zone } = spotAt([event.clientX, event.clientY]);
    openMenu(event, sheetItems(sheet, screen, zone));
  },
  onEdgeContextMenu: (event, edge) => {
    const screen: Point = [event.clientX, event.clientY];
    openMenu(event, wireItems(edge, toSheet(screen), screen));
  },
  onEdgeDoubleClick: (event, edge) => {
    event.stopPropagation();
    addReroute(edge.id, toSheet([event.clientX, event.clientY]));
  },
  onPaneClick: () => useUi.setState({ menu: null, palette: null }),
  connectionLineType: ConnectionLineType.Bezier,
  connectionRadius: 26,
  selectionKeyCode: ["Shift", "Control"],
  multiSelectionKeyCode: ["Shift", "Control", "Meta"],
  panActivationKeyCode: null,
  deleteKeyCode: null,
  zoomOnDoubleClick: false,
  onlyRenderVisibleElements: true,
  elevateNodesOnSelect: false,
  zIndexMode: "manual",
  minZoom: MIN_ZOOM,
  maxZoom: 2.5,
  panOnDrag: [0, 1],
  nodeDragThreshold: 3,
  connectOnClick: false,
  fitViewOptions: { padding: 0.08, maxZoom: 1 },
  proOptions: { hideAttribution: true },
};

const onEmpty = (event: MouseEvent): boolean =>
  (event.target as HTMLElement).classList.contains("react-flow__pane");

export function Canvas() {
  const wiring = useUi((state) => state.wiring !== null);
  const level = useLevel((state) => state.level);
  return (
    <div
      className={`canvas ${level}${wiring ? " wiring" : ""}`}
      onPointerMove={(event) => setPointer([event.clientX, event.clientY])}
      onPointerLeave={() => setPointer(null)}
      onDoubleClick={(event) => {
        if (onEmpty(event))
          useUi.setState({ palette: { ...spotAt([event.clientX, event.clientY]), loose: null } });
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event: DragEvent) => {
        event.preventDefault();
        const file = event.dataTransfer.files[0];
        if (file) void openDropped(file);
      }}
    >
      <Sheet />
    </div>
  );
}

/** Each document has a sheet of its own: a field that is typed in never turns into that of another document. */
function Sheet() {
  const document = useEditor((state) => state.document);
  return <SheetOf key={document} document={document} />;
}

const SETTLES = 80; // milliseconds until what was opened is measured

function SheetOf({ document }: { document: DocumentId }) {
  const nodes = useEditor((state) => state.nodes);
  const edges = useEditor((state) => state.edges);
  const theme = useUi((state) => state.theme);
  const [view] = useState(() => viewOf(document));
  const [whole] = useState(() => view === undefined && nodes.length > 0);
  useEffect(() => {
    if (!whole) return undefined;
    const timer = setTimeout(() => frameFirst(0), SETTLES);
    return () => clearTimeout(timer);
  }, [whole]);
  return (
    <ReactFlow<LoomNode, LoomEdge>
      {...FIXED}
      nodes={nodes}
      edges={edges}
      colorMode={theme}
      fitView={whole}
      {...(view ? { defaultViewport: view } : {})}
    >
      <Ground />
    </ReactFlow>
  );
}

/** What lies on the sheet besides nodes and wires; it does not depend on them. */
const Ground = memo(function Ground() {
  const minimap = useUi((state) => state.minimap);
  return (
    <>
      <Background
        variant={BackgroundVariant.Dots}
        gap={24}
        size={1.4}
        color="var(--dots)"
        bgColor="var(--sheet)"
      />
      <Grounds />
      <Views />
      {minimap ? (
        <MiniMap<LoomNode>
          pannable
          zoomable
          ariaLabel="Minimap"
          nodeColor={mapColour}
          nodeStrokeWidth={0}
          position="bottom-right"
        />
      ) : null}
    </>
  );
});

function mapColour(node: LoomNode): string {
  const { cards, catalog } = useEditor.getState();
  const card = cards[node.id];
  if (node.type === "frame") return "var(--map-zone)";
  if (!card) return "var(--map-note)";
  const colour = card.spec ? categoryColour(card.spec.category) : wireColour(catalog, "any");
  return node.type === "zone" ? `color-mix(in oklch, ${colour} var(--stage-tint), var(--card))` : colour;
}
