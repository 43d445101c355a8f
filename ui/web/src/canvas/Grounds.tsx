/** The tinted grounds of zones: below the wires, while their rims and rails are above them. */
import { useStore, ViewportPortal, type ReactFlowState } from "@xyflow/react";
import { memo } from "react";
import { shallow } from "zustand/shallow";
import { useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { categoryHue } from "../drawing/colours";
import { paintOf } from "../drawing/paint";

/** x, y, width, height of each open zone, as one flat list of texts, so that equal lists compare as equal. */
const grounds = (state: ReactFlowState): string[] => {
  const found: string[] = [];
  for (const node of state.nodeLookup.values()) {
    if (node.type !== "zone" || node.hidden) continue;
    const { x, y } = node.internals.positionAbsolute;
    found.push(`${node.id} ${x} ${y} ${node.width ?? 0} ${node.height ?? 0}`);
  }
  return found;
};

export const Grounds = memo(function Grounds() {
  const zones = useStore(grounds, shallow);
  return (
    <ViewportPortal>
      <div className="grounds">
        {zones.map((zone) => (
          <Ground key={zone.split(" ", 1)[0]} zone={zone} />
        ))}
      </div>
    </ViewportPortal>
  );
});

const Ground = memo(function Ground({ zone }: { zone: string }) {
  const [id = "", x = "0", y = "0", width = "0", height = "0"] = zone.split(" ");
  const card = useEditor((state) => state.cards[id]);
  const drop = useUi((state) => state.dropZone === id);
  const style = {
    transform: `translate(${x}px, ${y}px)`,
    width: `${width}px`,
    height: `${height}px`,
    "--hue": categoryHue(card?.spec?.category ?? ""),
    "--own": paintOf(card?.colour),
  } as React.CSSProperties;
  return <div className={`ground${drop ? " drop" : ""}`} style={style} />;
});
