/** What is told of the run's nodes, by the nodes that are drawn where one is: a use stands for all that is inside of it. */
import type { Doc, Id } from "../document/document";
import { locate, shownIn, type Path } from "../document/inside";
import type { Problem, Profile } from "../server/types";
import { activeDocument } from "./documents";
import { select, show, useEditor } from "./editor";
import { frameAll, goTo } from "./flow";
import type { NodeRun, NodeState, RunView } from "./runView";

/** What `make` makes of a thing, made once for each place that one is in. */
function madeHere<T extends object>(
  make: (thing: T, shown: (id: string) => Id | null) => T,
): (thing: T) => T {
  const known = new WeakMap<T, { path: Path; definitions: Doc["definitions"]; made: T }>();
  return (thing) => {
    const { path, doc } = useEditor.getState();
    const before = known.get(thing);
    if (before?.path === path && before.definitions === doc.definitions) return before.made;
    const whole = activeDocument().history.present;
    const plain = path.length === 0 && Object.keys(doc.definitions).length === 0;
    const made = plain ? thing : make(thing, (id) => shownIn(whole, path, id));
    known.set(thing, { path, definitions: doc.definitions, made });
    return made;
  };
}

/** A record by the nodes that are drawn here. */
function gathered<T>(
  record: Readonly<Record<string, T>>,
  shown: (id: string) => Id | null,
  join: (all: readonly T[]) => T,
): Record<Id, T> {
  const groups = new Map<Id, T[]>();
  for (const [id, value] of Object.entries(record)) {
    const here = shown(id);
    if (here === null) continue;
    const group = groups.get(here);
    if (group) group.push(value);
    else groups.set(here, [value]);
  }
  return Object.fromEntries(
    [...groups].map(([id, all]) => [id, all.length === 1 && all[0] ? all[0] : join(all)]),
  );
}

/** The run that is shown, as it is seen here. */
export const seenRun = madeHere<RunView>((view, shown) => ({
  ...view,
  nodes: gathered(view.nodes, shown, together),
  curves: gathered(view.curves, shown, (all) => Object.assign({}, ...all) as RunView["curves"][Id]),
  logs: view.logs.map((log) => ({ ...log, node: log.node && (shown(log.node) ?? "") })),
}));

/** The profile of a run, as it is seen here. */
export const seenProfile = madeHere<Profile>((profile, shown) => ({
  ...profile,
  nodes: gathered(profile.nodes, shown, (all) => ({
    ...(all[0] as Profile["nodes"][string]),
    calls: Math.max(...all.map((node) => node.calls)),
    seconds: sum(all.map((node) => node.own_seconds)),
    own_seconds: sum(all.map((node) => node.own_seconds)),
    memory: Math.max(...all.map((node) => node.memory)),
  })),
}));

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

/** Several nodes as one: what is worse or goes on comes first. */
export function together(all: readonly NodeRun[]): NodeRun {
  const states = new Set(all.map((node) => node.state));
  const [first] = all;
  const going = all.find((node) => node.state === "running");
  const failed = all.find((node) => node.state === "failed");
  const lead = failed ?? going ?? first;
  if (!lead) throw new Error("no nodes");
  const times = all.flatMap((node) => (node.seconds === null ? [] : [node.seconds]));
  return {
    ...lead,
    state: stateOf(states),
    since: Math.min(...all.map((node) => node.since || Infinity)),
    seconds: times.length > 0 ? sum(times) : null,
    files: all.flatMap((node) => node.files).sort((a, b) => a.time - b.time),
    text: all
      .map((node) => node.text)
      .filter(Boolean)
      .join("\n"),
    stale: all.every((node) => node.stale),
  };
}

function stateOf(states: ReadonlySet<NodeState | null>): NodeState | null {
  const has = (...some: NodeState[]) => some.some((state) => states.has(state));
  if (has("failed")) return "failed";
  if (has("running")) return "running";
  if (has("waiting")) return has("done", "cached") ? "running" : "waiting";
  if (has("done")) return "done";
  return has("cached") ? "cached" : null;
}

/** Problems by the nodes that are drawn here; what is wrong in a definition is told once, for all its uses. */
export function grouped(problems: readonly Problem[]): Map<Id, Problem[]> {
  const { path } = useEditor.getState();
  const whole = activeDocument().history.present;
  const byNode = new Map<Id, Problem[]>();
  for (const problem of problems) {
    const id =
      problem.node === "" ? (path.length === 0 ? "" : null) : shownIn(whole, path, problem.node, true);
    if (id !== null) byNode.set(id, [...(byNode.get(id) ?? []), problem]);
  }
  return byNode;
}

/** Whether a node of the run is drawn somewhere in the document that is shown. */
export function isThere(id: string): boolean {
  const whole = activeDocument().history.present;
  const { path, node } = locate(whole, id);
  return path.length > 0 || node in whole.nodes;
}

/** Show a node of the run, in the definition that it is in. */
export function reveal(id: string): void {
  const { path, node } = locate(activeDocument().history.present, id);
  const here = useEditor.getState().path;
  const same = path.length === here.length && path.every((step, i) => step.use === here[i]?.use);
  if (same) {
    goTo(node);
    return;
  }
  show(path);
  select([node]);
  setTimeout(() => (node in useEditor.getState().cards ? goTo(node) : frameAll()), 120); // once its sheet is drawn
}
