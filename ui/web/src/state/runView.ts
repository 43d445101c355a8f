/** What a run's events say about each node, as the canvas shows it. */
import { halves, type Id } from "../document/document";
import type { Problem, RunEvent, Status } from "../server/types";

export type NodeState = "waiting" | "running" | "cached" | "done" | "failed";

export interface ShownFile {
  readonly path: string;
  readonly media: string;
  readonly turn: number | null;
  readonly time: number;
}

export interface NodeRun {
  readonly state: NodeState | null;
  readonly since: number;
  readonly seconds: number | null;
  readonly done: number;
  readonly total: number;
  /** Turns a second, smoothed. */
  readonly rate: number;
  readonly reported: number;
  readonly message: string;
  readonly traceback: string;
  readonly files: readonly ShownFile[];
  readonly text: string;
  /** What is shown comes from a run before. */
  readonly stale: boolean;
}

export interface Curve {
  readonly turns: readonly number[];
  readonly values: readonly (number | null)[];
}

export interface RunView {
  readonly run: number | null;
  readonly status: Status | null;
  /** What is to be done, and since when, in seconds since 1970; 0 is not yet. */
  readonly planned: readonly Id[];
  readonly began: number;
  readonly nodes: Readonly<Record<Id, NodeRun>>;
  readonly curves: Readonly<Record<Id, Readonly<Record<string, Curve>>>>;
  readonly logs: readonly { readonly message: string; readonly node: string; readonly level: string }[];
  readonly problems: readonly Problem[];
  /** What lies on the device, as was last told; null where the run has none of its own. */
  readonly placed: Extract<RunEvent, { event: "placed" }> | null;
}

export const IDLE: NodeRun = {
  state: null,
  since: 0,
  seconds: null,
  done: 0,
  total: 0,
  rate: 0,
  reported: 0,
  message: "",
  traceback: "",
  files: [],
  text: "",
  stale: false,
};

export const NO_RUN: RunView = {
  run: null,
  status: null,
  planned: [],
  began: 0,
  nodes: {},
  curves: {},
  logs: [],
  problems: [],
  placed: null,
};

/** A view of a run that begins: pictures and curves of the run before stay until there are new ones. */
export function beginView(run: number, before: RunView): RunView {
  const kept = Object.entries(before.nodes).filter(([, node]) => node.files.length > 0 || node.text);
  const nodes = kept.map(([id, { files, text }]) => [id, { ...IDLE, files, text, stale: true }]);
  return {
    ...NO_RUN,
    run,
    status: "queued",
    nodes: Object.fromEntries(nodes) as RunView["nodes"],
    curves: before.curves,
  };
}

/** The view after some more events. */
export function follow(view: RunView, events: readonly RunEvent[]): RunView {
  const draft: Draft = {
    view: { ...view, nodes: { ...view.nodes }, curves: { ...view.curves } },
    fresh: new Set(),
  };
  for (const event of events) apply(draft, event);
  return draft.view;
}

interface Draft {
  view: RunView & { nodes: Record<Id, NodeRun>; curves: Record<Id, Record<string, Curve>> };
  /** Nodes whose curves were copied for this round of events, so that points can be pushed. */
  fresh: Set<string>;
}

