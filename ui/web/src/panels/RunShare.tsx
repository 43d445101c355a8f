/** How much of the run that is shown is done, and how long it will still take. */
import { clock } from "../drawing/format";
import { useNow } from "../canvas/useNow";
import { useRuns } from "../state/runs";
import { shareNow } from "../state/tabSign";

export function RunShare() {
  const runs = useRuns((state) => state.view.status === "running");
  const share = shareNow(useNow(runs));
  if (!runs || !share) return null;
  const percent = Math.floor(100 * share.done);
  return (
    <>
      {` · ${percent} %`}
      {share.left === null ? "" : ` · ${clock(Math.max(1, share.left))} left`}
      <progress className="run-share" max={1} value={share.done} aria-label="Share of the run that is done" />
    </>
  );
}
