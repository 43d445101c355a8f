/** What a run will cost, beside the button that starts it: time, where earlier runs tell the pace, and memory. */
import { bytes, clock } from "../drawing/format";
import { useEditor } from "../state/editor";
import { useEstimate, wonder } from "../state/estimate";
import { usePace } from "../state/pace";
import { showPanel } from "../state/ui";

export function RunCost() {
  const { estimate, of, asking } = useEstimate();
  const nodes = useEditor((state) => state.doc.nodes);
  const pace = usePace((state) => state.pace);
  if (Object.keys(nodes).length === 0) return null;
  if (!estimate || of !== nodes) {
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
