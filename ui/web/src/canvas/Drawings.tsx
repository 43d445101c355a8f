/** What only the drawing knows: frames, and the bends of wires. */
import { useStoreApi, type NodeProps } from "@xyflow/react";
import { memo, useState } from "react";
import { setColour, setText } from "../commands";
import { wiresOf } from "../document/document";
import { useEditor } from "../state/editor";
import { wireColour } from "../drawing/colours";
import { PAINTS, paintOf } from "../drawing/paint";
import type { LoomNode } from "../drawing/view";
import { Resizer } from "./Resizer";
import { begin, HANDLE } from "./Socket";

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

export const Reroute = memo(function Reroute({ id, selected }: NodeProps<LoomNode>) {
  const wire = useEditor((state) => wiresOf(state.doc.places[id] ?? {})[0]);
  const store = useStoreApi();
  const kind = useEditor((state) => state.edges.find((edge) => edge.id === wire)?.data?.kind);
  const catalog = useEditor((state) => state.catalog);
  return (
    <div
      className={`reroute${selected ? " selected" : ""}${kind ? "" : " lost"}`}
      style={{ "--wire": wireColour(catalog, kind ?? "any") } as React.CSSProperties}
    >
      {kind ? (
        <i
          className={`${HANDLE} react-flow__handle-right source branch`}
          data-nodeid={id}
          data-handleid="out:"
          data-handlepos="right"
          data-id={`${store.getState().rfId}-${id}-out:-source`}
          data-tip="text|Drag: another wire from here; or by typing"
          data-shortcut="Connect the selected node"
          onMouseDown={(event) => {
            if (event.button !== 0) return;
            event.stopPropagation();
            begin(event, store.getState, id, "out:", false);
          }}
        />
      ) : null}
    </div>
  );
});
