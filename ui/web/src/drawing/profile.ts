/** A run's profile as it is drawn: shares, and rows with the most first. */
import type { Id } from "../document/document";
import type { NodeProfile, Profile } from "../server/types";

/** The share of the run that a node took, with all that is inside of it; null where that is not known. */
export function shareOf(profile: Profile | null, id: Id): number | null {
  const node = profile?.nodes[id];
  return profile && node && profile.seconds > 0 ? Math.min(1, node.seconds / profile.seconds) : null;
}

export type Measure = "own" | "all" | "memory";

const OF: Record<Measure, (node: NodeProfile) => number> = {
  own: (node) => node.own_seconds,
  all: (node) => node.seconds,
  memory: (node) => node.memory,
};

export interface Row {
  readonly id: Id;
  readonly node: NodeProfile;
  /** What was measured, of the run's seconds; of memory, of the most. */
  readonly share: number;
}

/** The nodes by what they took, the most first. */
export function rowsOf(profile: Profile, measure: Measure): Row[] {
  const of = OF[measure];
  const nodes = Object.entries(profile.nodes);
  const whole = measure === "memory" ? Math.max(...nodes.map(([, node]) => node.memory)) : profile.seconds;
  return nodes
    .map(([id, node]) => ({ id, node, share: whole > 0 ? Math.min(1, of(node) / whole) : 0 }))
    .sort((a, b) => of(b.node) - of(a.node));
}
