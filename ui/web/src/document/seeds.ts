/** What becomes of seeds after a run: they stay, count on, or are drawn anew. Kept with the drawing of the node. */
import type { Doc, Id, Seeding } from "./document";
import { nextSeed, place, randomSeed, without } from "./edits";
import { everywhere } from "./inside";
import { digitsOf } from "./json";

/** Say what becomes of a node's seed after a run; undefined: it stays. */
export function setSeeding<D extends Doc>(doc: D, id: Id, name: string, seeding: Seeding | undefined): D {
  const others = without(doc.places[id]?.after ?? {}, name);
  const after = seeding ? { ...others, [name]: seeding } : others;
  return place(doc, { [id]: { after: Object.keys(after).length > 0 ? after : undefined } });
}

/** The document after a run of it was sent off, with the seeds inside of its definitions. */
export const afterRun = <D extends Doc>(doc: D): D =>
  everywhere(doc, (node, graph) => {
    const own = Object.entries(graph.places[node.id]?.after ?? {}).filter(([name]) => !(name in node.wires));
    if (own.length === 0) return node;
    const seeds = own.map(([name, seeding]) => {
      const seed = seeding === "random" ? randomSeed() : nextSeed(digitsOf(node.params[name] ?? 0));
      return [name, seed] as const;
    });
    return { ...node, params: { ...node.params, ...Object.fromEntries(seeds) } };
  });
