/** What an empty sheet says. */
import { useEditor } from "../state/editor";
import { t } from "../strings";

export function EmptySheet() {
  const empty = useEditor((state) => Object.keys(state.doc.nodes).length === 0);
  if (!empty) return null;
  return (
    <p className="empty-sheet">
      <b>{t("Double-click")}</b> {t("or press")} <kbd>Space</kbd> {t("to add a node,")} <kbd>Ctrl O</kbd>{" "}
      {t("to open an example,")} <kbd>?</kbd> {t("for all shortcuts")}
    </p>
  );
}
