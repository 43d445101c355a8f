/** What a run would do, asked of the server on demand: a dry run takes seconds, so it is not asked for after every change. */
import { create } from "zustand";
import { api, Refused } from "../server/api";
import type { Estimate } from "../server/types";
import { joined, type Doc } from "../document/document";
import type { Source } from "../document/references";
import { activeDocument } from "./documents";
import { textOf, useEditor } from "./editor";
import { addProblems } from "./validation";

interface Estimating {
  readonly estimate: Estimate | null;
  /** The whole document that it tells of (`tellsOf`). */
  readonly of: Doc | null;
  /** The memory is that of each of so many processes, which split the models that train where they shard them. */
  readonly devices: number;
  readonly shard: boolean;
  readonly asking: boolean;
  readonly error: string;
}

export const useEstimate = create<Estimating>()(() => ({
  estimate: null,
  of: null,
  devices: 1,
  shard: false,
  asking: false,
  error: "",
}));

export async function ask(): Promise<void> {
  const { asking, devices, shard } = useEstimate.getState();
  if (asking) return;
  const { document } = useEditor.getState();
  const of = activeDocument().history.present;
  const isShown = () => useEditor.getState().document === document;
  useEstimate.setState({ asking: true, error: "" });
  try {
    const estimate = await api.estimate(textOf(), devices, shard && devices > 1);
    if (!isShown()) return;
    useEstimate.setState({ estimate, of, asking: false });
    if (tellsOf(of, activeDocument().history.present)) addProblems(estimate.problems);
  } catch (error) {
    if (!isShown()) return;
    const text = error instanceof Refused ? error.message : String(error);
    useEstimate.setState({ asking: false, error: text });
  }
}

/** Whether what was found out about one document holds for another: nodes and definitions are the same. */
export const tellsOf = (of: Doc | null, doc: Doc): boolean =>
  of?.nodes === doc.nodes && of.definitions === doc.definitions;

/** Ask, if it is not known of the document as it is: somebody is about to run it. */
export function wonder(): void {
  const { present } = activeDocument().history;
  const isKnown = tellsOf(useEstimate.getState().of, present);
  if (!isKnown && Object.keys(present.nodes).length > 0) void ask();
}

/** Forget what was found out about a document when another is shown; an answer on its way is then nobody's. */
export function startEstimating(): void {
  useEditor.subscribe((state, before) => {
    if (state.document !== before.document)
      useEstimate.setState({ estimate: null, of: null, asking: false, error: "" });
  });
}

/** The shape that a port gives, where it was found out for the document as it is. */
export function shapeOf(state: Estimating, doc: Doc, source: Source | null): string {
  if (!source || source.inner || !tellsOf(state.of, doc)) return "";
  return state.estimate?.nodes[source.node]?.gives[joined(source.port, source.name)] ?? "";
}
