/** While a wire waits for its second tap: what to do, and a way out. */
import { useUi } from "../state/ui";
import { t } from "../strings";
import { dropWire } from "./touch";

export function TapHint() {
  const tapped = useUi((state) => state.tapped);
  if (!tapped) return null;
  return (
    <div className="tap-hint" role="status">
      <span>{t("Tap the port where the wire goes, or the ground for a new node")}</span>
      <button className="small-button" onClick={dropWire}>
        {t("Cancel")}
      </button>
    </div>
  );
}