function apply({ view, fresh }: Draft, event: RunEvent): void {
  const change = (id: Id, next: Partial<NodeRun>) => {
    view.nodes[id] = { ...(view.nodes[id] ?? IDLE), ...next };
  };
  switch (event.event) {
    case "planned":
      Object.assign(view, { status: "running", planned: event.nodes, began: event.time });
      for (const id of event.nodes) change(id, { state: "waiting" });
      for (const id of event.cached) change(id, { state: "cached" });
      break;
    case "started":
      change(event.node, { state: "running", since: event.time, done: 0, total: 0, rate: 0 });
      break;
    case "progress":
      change(event.node, progressed(view.nodes[event.node] ?? IDLE, event));
      break;
    case "shown": {
      const node = view.nodes[event.node] ?? IDLE;
      const file = { path: event.path, media: event.media, turn: event.turn ?? null, time: event.time };
      if (node.stale) change(event.node, { files: [file], text: "", stale: false });
      else change(event.node, { files: [...node.files, file] });
      break;
    }
    case "metric":
      addPoint(view, fresh, event);
      break;
    case "cached":
      change(event.node, { state: "cached" });
      break;
    case "finished": {
      const total = view.nodes[event.node]?.total ?? 0;
      change(event.node, { state: "done", seconds: event.seconds, done: total });
      break;
    }
    case "failed":
      // What failed before any node began belongs to the run: its summary says so.
      if (event.node)
        change(event.node, { state: "failed", message: event.message, traceback: event.traceback });
      break;
    case "placed":
      Object.assign(view, { placed: event });
      break;
    case "log":
      Object.assign(view, {
        logs: [
          ...view.logs,
          { message: event.message, node: event.node ?? "", level: event.level ?? "info" },
        ].slice(-200),
      });
      break;
    case "value": {
      // A node with several outputs gives a line for each.
      const [id, port] = halves(event.target);
      const before = view.nodes[id] ?? IDLE;
      const line = port ? `${port}: ${event.text}` : event.text;
      if (before.stale) change(id, { files: [], text: line, stale: false });
      else change(id, { text: before.text ? `${before.text}\n${line}` : line });
      break;
    }
    case "refused":
      Object.assign(view, { problems: event.problems });
      break;
    case "ended":
      Object.assign(view, { status: event.status });
      for (const [id, node] of Object.entries(view.nodes)) {
        if (node.state === "running" || node.state === "waiting") change(id, { state: null });
      }
  }
}

function progressed(node: NodeRun, event: Extract<RunEvent, { event: "progress" }>): Partial<NodeRun> {
  const turns = event.done - node.done;
  const span = event.time - node.reported;
  const begins = turns < 0 || node.reported === 0 || node.state !== "running";
  const rate =
    begins || span <= 0 ? node.rate : node.rate === 0 ? turns / span : 0.8 * node.rate + 0.2 * (turns / span);
  return { state: "running", done: event.done, total: event.total, rate, reported: event.time };
}

function addPoint(
  view: Draft["view"],
  fresh: Set<string>,
  event: Extract<RunEvent, { event: "metric" }>,
): void {
  if (!fresh.has(event.node)) {
    fresh.add(event.node);
    view.curves[event.node] = Object.fromEntries(
      Object.entries(view.curves[event.node] ?? {}).map(([name, curve]) => [
        name,
        { turns: [...curve.turns], values: [...curve.values] },
      ]),
    );
  }
  const curves = view.curves[event.node] ?? {};
  for (const [name, value] of Object.entries(event.values)) {
    const curve = (curves[name] ??= { turns: [], values: [] }) as {
      turns: number[];
      values: (number | null)[];
    };
    const turn = event.turn ?? curve.turns.length;
    // A run that goes on from a checkpoint may tell a turn again: what comes later is right.
    while (curve.turns.length > 0 && (curve.turns.at(-1) ?? 0) >= turn) {
      curve.turns.pop();
      curve.values.pop();
    }
    curve.turns.push(turn);
    curve.values.push(value);
  }
}

/** The newest picture that some nodes show, and the curves of the first that has some. */
export function newestIn(
  view: RunView,
  nodes: readonly Id[],
): { picture: string | null; curves: Readonly<Record<string, Curve>> | null } {
  const pictures = nodes.flatMap((id) =>
    (view.nodes[id]?.files ?? []).filter((file) => file.media.startsWith("image/")),
  );
  const newest = pictures.reduce<ShownFile | null>(
    (last, file) => (last && last.time > file.time ? last : file),
    null,
  );
  const curved = nodes.find((id) => id in view.curves);
  return { picture: newest?.path ?? null, curves: view.curves[curved ?? ""] ?? null };
}
