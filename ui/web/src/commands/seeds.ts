/** What becomes of seeds after a run. */
import type { Id, Seeding } from "../document/document";
import { setSeeding } from "../document/seeds";
import { editPlaces } from "../state/editor";

/** Say what becomes of a seed after a run; undefined: it stays. */
export const chooseSeeding = (id: Id, name: string, seeding: Seeding | undefined) =>
  editPlaces("Seed after a run", (doc) => setSeeding(doc, id, name, seeding));
