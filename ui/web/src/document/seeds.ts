/** What becomes of seeds after a run: they stay, count on, or are drawn anew. Kept with the drawing of the node. */
import type { Doc, Id, Seeding } from "./document";
import { nextSeed, place, randomSeed, setParam, without } from "./edits";
import { digitsOf } from "./json";

/** Say what becomes of a node's seed after a run; undefined: it stays. */
export function setSeeding<D extends Doc>(doc: D, id: Id, name: string, seeding: Seeding | undefined): D {
  const others = without(doc.places[id]?.after ?? {}, name);
  const after = seeding ? { ...others, [name]: seeding } : others;
  return place(doc, { [id]: { after: Object.keys(after).length > 0 ? after : undefined } });
}

/** The document after a run of it was sent off. */
export function afterRun<D extends Doc>(doc: D): D {
  return Object.entries(doc.places).reduce((next, [id, { after }]) => {
    const node = next.nodes[id];
    if (!node || !after) return next;
    return Object.entries(after).reduce((changed, [name, seeding]) => {
      if (name in node.wires) return changed; // its seed is not its own
      const seed = seeding === "random" ? randomSeed() : nextSeed(digitsOf(node.params[name] ?? 0));
      return setParam(changed, id, name, seed);
    }, next);
  }, doc);
}
