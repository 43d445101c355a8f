/** Any node, drawn from its specification alone; a collapsed zone too. */
import type { NodeProps } from "@xyflow/react";
import { memo } from "react";
import { useEditor } from "../state/editor";
import { useProblems } from "../state/validation";
import { useRuns } from "../state/runs";
import { useLevel } from "../state/level";
import { categoryHue } from "../drawing/colours";
import { CARD_WIDTH, heightOf, linesOf, tells } from "../drawing/geometry";
import { telling, weightOf } from "../drawing/telling";
import { Header } from "./Header";
import { Ports } from "./Ports";
import { NodeProblems, Previews } from "./Previews";
import { Spots } from "./Spots";
import type { LoomNode } from "../drawing/view";

export const NodeCard = memo(function NodeCard({ id, selected }: NodeProps<LoomNode>) {
  const card = useEditor((state) => state.cards[id]);
  const run = useRuns((state) => state.view.nodes[id]?.state ?? null);
  const bad = useProblems(
    (state) => state.byNode.get(id)?.some((problem) => problem.severity === "error") ?? false,
  );
  const far = useLevel((state) => state.level === "far");
  if (!card) return null;
  const look = [
    "card",
    selected ? "selected" : "",
    run ?? "",
    card.mode,
    bad ? "bad" : "",
    card.collapsed ? "collapsed" : "",
    `weight-${weightOf(card)}`,
  ];
  const style = {
    "--hue": categoryHue(card.spec?.category ?? ""),
    ...(card.colour ? { "--own": card.colour } : {}),
  } as React.CSSProperties;
  return (
    <div className={look.filter(Boolean).join(" ")} style={style}>
      <Header card={card} />
      {card.collapsed ? (
        <>
          {tells(card) ? <p className="told">{telling(card)}</p> : null}
          <i className="merged left" aria-hidden />
          <i className="merged right" aria-hidden />
          <Spots card={card} width={CARD_WIDTH} />
        </>
      ) : (
        <>
          {far ? (
            <div className="far-lines" style={{ height: heightOf(linesOf(card.inputs, card.outputs)) }}>
              {tells(card) ? <p className="told">{telling(card)}</p> : null}
              <Spots card={card} width={CARD_WIDTH} />
            </div>
          ) : (
            <Ports node={id} left={card.inputs} right={card.outputs} />
          )}
          <Previews card={card} />
        </>
      )}
      <NodeProblems card={card} />
    </div>
  );
});
