/** What a zone is for, in a sentence: its head says it near by, its card from afar. */
import { setText } from "../commands";
import type { Card } from "../document/cards";
import { useEditor } from "../state/editor";

export function ZoneNote({ card }: { card: Card }) {
  const note = useEditor((state) => state.doc.places[card.id]?.text ?? "");
  return (
    <label className="about">
      <span>What it is for</span>
      <textarea
        rows={3}
        value={note}
        placeholder={card.spec?.summary ?? ""}
        onChange={(event) => setText(card.id, event.target.value, "typing")}
        onKeyDown={(event) => {
          if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
        }}
      />
    </label>
  );
}
