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
  /** The nodes that it tells of: others in the document now make it out of date. */
  readonly of: Doc["nodes"] | null;
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
  const nodes = () => activeDocument().history.present.nodes;
  const of = nodes();
  const isShown = () => useEditor.getState().document === document;
  useEstimate.setState({ asking: true, error: "" });
  try {
    const estimate = await api.estimate(textOf(), devices, shard && devices > 1);
    if (!isShown()) return;
    useEstimate.setState({ estimate, of, asking: false });
    if (nodes() === of) addProblems(estimate.problems);
  } catch (error) {
    if (!isShown()) return;
    const text = error instanceof Refused ? error.message : String(error);
    useEstimate.setState({ asking: false, error: text });
  }
}

/** Ask, if it is not known of the document as it is: somebody is about to run it. */
export function wonder(): void {
  const { of } = useEstimate.getState();
  const { nodes } = useEditor.getState().doc;
  if (of !== nodes && Object.keys(nodes).length > 0) void ask();
}

/** Forget what was found out about a document when another is shown; an answer on its way is then nobody's. */
export function startEstimating(): void {
  useEditor.subscribe((state, before) => {
    if (state.document !== before.document)
      useEstimate.setState({ estimate: null, of: null, asking: false, error: "" });
  });
}

/** The shape that a port gives, where it was found out for the document as it is. */
export function shapeOf(state: Estimating, nodes: Doc["nodes"], source: Source | null): string {
  if (!source || source.inner || state.of !== nodes) return "";
  return state.estimate?.nodes[source.node]?.gives[joined(source.port, source.name)] ?? "";
}
