/** How many operations a second runs do here, as those that were watched from this page told; kept in the browser. */
import { create } from "zustand";
import { activeDocument } from "./documents";
import { tellsOf, useEstimate } from "./estimate";
import { weightsOf } from "./share";
import { useRuns } from "./runs";

const KEY = "loom.pace";
/** The share of the newest run in the mean. */
const NEWEST = 0.5;
/** Seconds below which the pace of a run says nothing: it is all beginning. */
const SHORTEST = 1;

interface Pace {
  /** Operations a second; 0 is not known. */
  readonly pace: number;
}

export const usePace = create<Pace>()(() => ({ pace: Number(localStorage.getItem(KEY)) || 0 }));

/** Learn from each run that ends of the graph whose operations are known. */
export function startPacing(): void {
  useRuns.subscribe(({ view }, { view: before }) => {
    if (view.status !== "done" || before.status === "done" || before.run !== view.run || view.began === 0)
      return;
    const { estimate, of } = useEstimate.getState();
    const doc = activeDocument().history.present;
    if (!estimate || !tellsOf(of, doc)) return;
    const weights = weightsOf(doc, estimate);
    const done = view.planned.filter((id) => view.nodes[id]?.state === "done");
    const flops = done.reduce((sum, id) => sum + (weights[id] ?? 0), 0);
    const seconds = done.reduce((sum, id) => sum + (view.nodes[id]?.seconds ?? 0), 0);
    if (seconds < SHORTEST || flops === 0) return;
    const known = usePace.getState().pace;
    const pace = known === 0 ? flops / seconds : (1 - NEWEST) * known + (NEWEST * flops) / seconds;
    localStorage.setItem(KEY, String(pace));
    usePace.setState({ pace });
  });
}
