/** What an empty sheet says. */
import { useEditor } from "../state/editor";

export function EmptySheet() {
  const empty = useEditor((state) => Object.keys(state.doc.nodes).length === 0);
  if (!empty) return null;
  return (
    <p className="empty-sheet">
      <b>Double-click</b> or press <kbd>Space</kbd> to add a node, <kbd>Ctrl O</kbd> to open an example,{" "}
      <kbd>?</kbd> for all shortcuts
    </p>
  );
}
