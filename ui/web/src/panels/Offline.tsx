/** What the page says while the server is away: it goes on trying, and the sheet can be edited meanwhile. */
import { Unplug } from "lucide-react";
import { useRuns } from "../state/runs";
import { t } from "../strings";

export function Offline() {
  const lost = useRuns((state) => !state.online && state.about !== null);
  if (!lost) return null;
  return (
    <p className="offline-notice" role="alert">
      <Unplug size={15} aria-hidden />
      <span>
        <b>{t("The server does not answer.")}</b>{" "}
        {t("The page connects again by itself as soon as it is back; what you change meanwhile is kept.")}
      </span>
    </p>
  );
}
