// Made by `python -m ui.types` from the Python models. Do not edit.

/** The server: `boot` is another one after each start. notice: what people must be told of this start; "" is nothing. */
export interface About {
  version: string;
  workspace: string;
  boot: string;
  dtype: string;
  workers: WorkerState[];
  limits: Limits;
  notice: string;
  login: boolean;
}

/** Every node by type and every wire type by name. */
export interface Catalog {
  nodes: Record<string, NodeSpec>;
  types: Record<string, WireType>;
}

/** A workflow: its canonical text, the same as an object, and the etag of the file it was read from. */
export interface Document {
  path: string;
  text: string;
  workflow: Workflow;
  etag: string;
  shipped: boolean;
}

/** What a run will do, found without computing anything. memory: bytes of tensors at once, at most, in `memory_at`. */
export interface Estimate {
  problems: Problem[];
  nodes: Record<string, NodeEstimate>;
  flops: number;
  memory: number;
  memory_at: string;
}

/** What the app view and `--set NAME=` show: parameters and outputs under names of their own. */
export interface Exposed {
  params?: Record<string, string>;
  outputs?: Record<string, string>;
}

/** A file or folder of the workspace; `path` is relative to it. */
export interface FileEntry {
  path: string;
  name: string;
  kind: "file" | "folder";
  media: string;
  size: number;
  modified: number;
  url: string;
}

/** What each use of a definition has inside: the inner ports that its body reads, and the results that it gives. */
export interface Inside {
  ports?: string[];
  results?: string[];
}

/** What the server takes, in bytes. */
export interface Limits {
  workflow: number;
  picture: number;
  upload: number;
}

/** What a node will do: the shapes of what it gives, floating-point operations over all turns, how often it runs. */
export interface NodeEstimate {
  type: string;
  gives: Record<string, string>;
  flops: number;
  parameters: number;
  runs: number;
  open: string;
}

/** A node's specification (`graph_runner.catalog.describe`): all that is needed to draw it. */
export interface NodeSpec {
  type: string;
  category: string;
  version: number;
  summary: string;
  documentation: string;
  inputs: PortSpec[];
  outputs: PortSpec[];
  body: ZoneSpec | null;
  effect: boolean;
  loops: boolean;
  aside: boolean;
  draws: boolean;
  keep: boolean;
  trains: boolean;
  mutates: string[];
  grad: string[];
  formerly: string[];
}

/** A file that a run showed; `n` is the number of the event that told so. */
export interface Output {
  n: number;
  node: string;
  path: string;
  url: string;
  media: string;
  preview: boolean;
  turn: number | null;
  size: number;
}

/** Where something is drawn: a node, or a frame, note or reroute that only the drawing knows. */
export interface Place {
  at: [number, number];
  size?: [number, number] | null;
  kind?: "node" | "frame" | "note" | "reroute";
  collapsed?: boolean;
  colour?: string | null;
  text?: string | null;
  wire?: string | null;
}

/** A type of plain Python, so many lists deep. */
export interface PlainType {
  type: string;
  list: number;
}

/** A port of a node; an input that may be typed in has a JSON Schema. */
export interface PortSpec {
  name: string;
  type: string;
  list: number;
  either: boolean;
  variable: boolean;
  bound: string;
  named: boolean;
  required: boolean;
  shape: string;
  help: string;
  schema?: Record<string, unknown>;
  default?: unknown;
  path?: "file" | "folder" | "file or folder";
}

/** One thing to mend in a workflow (`graph_runner.base.problems.Problem`). */
export interface Problem {
  node: string;
  port: string;
  message: string;
  remedy: string;
  severity: "error" | "warning";
}

/** What runs and what waits, first the next. */
export interface Queue {
  running: Run[];
  queued: Run[];
  workers: WorkerState[];
}

/** The body of every answer that is an error: a sentence, and for a wrong workflow its problems. */
export interface Refusal {
  error: string;
  problems?: Problem[];
}

/** A run's summary. Times are seconds since 1970; `position` 1 is next in the queue, 0 is not waiting. */
export interface Run {
  run: number;
  title: string;
  status: "queued" | "running" | "stopping" | "done" | "failed" | "stopped" | "interrupted";
  device: string;
  seed: number;
  targets: string[];
  created: number;
  started: number | null;
  ended: number | null;
  folder: string;
  error: string;
  node: string;
  events: number;
  position: number;
}

