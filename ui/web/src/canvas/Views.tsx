/** Buttons on the sheet for the views of it that one comes back to: all of it, and its beginning. */
import { ListStart, Maximize } from "lucide-react";
import { memo } from "react";
import { frameAll, frameFirst } from "../state/flow";
import { IconButton } from "../widgets/IconButton";

export const Views = memo(function Views() {
  return (
    <div className="views" role="group" aria-label="Views">
      <IconButton label="Show all" shortcut="Frame all" run={() => frameAll()}>
        <Maximize size={15} />
      </IconButton>
      <IconButton label="Show the first stage" shortcut="Look at the first stage" run={() => frameFirst(250)}>
        <ListStart size={15} />
      </IconButton>
    </div>
  );
});
