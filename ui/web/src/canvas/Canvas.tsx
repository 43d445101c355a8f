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
import { memo, useEffect, useRef, useState, type DragEvent, type MouseEvent } from "react";
import { select, selectedIds, setEdges, sheetKey, shownSheet, useEditor } from "../state/editor";
import { useLevel } from "../state/level";
import { sayError, useUi, type MenuItem } from "../state/ui";
import { addReroute, enterUse } from "../commands";
import { categoryColour, wireColour } from "../drawing/colours";
import { MIN_ZOOM } from "../drawing/framing";
import { bring, filesOf, nodeUnder } from "./bringing";
import { beginDrag, dragOver, endDrag, takeChanges } from "./dragging";
import { Frame, Reroute } from "./Drawings";
import { beginning, frameFirst, lookFrom, setFlow, setPointer, spotAt, toSheet, viewOf } from "../state/flow";
import type { Point } from "../drawing/geometry";
import { Grounds } from "./Grounds";
import { HandTool } from "./HandTool";
import { nodeItems, sheetItems, wireItems } from "./menus";
import { NodeCard } from "./NodeCard";
import { Note } from "./Note";
import { TapHint } from "./TapHint";
import { Tools } from "./Tools";
import { isGround, listenTo } from "./touch";
import type { LoomEdge, LoomNode } from "../drawing/view";
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
  onNodeDoubleClick: (event, node) => {
    // A name is renamed, a field typed in: what lies on the node has its own meaning.
    if (!(event.target as HTMLElement).closest("input, textarea, button, .title, .param, .port-name"))
      enterUse(node.id);
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
  nodeDragThreshold: 3,
  connectOnClick: false,
  edgesFocusable: false, // Tab goes over nodes; a node lists its wires (Shift W)
  fitViewOptions: { padding: 0.08, maxZoom: 1 },
  proOptions: { hideAttribution: true },
};

/** The buttons of the mouse that move the sheet. */
const BY_LEFT = [0, 1];
const BY_MIDDLE = [1];

export function Canvas() {
  const wiring = useUi((state) => state.wiring !== null);
  const level = useLevel((state) => state.level);
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => (box.current ? listenTo(box.current) : undefined), []);
  return (
    <div
      ref={box}
      className={`canvas ${level}${wiring ? " wiring" : ""}`}
      onPointerMove={(event) => setPointer([event.clientX, event.clientY])}
      onPointerLeave={() => setPointer(null)}
      onDoubleClick={(event) => {
        if (isGround(event.target as Element))
          useUi.setState({ palette: { ...spotAt([event.clientX, event.clientY]), loose: null } });
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event: DragEvent) => {
        event.preventDefault();
        const spot = spotAt([event.clientX, event.clientY]);
        const node = nodeUnder(event.target);
        void filesOf(event.dataTransfer).then((files) => bring(files, spot, node), sayError);
      }}
    >
      <Sheet />
      <HandTool />
      <TapHint />
    </div>
  );
}

/** Each document, and each definition in it, has a sheet of its own: a field that is typed in never turns into that of another. */
function Sheet() {
  const sheet = useEditor((state) => sheetKey(shownSheet(state)));
  return <SheetOf key={sheet} sheet={sheet} />;
}

const SETTLES = 80; // milliseconds until what was opened is measured

function SheetOf({ sheet }: { sheet: string }) {
  const nodes = useEditor((state) => state.nodes);
  const edges = useEditor((state) => state.edges);
  const theme = useUi((state) => state.theme);
  const boxing = useUi((state) => state.boxing);
  const [isNew] = useState(() => viewOf(sheet) === undefined && nodes.length > 0);
  const [view] = useState(() => viewOf(sheet) ?? (isNew ? beginning(sheet) : undefined));
  useEffect(() => {
    if (!isNew) return undefined;
    const timer = setTimeout(() => frameFirst(0), SETTLES);
    return () => clearTimeout(timer);
  }, [isNew]);
  return (
    <ReactFlow<LoomNode, LoomEdge>
      {...FIXED}
      nodes={nodes}
      edges={edges}
      colorMode={theme}
      selectionOnDrag={boxing}
      panOnDrag={boxing ? BY_MIDDLE : BY_LEFT}
      fitView={isNew && !view}
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
      <Tools />
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