/** A run with what it ran. */
export interface RunDetail {
  run: number;
  title: string;
  status: "queued" | "running" | "stopping" | "done" | "failed" | "stopped" | "interrupted";
  device: string;
  seed: number;
  targets: string[];
  created: number;
  started: number | null;
  ended: number | null;
  folder: string;
  error: string;
  node: string;
  events: number;
  position: number;
  text: string;
  workflow: Workflow;
  environment: Record<string, unknown>;
  problems: Problem[];
}

/** One metric of one node along the turns. */
export interface Series {
  node: string;
  name: string;
  turns: number[];
  values: (number | null)[];
}

/** The type of a port once type variables are solved. */
export interface Solved {
  type: string;
  list: number;
}

/** What is wrong with a workflow, and the types on its wires; keys as a wire would name the port. */
export interface Validation {
  problems: Problem[];
  types: Record<string, Solved>;
}

/** A type of wires: its symbolic shape, the types that its ports take besides, and what the engine's rules know of it. */
export interface WireType {
  shape: string;
  accepts: string[];
  about: string;
  nominal: boolean;
  plain: PlainType | null;
  within: string[];
  storable: boolean;
}

/** The process that runs graphs on one device. */
export interface WorkerState {
  device: string;
  name: string;
  state: "starting" | "idle" | "busy" | "down";
  run: number | null;
  pid: number | null;
}

/** A whole workflow file. */
export interface Workflow {
  loom?: 1;
  title?: string;
  about?: string;
  exposed?: Exposed;
  definitions?: Record<string, WorkflowDefinition>;
  nodes?: Record<string, WorkflowNode>;
  layout?: Record<string, Place>;
}

/** The nodes drawn inside a zone, and which of their ports are the body's results. */
export interface WorkflowBody {
  nodes?: Record<string, WorkflowNode>;
  results?: Record<string, string | string[]>;
}

/** A named graph used as a node, any number of times: its inputs are read inside as `inputs.NAME`. */
export interface WorkflowDefinition {
  about?: string;
  inputs?: string[];
  body?: Inside | null;
  nodes: Record<string, WorkflowNode>;
  results: Record<string, string | string[]>;
}

/** A workflow in the list; `problem` says why it cannot be opened, where it cannot. */
export interface WorkflowEntry {
  path: string;
  name: string;
  title: string;
  about: string;
  shipped: boolean;
  modified: number;
  thumbnail: string | null;
  app: string;
  problem: string;
}

/** One node: its type, literal params, wires into its ports, and the body where it is a zone. */
export interface WorkflowNode {
  type: string;
  mode?: "run" | "mute" | "bypass";
  params?: Record<string, unknown>;
  wires?: Record<string, string | string[] | Record<string, string>>;
  body?: WorkflowBody | null;
}

/** The inside of a zone: the ports its nodes read, and the results they give. */
export interface ZoneSpec {
  ports: PortSpec[];
  results: PortSpec[];
}

/** The run begins: these nodes will be computed, those are taken from the cache. */
export interface PlannedEvent {
  event: "planned";
  n: number;
  time: number;
  run: string;
  nodes: string[];
  cached: string[];
}

/** A node begins. */
export interface StartedEvent {
  event: "started";
  n: number;
  time: number;
  node: string;
}

/** A node has done `done` of `total` turns (of the loop `path` turns deep in others). */
export interface ProgressEvent {
  event: "progress";
  n: number;
  time: number;
  node: string;
  done: number;
  total: number;
  path?: number[];
}

/** A node wrote a file, at `path` relative to the workspace. */
export interface ShownEvent {
  event: "shown";
  n: number;
  time: number;
  node: string;
  path: string;
  media: string;
  preview: boolean;
  turn?: number;
}

/** Numbers of one turn. */
export interface MetricEvent {
  event: "metric";
  n: number;
  time: number;
  node: string;
  values: Record<string, number | null>;
  turn?: number;
}

/** A node's value came from the cache. */
export interface CachedEvent {
  event: "cached";
  n: number;
  time: number;
  node: string;
}

/** A node is done. */
export interface FinishedEvent {
  event: "finished";
  n: number;
  time: number;
  node: string;
  seconds: number;
}

/** A node could not do its work: a sentence for people, the traceback for engineers. */
export interface FailedEvent {
  event: "failed";
  n: number;
  time: number;
  node: string;
  message: string;
  traceback: string;
}

/** A sentence worth telling. */
export interface LogEvent {
  event: "log";
  n: number;
  time: number;
  message: string;
  node?: string;
  level?: string;
}

