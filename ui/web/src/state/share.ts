/** How much of a run is done, and how long it will still take, as far as its events tell. */
import { outermost, type Doc, type Id } from "../document/document";
import type { Estimate } from "../server/types";
import type { RunView } from "./runView";

export interface Share {
  /** From 0 to 1. */
  readonly done: number;
  /** Seconds; null where nothing tells. */
  readonly left: number | null;
}

/** What each node weighs: the operations of it and of all that is drawn inside, where they were found out. */
export function weightsOf(doc: Doc, estimate: Estimate | null): Readonly<Record<Id, number>> {
  const weights: Record<Id, number> = {};
  for (const [id, { flops }] of Object.entries(estimate?.nodes ?? {})) {
    const top = id in doc.nodes ? outermost(doc, id) : id;
    weights[top] = (weights[top] ?? 0) + flops;
  }
  return weights;
}

/** Too little is done to conclude from. */
const LEAST = 0.02;

/** The share of a run at a moment, in seconds since 1970; null where it does not run. */
export function shareOf(view: RunView, weights: Readonly<Record<Id, number>>, now: number): Share | null {
  if (view.status !== "running" || view.planned.length === 0) return null;
  const sum = view.planned.reduce((total, id) => total + (weights[id] ?? 0), 0);
  // What has no operations still is a step; without any figures all are alike.
  const least = sum > 0 ? sum / 1000 : 1;
  let [all, done] = [0, 0];
  let within: { weight: number; share: number; rest: number } | null = null;
  for (const id of view.planned) {
    const node = view.nodes[id];
    const weight = Math.max(weights[id] ?? 0, least);
    all += weight;
    if (node?.state === "done" || node?.state === "cached") done += weight;
    else if (node?.state === "running" && node.total > 0) {
      const share = node.done / node.total;
      done += weight * share;
      if (node.rate > 0) within = { weight, share, rest: (node.total - node.done) / node.rate };
    }
  }
  const share = all === 0 ? 0 : Math.min(1, done / all);
  return { done: share, left: left(share, all, within, view.began === 0 ? 0 : now - view.began, sum > 0) };
}

function left(
  share: number,
  all: number,
  within: { weight: number; share: number; rest: number } | null,
  spent: number,
  known: boolean,
): number | null {
  if (within && within.share < 1) {
    // The others take as long as the loop that turns, by their weight; of weights that say nothing, nothing follows.
    const whole = within.rest / (1 - within.share);
    const others = all * (1 - share) - within.weight * (1 - within.share);
    return within.rest + (known ? (Math.max(0, others) / within.weight) * whole : 0);
  }
  return known && share > LEAST ? (spent * (1 - share)) / share : null;
}
