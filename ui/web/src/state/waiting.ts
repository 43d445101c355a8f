/** How long a run that waits will still wait, as far as runs of the same titles tell. */
import type { Run } from "../server/types";
import { isLive } from "./runAge";

/** What a run of a title took when one was last done, in seconds; null where none was. */
function usual(runs: readonly Run[], title: string): number | null {
  const done = runs.filter((run) => run.status === "done" && run.title === title);
  const { started, ended } = done.reduce<Partial<Run>>(
    (last, run) => (run.run > (last.run ?? 0) ? run : last),
    {},
  );
  return started && ended ? ended - started : null;
}

/**
 * Seconds until a run of the queue begins, at a moment in seconds since 1970; null where one ahead of it is of a title that was
 * never done here. `left` is how long the run that is shown will still take, where that is known better; `devices` work at once.
 */
export function waitOf(
  run: Run,
  runs: readonly Run[],
  now: number,
  devices = 1,
  left: { readonly run: number; readonly seconds: number } | null = null,
): number | null {
  let sum = 0;
  for (const other of runs) {
    const isAhead = other.status === "queued" ? other.position < run.position : isLive(other);
    if (other.run === run.run || !isAhead) continue;
    const whole = usual(runs, other.title);
    const rest =
      left?.run === other.run
        ? left.seconds
        : whole === null
          ? null
          : Math.max(0, whole - (other.started === null ? 0 : now - other.started));
    if (rest === null) return null;
    sum += rest;
  }
  return sum / Math.max(1, devices);
}
