/** Places for the nodes of a document that have none. A large one that is opened has them found by a worker, while the page goes on. */
import { cardsOf, type Cards } from "../document/cards";
import type { Doc, Id, Place } from "../document/document";
import type { Kinds } from "../document/types";
import { fillIn } from "../drawing/layout";
import type { Size } from "../drawing/geometry";
import { planOf, type Plan } from "../drawing/plan";

type Places = Readonly<Record<Id, Place>>;

/** From so many nodes on a worker is sooner done than it is noticed that the page stands still. */
const MANY = 200;
const found = new WeakMap<Doc["nodes"], Places>();

export const placesFor = (doc: Doc, cards: Cards, measured: Readonly<Record<Id, Size>>): Places =>
  found.get(doc.nodes) ?? fillIn(doc, cards, measured);

/** Find the places of a document before it is drawn, where there are many to find. */
export async function placeBeforehand(doc: Doc, kinds: Kinds): Promise<void> {
  const missing = Object.keys(doc.nodes).filter((id) => !(id in doc.places));
  if (missing.length < MANY || typeof Worker === "undefined") return;
  const all = await laidOut(planOf(doc, cardsOf(doc, kinds, {}), {}));
  if (all) found.set(doc.nodes, Object.fromEntries(missing.map((id) => [id, all[id] ?? { at: [0, 0] }])));
}

/** Null where no worker can be had: the page then does it by itself. */
function laidOut(plan: Plan): Promise<Places | null> {
  const worker = new Worker(new URL("../drawing/layout.worker.ts", import.meta.url), { type: "module" });
  return new Promise<Places | null>((done) => {
    worker.addEventListener("message", ({ data }: MessageEvent<Places>) => done(data));
    worker.addEventListener("error", () => done(null));
    worker.postMessage(plan);
  }).finally(() => worker.terminate());
}
