/** The server's types, under the names that the page uses. */
export type {
  About,
  Calls,
  Catalog,
  Document,
  Estimate,
  FileEntry,
  NodeSpec,
  Output,
  PortSpec as Port,
  Problem,
  Queue,
  Refusal,
  Run,
  RunDetail,
  RunEvent,
  Series,
  ServerMessage,
  WireType,
  WorkerState as Worker,
  WorkflowEntry,
} from "../generated";
import type { Run } from "../generated";

export type Status = Run["status"];
export type JsonSchema = Readonly<Record<string, unknown>>;
