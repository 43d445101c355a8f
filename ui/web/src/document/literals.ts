/** What one document says otherwise than another in its literals alone. */
import type { Doc, Id } from "./document";
import type { Json } from "./json";

export type Literals = Readonly<Record<Id, Readonly<Record<string, Json>>>>;

/** All parameters of each node that has others now; null where more has changed than that. Where things lie does not count. */
export function changedLiterals(before: Doc, after: Doc): Literals | null {
  if (before.definitions !== after.definitions || before.exposed !== after.exposed) return null;
  const was = Object.values(before.nodes);
  const is = Object.values(after.nodes);
  if (was.length !== is.length) return null;
  const changed: Record<Id, Readonly<Record<string, Json>>> = {};
  for (const [at, node] of is.entries()) {
    const old = was[at];
    if (node === old) continue;
    const stays =
      node.id === old?.id &&
      node.type === old.type &&
      node.mode === old.mode &&
      node.zone === old.zone &&
      node.wires === old.wires &&
      node.results === old.results;
    if (!stays) return null;
    if (node.params !== old.params) changed[node.id] = node.params;
  }
  return changed;
}
