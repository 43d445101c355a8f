/** Buttons on the sheet for the views of it that one comes back to: all of it, and its beginning. */
import { ListStart, Maximize } from "lucide-react";
import { memo } from "react";
import { frameAll, frameFirst } from "../state/flow";

export const Views = memo(function Views() {
  return (
    <div className="views" role="group" aria-label="Views">
      <button
        className="icon-button"
        aria-label="Show all"
        data-tip="text|Show all (Home)"
        onClick={() => frameAll()}
      >
        <Maximize size={15} />
      </button>
      <button
        className="icon-button"
        aria-label="Show the first stage"
        data-tip="text|Show the first stage (Shift Home)"
        onClick={() => frameFirst(250)}
      >
        <ListStart size={15} />
      </button>
    </div>
  );
});
