/** How far a run is: queued, running, stopping, over. It never goes back. */
import type { Run } from "../server/types";

export const isLive = (run: Run | undefined): boolean =>
  run?.status === "queued" || run?.status === "running" || run?.status === "stopping";

const AGES = ["queued", "running", "stopping"];

/** Whether a summary is older than what is known: an answer may be overtaken by what the server said meanwhile. */
export const isOld = (run: Run, known: Run | undefined): boolean => {
  if (known === undefined || !isLive(run)) return false;
  return !isLive(known) || AGES.indexOf(run.status) < AGES.indexOf(known.status);
};