/** What a target of the run is: a number or a text as it is, a tensor summarised. */
export interface ValueEvent {
  event: "value";
  n: number;
  time: number;
  target: string;
  text: string;
}

/** The workflow was found wrong only when the run began (an absent file): nothing was computed. */
export interface RefusedEvent {
  event: "refused";
  n: number;
  time: number;
  problems: Problem[];
}

/** The run is over: "done", "failed" or "stopped". */
export interface EndedEvent {
  event: "ended";
  n: number;
  time: number;
  status: "done" | "failed" | "stopped" | "interrupted";
  seconds: number;
}

/** An event of a run's stream; `event` is its kind. */
export type RunEvent =
  | PlannedEvent
  | StartedEvent
  | ProgressEvent
  | ShownEvent
  | MetricEvent
  | CachedEvent
  | FinishedEvent
  | FailedEvent
  | LogEvent
  | ValueEvent
  | RefusedEvent
  | EndedEvent;

/** Every call: its arguments and its answer. */
export interface Calls {
  /** The server: version, workspace, workers, limits. */
  about: { arguments: Record<string, never>; answer: About };
  /** Every node's specification and every wire type. */
  nodes: { arguments: Record<string, never>; answer: Catalog };
  /** All that is wrong with a workflow, as the command line says it, and the types on its wires. */
  validate: { arguments: { workflow: Workflow | string; }; answer: Validation };
  /** What a run would do: shapes, operations, memory, shapes that do not fit. Takes seconds; computes nothing. */
  estimate: { arguments: { workflow: Workflow | string; }; answer: Estimate };
  /** A workflow's canonical text. */
  canonical: { arguments: { workflow: Workflow | string; }; answer: Document };
  /** Queue a run of all that has an effect, and of `targets`. Refused with every problem where the workflow is wrong. */
  submit: { arguments: { workflow: Workflow | string; targets?: string[]; only?: boolean; seed?: number; fresh?: boolean; device?: string; check_numbers?: boolean; }; answer: Run };
  /** Stop a run at the end of its turn (force: at once), or take it out of the queue. */
  cancel: { arguments: { run: number; force?: boolean; }; answer: Run };
  /** What runs, what waits, and the workers. */
  queue: { arguments: Record<string, never>; answer: Queue };
  /** Runs, newest first, those that the command line made in this workspace among them. */
  history: { arguments: { limit?: number; before?: number; }; answer: Run[] };
  /** A run with what it ran and in which surroundings. */
  run: { arguments: { run: number; }; answer: RunDetail };
  /** A run's events with numbers above `after`: `limit` of them, or fewer where they are large, but one at least. */
  events: { arguments: { run: number; after?: number; limit?: number; }; answer: RunEvent[] };
  /** The files a run showed, oldest first, as far as they are still there. */
  outputs: { arguments: { run: number; }; answer: Output[] };
  /** A run's metrics along its turns, thinned. */
  metrics: { arguments: { run: number; points?: number; }; answer: Series[] };
  /** Forget a run that is over, and delete its folder. */
  remove: { arguments: { run: number; }; answer: boolean };
  /** Every workflow, shipped ones first. */
  workflows: { arguments: Record<string, never>; answer: WorkflowEntry[] };
  /** A workflow from a file or from a picture. */
  open: { arguments: { path: string; }; answer: Document };
  /** The etags of workflow files as they are now, by their paths; empty where there is none. */
  stamps: { arguments: { paths: string[]; }; answer: Record<string, string> };
  /** Write a workflow, in its canonical form, below `workflows/`. */
  save: { arguments: { path: string; workflow: Workflow | string; etag?: string; overwrite?: boolean; }; answer: Document };
  /** Delete a user's workflow file. */
  discard: { arguments: { path: string; }; answer: boolean };
  /** What a folder of the workspace holds. */
  files: { arguments: { folder?: string; }; answer: FileEntry[] };
}

/** What the server says over the WebSocket. */
export type ServerMessage =
  | { hello: About; queue: Queue }
  | { runs: Run[] }
  | { removed: number[] }
  | { workers: WorkerState[] }
  | { run: number; events: RunEvent[] }
  | { caught_up: number; n: number }
  | { workflows: true }
  | { error: string };

/** What the page says. */
export type ClientMessage =
  | { subscribe: number; after?: number; brief?: boolean; metrics?: boolean }
  | { unsubscribe: number };
