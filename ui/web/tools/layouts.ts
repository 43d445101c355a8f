/** A workflow's text with a place for every node, its setup folded: how the shipped ones open. */
import { cardsOf, type Card } from "../src/document/cards";
import { read, write } from "../src/document/codec";
import type { Doc, Place } from "../src/document/document";
import { place } from "../src/document/edits";
import { Kinds } from "../src/document/types";
import { hasWidget } from "../src/drawing/geometry";
import { layeredPlaces, type Layered } from "../src/drawing/layered";
import type { Catalog } from "../src/server/types";

export async function laidOut(text: string, catalog: Catalog, layered: Layered): Promise<string> {
  const { doc } = read(text);
  const kinds = new Kinds(catalog);
  const setup = Object.values(cardsOf(doc, kinds, {})).filter((card) => isSetup(doc, card));
  const kept = place({ ...doc, places: withoutNodes(doc) }, sayings(doc));
  const folded = place(
    kept,
    Object.fromEntries(setup.map(({ id }): [string, Partial<Place>] => [id, { collapsed: true }])),
  );
  const places = await layeredPlaces(
    { doc: folded, cards: cardsOf(folded, kinds, {}), measured: {} },
    layered,
  );
  return write(place(folded, places));
}

/** Frames, notes and bends stay; nodes are placed anew. */
const withoutNodes = (doc: Doc): Doc["places"] =>
  Object.fromEntries(Object.entries(doc.places).filter(([id]) => !(id in doc.nodes)));

/** What is written on nodes, and their colours, until they have a place again. */
const sayings = (doc: Doc): Record<string, Place> =>
  Object.fromEntries(
    Object.keys(doc.nodes).map((id): [string, Place] => {
      const { text, colour } = doc.places[id] ?? {};
      return [id, { at: [0, 0], ...(text ? { text } : {}), ...(colour ? { colour } : {}) }];
    }),
  );

/** Whether a node only sets something up: it reads nothing, and has several parameters of which none is exposed. */
function isSetup(doc: Doc, card: Card): boolean {
  const exposed = Object.values(doc.exposed.params).some((ref) => ref.startsWith(`${card.id}.`));
  const wired = card.inputs.some((slot) => slot.ref !== null);
  return !card.isZone && !exposed && !wired && card.inputs.filter(hasWidget).length >= 3;
}
