/** The sheet: React Flow with our nodes and wires, and what the mouse does on it. */
import {
  applyEdgeChanges,
  Background,
  BackgroundVariant,
  ConnectionLineType,
  MiniMap,
  ReactFlow,
  useStore,
  type EdgeMouseHandler,
  type OnConnectEnd,
} from "@xyflow/react";
import { useCallback, type DragEvent, type MouseEvent } from "react";
import { setEdges, useEditor } from "../state/editor";
import { openDropped } from "../state/files";
import { useUi } from "../state/ui";
import { addReroute } from "./commands";
import { categoryHue, wireColour } from "./colours";
import { beginDrag, dragOver, endDrag, takeChanges } from "./dragging";
import { Frame, Note, Reroute } from "./Drawings";
import { setFlow, setPointer, toSheet } from "./flow";
import { Grounds } from "./Grounds";
import { sizesOf, zoneAt, type Point } from "./geometry";
import { nodeItems, sheetItems } from "./menus";
import { NodeCard } from "./NodeCard";
import type { LoomEdge, LoomNode } from "./view";
import { Wire } from "./Wire";
import { beginWire, connectWire, endWire, mayConnect } from "./wiring";
import { Zone } from "./Zone";

const NODE_TYPES = { card: NodeCard, zone: Zone, frame: Frame, note: Note, reroute: Reroute };
const EDGE_TYPES = { wire: Wire };
const MULTI = ["Shift", "Control", "Meta"];

function spotAt(event: { clientX: number; clientY: number }): {
  screen: Point;
  sheet: Point;
  zone: string | null;
} {
  const screen: Point = [event.clientX, event.clientY];
  const sheet = toSheet(screen);
  const state = useEditor.getState();
  return { screen, sheet, zone: zoneAt(state, sizesOf(state), sheet, []) };
}

const pointOf = (event: globalThis.MouseEvent | TouchEvent): { clientX: number; clientY: number } =>
  "clientX" in event ? event : (event.changedTouches[0] ?? { clientX: 0, clientY: 0 });

const onEmpty = (event: MouseEvent): boolean =>
  (event.target as HTMLElement).classList.contains("react-flow__pane");

export function Canvas() {
  const nodes = useEditor((state) => state.nodes);
  const edges = useEditor((state) => state.edges);
  const minimap = useUi((state) => state.minimap);
  const wiring = useUi((state) => state.wiring !== null);
  const theme = useUi((state) => state.theme);
  const far = useFar();

  const connectEnd: OnConnectEnd = useCallback((event, connection) => {
    const place = spotAt(pointOf(event));
    endWire(event, connection, { ...place, loose: null });
  }, []);
  const bend: EdgeMouseHandler<LoomEdge> = useCallback((event, edge) => {
    event.stopPropagation();
    addReroute(edge.id, toSheet([event.clientX, event.clientY]));
  }, []);
  const openMenu = (event: MouseEvent | globalThis.MouseEvent, items: ReturnType<typeof nodeItems>) => {
    event.preventDefault();
    useUi.setState({ menu: { at: [event.clientX, event.clientY], items } });
  };

  return (
    <div
      style={far ? ({ "--far": far } as React.CSSProperties) : undefined}
      className={`canvas${wiring ? " wiring" : ""}${far ? " far" : ""}`}
      onPointerMove={(event) => setPointer([event.clientX, event.clientY])}
      onPointerLeave={() => setPointer(null)}
      onDoubleClick={(event) => {
        if (onEmpty(event)) useUi.setState({ palette: { ...spotAt(event), loose: null } });
      }}
      onDragOver={(event) => event.preventDefault()}
      onDrop={(event: DragEvent) => {
        event.preventDefault();
        const file = event.dataTransfer.files[0];
        if (file) void openDropped(file);
      }}
    >
      <ReactFlow<LoomNode, LoomEdge>
        nodes={nodes}
        edges={edges}
        nodeTypes={NODE_TYPES}
        edgeTypes={EDGE_TYPES}
        colorMode={theme}
        onInit={setFlow}
        onNodesChange={takeChanges}
        onEdgesChange={(changes) =>
          setEdges((all) =>
            applyEdgeChanges(
              changes.filter((change) => change.type !== "remove"),
              all,
            ),
          )
        }
        onConnect={connectWire}
        onConnectStart={(_event, { nodeId, handleId, handleType }) => {
          if (nodeId && handleId && handleType) beginWire(nodeId, handleId, handleType);
        }}
        onConnectEnd={connectEnd}
        isValidConnection={(connection) =>
          mayConnect({
            source: connection.source,
            target: connection.target,
            sourceHandle: connection.sourceHandle ?? null,
            targetHandle: connection.targetHandle ?? null,
          })
        }
        onNodeDragStart={(_event, _node, dragged) => beginDrag(dragged)}
        onNodeDrag={(event, _node, dragged) =>
          dragOver(dragged, toSheet([pointOf(event).clientX, pointOf(event).clientY]))
        }
        onNodeDragStop={(event, _node, dragged) =>
          endDrag(dragged, toSheet([pointOf(event).clientX, pointOf(event).clientY]))
        }
        onSelectionDragStart={(_event, dragged) => beginDrag(dragged)}
        onSelectionDrag={(event, dragged) => dragOver(dragged, toSheet([event.clientX, event.clientY]))}
        onSelectionDragStop={(event, dragged) => endDrag(dragged, toSheet([event.clientX, event.clientY]))}
        onNodeContextMenu={(event, node) => openMenu(event, nodeItems(node.id))}
        onPaneContextMenu={(event) => {
          const { sheet, screen, zone } = spotAt(event);
          openMenu(event, sheetItems(sheet, screen, zone));
        }}
        onEdgeDoubleClick={bend}
        onPaneClick={() => useUi.setState({ menu: null, palette: null })}
        connectionLineType={ConnectionLineType.Bezier}
        connectionRadius={26}
        selectionKeyCode={["Shift", "Control"]}
        multiSelectionKeyCode={MULTI}
        panActivationKeyCode={null}
        deleteKeyCode={null}
        zoomOnDoubleClick={false}
        onlyRenderVisibleElements
        elevateNodesOnSelect={false}
        zIndexMode="manual"
        minZoom={0.05}
        maxZoom={2.5}
        panOnDrag={[0, 1]}
        nodeDragThreshold={3}
        connectOnClick={false}
        fitView
        fitViewOptions={{ padding: 0.12, maxZoom: 1 }}
        proOptions={{ hideAttribution: true }}
      >
        <Background
          variant={BackgroundVariant.Dots}
          gap={24}
          size={1.4}
          color="var(--dots)"
          bgColor="var(--sheet)"
        />
        <Grounds />
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
      </ReactFlow>
    </div>
  );
}

/** How much larger names are written, when the view is from so far away that nothing else can be read; else 0. */
const useFar = (): number =>
  useStore((state) => {
    const [, , zoom] = state.transform;
    return zoom < 0.38 ? 2 ** (Math.round(-Math.log2(zoom) * 3) / 3) : 0;
  });

function mapColour(node: LoomNode): string {
  const { cards, catalog } = useEditor.getState();
  const card = cards[node.id];
  if (node.type === "frame" || node.type === "zone") return "var(--map-zone)";
  if (!card) return "var(--map-note)";
  return card.spec ? `oklch(0.6 0.09 ${categoryHue(card.spec.category)})` : wireColour(catalog, "any");
}
