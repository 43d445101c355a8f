/** Buttons on the sheet: the views that one comes back to, and what dragging the ground does (move the sheet, or draw a box around nodes). */
import { Panel } from "@xyflow/react";
import { Hand, SquareDashedMousePointer } from "lucide-react";
import { toggleBoxing, useUi } from "../state/ui";
import { IconButton } from "../widgets/IconButton";
import { Views } from "./Views";

export function Tools() {
  const boxing = useUi((state) => state.boxing);
  return (
    <Panel position="bottom-left" className="sheet-tools">
      <Views />
      <div className="views" role="group" aria-label="Dragging the ground">
        <IconButton
          label="Drag to move the sheet"
          tip="Drag to move the sheet; with Ctrl or Shift it selects"
          shortcut="Drag the ground to select, or to move the sheet"
          on={!boxing}
          run={() => boxing && toggleBoxing()}
        >
          <Hand size={15} />
        </IconButton>
        <IconButton
          label="Drag to select"
          tip="Drag to select with a box; the middle button moves the sheet"
          shortcut="Drag the ground to select, or to move the sheet"
          on={boxing}
          run={() => boxing || toggleBoxing()}
        >
          <SquareDashedMousePointer size={15} />
        </IconButton>
      </div>
    </Panel>
  );
}
