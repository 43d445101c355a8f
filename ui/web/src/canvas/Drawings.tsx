/** What only the drawing knows: frames, notes, and the bends of wires. */
import { NodeResizeControl, type NodeProps } from "@xyflow/react";
import { memo, useState } from "react";
import { resize, setColour, setText } from "../commands";
import { useEditor } from "../state/editor";
import { wireColour } from "../drawing/colours";
import { PAINTS, paintOf } from "../drawing/paint";
import type { LoomNode } from "../drawing/view";

export const Frame = memo(function Frame({ id, selected }: NodeProps<LoomNode>) {
  const spot = useEditor((state) => state.doc.places[id]);
  const [editing, setEditing] = useState(false);
  if (!spot) return null;
  const finish = (text: string) => {
    setEditing(false);
    setText(id, text);
  };
  return (
    <div
      className={`frame${selected ? " selected" : ""}`}
      style={{ "--own": paintOf(spot.colour) } as React.CSSProperties}
    >
      <header className="drag frame-head">
        {editing ? (
          <input
            className="inline-name nodrag"
            autoFocus
            aria-label="Name of the frame"
            defaultValue={spot.text}
            onBlur={(event) => finish(event.target.value)}
            onKeyDown={(event) => {
              event.stopPropagation();
              if (event.key === "Enter") finish(event.currentTarget.value);
              if (event.key === "Escape") setEditing(false);
            }}
          />
        ) : (
          <span className="frame-title" onDoubleClick={() => setEditing(true)}>
            {spot.text?.trim() ? spot.text : "Frame"}
          </span>
        )}
        {selected ? (
          <span className="swatches nodrag">
            {["", ...PAINTS.map(({ name }) => name)].map((name) => (
              <button
                key={name}
                className="swatch"
                aria-label={name ? `Colour ${name}` : "No colour"}
                style={{ background: paintOf(name) ?? "var(--line-strong)" }}
                onClick={() => setColour([id], name)}
              />
            ))}
          </span>
        ) : null}
      </header>
      <Resizer id={id} />
    </div>
  );
});

export const Note = memo(function Note({ id, selected }: NodeProps<LoomNode>) {
  const spot = useEditor((state) => state.doc.places[id]);
  if (!spot) return null;
  return (
    <div className={`note${selected ? " selected" : ""}`}>
      <textarea
        className="nodrag nowheel"
        aria-label="Note"
        placeholder="Write a note…"
        value={spot.text ?? ""}
        onChange={(event) => setText(id, event.target.value, "typing")}
        onKeyDown={(event) => {
          event.stopPropagation();
          if (event.key === "Escape") event.currentTarget.blur();
        }}
      />
      <Resizer id={id} />
    </div>
  );
});

const Resizer = ({ id }: { id: string }) => (
  <NodeResizeControl
    className="resize"
    minWidth={100}
    minHeight={60}
    onResizeEnd={(_event, { width, height }) => resize(id, [width, height])}
  />
);

export const Reroute = memo(function Reroute({ id, selected }: NodeProps<LoomNode>) {
  const wire = useEditor((state) => state.doc.places[id]?.wire);
  const kind = useEditor((state) => state.edges.find((edge) => edge.id === wire)?.data?.kind);
  const catalog = useEditor((state) => state.catalog);
  return (
    <div
      className={`reroute${selected ? " selected" : ""}${kind ? "" : " lost"}`}
      style={{ "--wire": wireColour(catalog, kind ?? "any") } as React.CSSProperties}
    />
  );
});
