/**
 * A zone: the two halves of a node, with its body between. Wires go in on the far left, are read inside from the left
 * rail's inner rim, come back as results on the right rail's inner rim, and go out on the far right.
 */
import type { NodeProps } from "@xyflow/react";
import { memo, useEffect, useRef, type ReactNode } from "react";
import type { Card } from "../document/cards";
import { depth, type Id } from "../document/document";
import { measure, useEditor } from "../state/editor";
import { useProblems } from "../state/validation";
import { useRuns } from "../state/runs";
import { seenRun } from "../state/seen";
import { useUi } from "../state/ui";
import { categoryHue } from "../drawing/colours";
import { railRight } from "../drawing/geometry";
import { paintOf } from "../drawing/paint";
import { useLevel } from "../state/level";
import { Entries } from "./Entries";
import { Header } from "./Header";
import { Ports } from "./Ports";
import { NodeProblems, Previews } from "./Previews";
import { Resizer } from "./Resizer";
import { Spots } from "./Spots";
import { StageCard } from "./StageCard";
import type { LoomNode } from "../drawing/view";

export const Zone = memo(function Zone({ id, selected, width, height }: NodeProps<LoomNode>) {
  const card = useEditor((state) => state.cards[id]);
  const level = useEditor((state) => depth(state.doc, id));
  const run = useRuns((state) => seenRun(state.view).nodes[id]?.state ?? null);
  const bad = useProblems(
    (state) => state.byNode.get(id)?.some((problem) => problem.severity === "error") ?? false,
  );
  const far = useLevel((state) => state.level === "far");
  const isDrop = useUi((state) => state.dropZone === id);
  if (!card) return null;
  const look = [
    "zone",
    selected ? "selected" : "",
    run ?? "",
    card.mode,
    bad ? "bad" : "",
    isDrop ? "drop" : "",
  ];
  const paint = paintOf(card.colour);
  return (
    <div
      className={look.filter(Boolean).join(" ")}
      style={
        {
          "--hue": categoryHue(card.spec?.category ?? ""),
          "--level": level,
          ...(paint ? { "--own": paint } : {}),
        } as React.CSSProperties
      }
    >
      {far ? (
        <>
          <StageCard card={card} width={width ?? 0} height={height ?? 0} />
          <Spots card={card} width={width ?? 0} />
        </>
      ) : (
        <Inside id={id} card={card} />
      )}
      <Resizer id={id} least={[420, 150]} />
    </div>
  );
});

/** A zone near by: its head and its rails, between which its nodes are drawn. */
function Inside({ id, card }: { id: Id; card: Card }) {
  return (
    <>
      <Header card={card} />
      <div className="rail left">
        <Ports node={id} left={card.inputs} right={card.inner} />
        <Entries card={card} />
        <Measured id={id}>
          <Previews card={card} />
          <NodeProblems card={card} />
        </Measured>
      </div>
      {railRight(card) > 0 ? (
        <div className="rail right">
          <Ports node={id} left={card.results} right={card.outputs} />
        </div>
      ) : null}
      {card.count === 0 ? <p className="zone-hint">Drag nodes in here, or double-click to add one</p> : null}
    </>
  );
}

/** What the rail shows below the ports: the zone grows with it. */
function Measured({ id, children }: { id: Id; children: ReactNode }) {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const host = box.current;
    if (!host) return;
    const observer = new ResizeObserver(() => {
      const { offsetWidth, offsetHeight } = host;
      const known = useEditor.getState().measured[id]?.[1] ?? 0;
      if (offsetHeight !== known) measure({ [id]: [offsetWidth, offsetHeight] });
    });
    observer.observe(host);
    return () => observer.disconnect();
  }, [id]);
  return (
    <div ref={box} className="rail-shown">
      {children}
    </div>
  );
}
