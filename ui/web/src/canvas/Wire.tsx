/**
 * A wire: a curve in the colour of its type, through its reroutes. One that would run across the sheet is two stubs, the
 * second with the name of where it comes from, until it or one of its nodes is selected. Those of selected nodes are lit.
 */
import { BaseEdge, useStore, type EdgeProps } from "@xyflow/react";
import { memo } from "react";
import { shallow } from "zustand/shallow";
import { titleOf } from "../document/cards";
import { isSelected, useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { wireColour } from "../drawing/colours";
import { isLong } from "../drawing/wires";
import type { LoomEdge } from "../drawing/view";
import { pathThrough } from "../drawing/wirePath";
import { useSettings } from "../state/settings";

export const Wire = memo(function Wire(props: EdgeProps<LoomEdge>) {
  return props.data && props.data.through.length > 0 ? <Bent {...props} /> : <Drawn {...props} points={[]} />;
});

function Bent(props: EdgeProps<LoomEdge>) {
  const points = useStore(
    (state) =>
      (props.data?.through ?? []).flatMap((reroute) => {
        const at = state.nodeLookup.get(reroute)?.internals.positionAbsolute;
        return at ? [at.x + 6, at.y + 6] : [];
      }),
    shallow,
  );
  return <Drawn {...props} points={points} />;
}

function Drawn(props: EdgeProps<LoomEdge> & { points: readonly number[] }) {
  const { id, source, target, sourceX, sourceY, targetX, targetY, selected, data, points } = props;
  const catalog = useEditor((state) => state.catalog);
  const lit = useEditor((state) => isSelected(state, source) || isSelected(state, target));
  const takes = useUi((state) => state.dropWire === id);
  const style = useSettings((state) => state.wires);
  const cut = !selected && !lit && points.length === 0 && isLong([sourceX, sourceY], [targetX, targetY]);
  const path = cut
    ? `M${sourceX} ${sourceY} h${STUB} M${targetX - STUB} ${targetY} h${STUB}`
    : pathThrough(style, [sourceX, sourceY, ...points, targetX, targetY]);
  const look = [
    "wire",
    selected ? "selected" : "",
    lit ? "lit" : "",
    cut ? "cut" : "",
    takes ? "takes" : "",
    data?.faint ? "faint" : "",
    data?.many ? "many" : "",
  ];
  return (
    <g
      className={look.filter(Boolean).join(" ")}
      style={{ "--wire": wireColour(catalog, data?.kind ?? "any") } as React.CSSProperties}
    >
      {selected ? <path d={path} className="wire-edge" /> : null}
      <BaseEdge id={id} path={path} interactionWidth={16} />
      {cut ? (
        <>
          <circle cx={sourceX + STUB} cy={sourceY} r={3.5} className="stub-end" />
          <text x={targetX - STUB - 5} y={targetY + 4} className="stub-name">
            {titleOf(source)}
          </text>
        </>
      ) : null}
    </g>
  );
}

const STUB = 22;
