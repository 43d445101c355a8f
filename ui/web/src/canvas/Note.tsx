/** A note: read as its Markdown says, and written after a double click or Enter. */
import { type NodeProps } from "@xyflow/react";
import { lazy, memo, Suspense, useState } from "react";
import { setText } from "../commands";
import { paintOf } from "../drawing/paint";
import type { LoomNode } from "../drawing/view";
import { useEditor } from "../state/editor";
import { Resizer } from "./Resizer";

/** Few sheets have notes: what reads Markdown is loaded with the first. */
const NoteText = lazy(() => import("./NoteText"));

export const Note = memo(function Note({ id, selected }: NodeProps<LoomNode>) {
  const spot = useEditor((state) => state.doc.places[id]);
  const text = spot?.text ?? "";
  const [writing, setWriting] = useState(text === "");
  if (!spot) return null;
  return (
    <div
      className={`note${selected ? " selected" : ""}${spot.colour ? " painted" : ""}`}
      style={{ "--own": paintOf(spot.colour) } as React.CSSProperties}
    >
      {writing ? (
        <textarea
          className="nodrag nowheel"
          aria-label="Note"
          placeholder="Write a note, in Markdown…"
          autoFocus={text !== "" || selected}
          value={text}
          onChange={(event) => setText(id, event.target.value, "typing")}
          onBlur={(event) => setWriting(event.target.value.trim() === "")}
          onKeyDown={(event) => {
            event.stopPropagation();
            if (event.key === "Escape") event.currentTarget.blur();
          }}
        />
      ) : (
        <div
          className="note-text nowheel"
          role="group"
          tabIndex={0}
          aria-label={`Note: ${text}. Press Enter to write`}
          onDoubleClick={() => setWriting(true)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" || event.target !== event.currentTarget) return;
            event.preventDefault();
            event.stopPropagation();
            setWriting(true);
          }}
        >
          <Suspense fallback={text}>
            <NoteText text={text} />
          </Suspense>
        </div>
      )}
      <Resizer id={id} />
    </div>
  );
});
