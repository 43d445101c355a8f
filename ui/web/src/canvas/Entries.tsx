/** What a zone's body reads from outside, once each, on its left rail: a wire to one more reader is pulled from its inner side. */
import { useStoreApi } from "@xyflow/react";
import { memo } from "react";
import type { Card } from "../document/cards";
import { entryName, type Entry } from "../document/entries";
import { sourceHandle } from "../document/references";
import { useEditor } from "../state/editor";
import { wireColour } from "../drawing/colours";
import { begin } from "./Socket";

export const Entries = memo(function Entries({ card }: { card: Card }) {
  if (card.entries.length === 0) return null;
  return (
    <ul className="rim-entries" aria-label={`Read from outside of ${card.id}`}>
      {card.entries.map((entry) => (
        <EntryLine key={entry.handle} entry={entry} />
      ))}
    </ul>
  );
});

function EntryLine({ entry }: { entry: Entry }) {
  const store = useStoreApi();
  const catalog = useEditor((state) => state.catalog);
  const outputs = useEditor((state) => state.cards[entry.source.node]?.outputs.length ?? 1);
  const { node } = entry.source;
  const handle = sourceHandle(entry.source);
  return (
    <li
      className={`rim-entry${entry.kind.many > 0 ? " many" : ""}`}
      style={{ "--wire": wireColour(catalog, entry.kind.name) } as React.CSSProperties}
      data-tip={`port|${node}|${handle}`}
    >
      <span>{entryName(entry, outputs)}</span>
      <i
        className="rim-out nodrag nopan"
        data-entry={entry.handle}
        onMouseDown={(event) => {
          if (event.button !== 0) return;
          event.stopPropagation();
          begin(event, store.getState, node, handle, false);
        }}
      />
    </li>
  );
}
