/** The server's types, under the names that the page uses. */
import type { EventsAdded, operations, Run } from "../../generated/server";

export type {
  About,
  Catalog,
  ClientMessage,
  Discarded,
  DescribedNode as NodeSpec,
  DescribedPort as Port,
  DescribedWire as WireType,
  Document,
  Estimate,
  FileEntry,
  Memory,
  Folder,
  ModelFile,
  FoundPicture,
  NodeProfile,
  Output,
  Plot,
  PlotSeries,
  Plugin,
  Problem,
  Profile,
  Queue,
  Refusal,
  Run,
  RunDetail,
  Series,
  ServerMessage,
  Template,
  Usage,
  Worker,
  WorkflowEntry,
} from "../../generated/server";

type Json<T> = T extends { content: { "application/json": infer J } } ? J : never;

/** Every call, by the operation of its POST: its arguments and its answer. */
export type Calls = {
  [N in keyof operations as [Json<NonNullable<operations[N]["requestBody"]>>] extends [never] ? never : N]: {
    arguments: Json<NonNullable<operations[N]["requestBody"]>>;
    answer: Json<operations[N]["responses"][200]>;
  };
};

/** An event of a run's stream; `event` is its kind. */
export type RunEvent = EventsAdded["events"][number];
export type Status = Run["status"];
export type JsonSchema = Readonly<Record<string, unknown>>;
