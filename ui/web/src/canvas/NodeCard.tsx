/** Any node, drawn from its specification alone; a collapsed zone too. */
import { Handle, Position, type NodeProps } from "@xyflow/react";
import { memo } from "react";
import { useEditor } from "../state/editor";
import { useProblems } from "../state/validation";
import { useRuns } from "../state/runs";
import { categoryHue } from "./colours";
import { Header } from "./Header";
import { Ports } from "./Ports";
import { NodeProblems, Previews } from "./Previews";
import type { LoomNode } from "./view";

export const NodeCard = memo(function NodeCard({ id, selected }: NodeProps<LoomNode>) {
  const card = useEditor((state) => state.cards[id]);
  const run = useRuns((state) => state.view.nodes[id]?.state ?? null);
  const bad = useProblems(
    (state) => state.byNode.get(id)?.some((problem) => problem.severity === "error") ?? false,
  );
  if (!card) return null;
  const look = [
    "card",
    selected ? "selected" : "",
    run ?? "",
    card.mode,
    bad ? "bad" : "",
    card.collapsed ? "collapsed" : "",
  ];
  return (
    <div
      className={look.filter(Boolean).join(" ")}
      style={
        {
          "--hue": categoryHue(card.spec?.category ?? ""),
          ...(card.colour ? { "--own": card.colour } : {}),
        } as React.CSSProperties
      }
    >
      <Header card={card} />
      {card.collapsed ? (
        <CollapsedHandles
          node={id}
          inputs={card.inputs.map((slot) => slot.handle)}
          outputs={card.outputs.map((slot) => slot.handle)}
        />
      ) : (
        <>
          <Ports node={id} left={card.inputs} right={card.outputs} />
          <Previews node={id} />
        </>
      )}
      <NodeProblems node={id} spec={card.spec !== null} />
    </div>
  );
});

/** A collapsed node keeps its handles, all on the middle of its rims, so that its wires stay. */
function CollapsedHandles({ node, inputs, outputs }: { node: string; inputs: string[]; outputs: string[] }) {
  return (
    <div data-node={node}>
      {[...inputs, "inside"].map((handle) => (
        <Handle
          key={handle}
          id={handle}
          type="target"
          position={Position.Left}
          className="socket merged"
          isConnectable={handle !== "inside"}
        />
      ))}
      {[...outputs, "out:inside"].map((handle) => (
        <Handle
          key={handle}
          id={handle}
          type="source"
          position={Position.Right}
          className="socket merged"
          isConnectable={handle !== "out:inside"}
        />
      ))}
    </div>
  );
}
