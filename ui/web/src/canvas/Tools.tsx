/** Buttons on the sheet: the views that one comes back to, and what dragging the ground does (move the sheet, or draw a box around nodes). */
import { Panel } from "@xyflow/react";
import { Hand, SquareDashedMousePointer } from "lucide-react";
import { Views } from "./Views";
import { toggleBoxing, useUi } from "../state/ui";

export function Tools() {
  const boxing = useUi((state) => state.boxing);
  return (
    <Panel position="bottom-left" className="sheet-tools">
      <Views />
      <div className="views" role="group" aria-label="Dragging the ground">
        <button
          className={`icon-button${boxing ? "" : " on"}`}
          aria-pressed={!boxing}
          aria-label="Drag to move the sheet"
          data-tip="text|Drag to move the sheet (S); with Ctrl or Shift it selects"
          onClick={() => boxing && toggleBoxing()}
        >
          <Hand size={15} />
        </button>
        <button
          className={`icon-button${boxing ? " on" : ""}`}
          aria-pressed={boxing}
          aria-label="Drag to select"
          data-tip="text|Drag to select with a box (S); the middle button moves the sheet"
          onClick={() => boxing || toggleBoxing()}
        >
          <SquareDashedMousePointer size={15} />
        </button>
      </div>
    </Panel>
  );
}
