/** Any node, drawn from its specification alone; a collapsed zone too. */
import type { NodeProps } from "@xyflow/react";
import { memo, useState } from "react";
import { useEditor } from "../state/editor";
import { useProblems } from "../state/validation";
import { useRuns } from "../state/runs";
import { seenRun } from "../state/seen";
import { useLevel } from "../state/level";
import { categoryHue } from "../drawing/colours";
import { CARD_WIDTH, heightOf, linesOf, roomOf, tells } from "../drawing/geometry";
import { paintOf } from "../drawing/paint";
import { telling, weightOf } from "../drawing/telling";
import { Header } from "./Header";
import { Ports } from "./Ports";
import { NodeProblems, Previews } from "./Previews";
import { Resizer } from "./Resizer";
import { Spots } from "./Spots";
import type { LoomNode } from "../drawing/view";

export const NodeCard = memo(function NodeCard({ id, selected, width: drawn }: NodeProps<LoomNode>) {
  const card = useEditor((state) => state.cards[id]);
  const run = useRuns((state) => seenRun(state.view).nodes[id]?.state ?? null);
  const bad = useProblems(
    (state) => state.byNode.get(id)?.some((problem) => problem.severity === "error") ?? false,
  );
  const catalog = useEditor((state) => state.catalog);
  const far = useLevel((state) => state.level === "far");
  const [resizing, setResizing] = useState(false);
  if (!card) return null;
  const look = [
    "card",
    selected ? "selected" : "",
    run ?? "",
    card.mode,
    bad ? "bad" : "",
    card.collapsed ? "collapsed" : card.height > 0 ? "sized" : "",
    `weight-${weightOf(card, catalog)}`,
  ];
  const width = resizing ? (drawn ?? CARD_WIDTH) : card.width || CARD_WIDTH;
  const paint = paintOf(card.colour);
  const style = {
    "--hue": categoryHue(card.spec?.category ?? ""),
    ...(card.width > 0 || resizing ? { width } : {}),
    ...(card.height > 0 && !card.collapsed && !resizing ? { minHeight: card.height } : {}),
    ...(paint ? { "--own": paint } : {}),
  } as React.CSSProperties;
  return (
    <div className={look.filter(Boolean).join(" ")} style={style}>
      <Header card={card} />
      {card.collapsed ? (
        <>
          {tells(card) ? <p className="told">{telling(card)}</p> : null}
          <i className="merged left" aria-hidden />
          <i className="merged right" aria-hidden />
          <Spots card={card} width={width} />
        </>
      ) : (
        <>
          {far ? (
            <div
              className="far-lines"
              style={{ height: heightOf(linesOf(card.inputs, card.outputs, roomOf(card))) }}
            >
              {tells(card) ? <p className="told">{telling(card)}</p> : null}
              <Spots card={card} width={width} />
            </div>
          ) : (
            <Ports node={id} left={card.inputs} right={card.outputs} room={roomOf(card)} />
          )}
          <Previews card={card} />
        </>
      )}
      <NodeProblems card={card} />
      {selected && !card.collapsed && !far ? <Resizer id={id} least={[160, 60]} live={setResizing} /> : null}
    </div>
  );
});
