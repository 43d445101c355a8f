/** What an empty sheet says. */
import { useEditor } from "../state/editor";
import { keysFor } from "../canvas/shortcuts";
import { useSettings } from "../state/settings";
import { t } from "../strings";

export function EmptySheet() {
  const empty = useEditor((state) => Object.keys(state.doc.nodes).length === 0);
  useSettings((state) => state.keys);
  if (!empty) return null;
  return (
    <p className="empty-sheet">
      <b>{t("Double-click")}</b> {t("or press")} <kbd>{keysFor("Add a node")}</kbd> {t("to add a node,")}{" "}
      <kbd>{keysFor("Open")}</kbd> {t("to open an example,")} <kbd>{keysFor("This list")}</kbd>{" "}
      {t("for all shortcuts")}
    </p>
  );
}
