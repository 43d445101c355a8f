/** What a run will cost, beside the button that starts it: time, where earlier runs tell the pace, and memory. */
import { bytes, clock } from "../drawing/format";
import { activeOf, useDocuments } from "../state/documents";
import { tellsOf, useEstimate, wonder } from "../state/estimate";
import { usePace } from "../state/pace";
import { showPanel } from "../state/ui";

export function RunCost() {
  const { estimate, of, asking } = useEstimate();
  const whole = useDocuments((state) => activeOf(state).history.present);
  const pace = usePace((state) => state.pace);
  if (Object.keys(whole.nodes).length === 0) return null;
  if (!estimate || !tellsOf(of, whole)) {
    return (
      <button className="run-cost" data-tip="text|What a run will cost" onClick={wonder} disabled={asking}>
        {asking ? "cost …" : "cost?"}
      </button>
    );
  }
  const seconds = pace > 0 && estimate.flops > 0 ? estimate.flops / pace : null;
  const time = seconds === null ? "" : `≤ ${clock(Math.max(seconds, 0.1))} · `;
  const cost = `${time}${bytes(estimate.memory)}`;
  return (
    <button
      className="run-cost"
      aria-label={`What a run will cost: ${cost}`}
      data-tip="text|At most, where nothing is cached; the time by the pace of earlier runs here. Press for all of it"
      onClick={() => showPanel("cost")}
    >
      {cost}
    </button>
  );
}
