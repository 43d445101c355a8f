/** As many plain nodes and wires as a workflow has, drawn by React Flow as it comes: what `python -m benchmarks.canvas` holds the canvas against. */
import "@xyflow/react/dist/style.css";
import { Background, MiniMap, ReactFlow, ReactFlowProvider, type Edge, type Node } from "@xyflow/react";
import { createRoot } from "react-dom/client";

/** Places in pixels of the sheet, with widths and heights, and who reads whom. */
interface Graph {
  readonly nodes: Record<string, readonly [number, number, number, number]>;
  readonly wires: readonly (readonly [string, string])[];
}

const graph = (await (await fetch("graph.json")).json()) as Graph;
const nodes = Object.entries(graph.nodes).map(([id, [x, y, width, height]]): Node => ({
  id,
  position: { x, y },
  data: { label: id },
  style: { width, height },
}));
const edges = graph.wires.map(([source, target], i): Edge => ({ id: String(i), source, target }));
const root = document.getElementById("root");
if (root)
  createRoot(root).render(
    <ReactFlowProvider>
      <ReactFlow defaultNodes={nodes} defaultEdges={edges} onlyRenderVisibleElements fitView minZoom={0.05}>
        <Background />
        <MiniMap pannable zoomable />
      </ReactFlow>
    </ReactFlowProvider>,
  );
