/** Layout by ELK, which is loaded with the first graph that asks for it, and works beside the page. */
import type { ELK } from "elkjs/lib/elk-api";
import workerUrl from "elkjs/lib/elk-worker.min.js?url";
import type { Id, Place } from "../document/document";
import { layeredPlaces, type Unplaced } from "../drawing/layered";

let engine: Promise<ELK> | null = null;

const load = (): Promise<ELK> =>
  (engine ??= import("elkjs/lib/elk-api.js").then(
    ({ default: Elk }) => new Elk({ workerUrl, workerFactory: (url) => new Worker(url ?? workerUrl) }),
  ));

/** A place for every node, found while the page goes on. Rejects where the engine cannot be loaded. */
export async function layered(sheet: Unplaced): Promise<Record<Id, Place>> {
  const elk = await load();
  return layeredPlaces(sheet, (graph) => elk.layout(graph));
}
