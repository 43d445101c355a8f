/**
 * References: how a wire in the file names the port it comes from, `node`, `node.port` or `node.port.name`, and the
 * same port as the canvas names it, a node and a handle (`out:port.name` outside, `in:port.name` on a zone's rail).
 */
import type { NodeSpec, Port } from "../server/types";
import { enclosing, halves, joined, type Doc, type Id, type Ref } from "./document";

/** A port that nothing is known of. */
export const ANY: Port = {
  name: "",
  type: "any",
  list: 0,
  either: false,
  variable: false,
  bound: "",
  named: false,
  required: false,
  shape: "",
  help: "",
  formerly: [],
};

export interface Source {
  readonly node: Id;
  /** Whether it is an inner port of the zone `node`, read by what is drawn inside. */
  readonly inner: boolean;
  readonly port: string;
  readonly name: string;
}

export const sourceHandle = (source: Source): string =>
  `${source.inner ? "inner" : "out"}:${joined(source.port, source.name)}`;

/** Equal for equal sources, however they are referred to. */
export const sourceKey = (source: Source): string => `${source.node} ${sourceHandle(source)}`;

export function sourceOf(node: Id, handle: string): Source {
  const [side = "", rest = ""] = handle.split(":");
  const [port, name] = halves(rest);
  return { node, inner: side === "inner", port, name };
}

/** The ports a reference to a node may name: a zone's inner ones for what is inside of it. */
export function sourcePorts(spec: NodeSpec, inner: boolean): readonly Port[] {
  return inner ? (spec.body?.ports ?? []) : spec.outputs;
}

/** What a reference, read in `scope` (a zone's body, or the top), stands for; null where it names nothing there. */
export function resolve(doc: Doc, specs: SpecOf, ref: Ref, scope: Id | null): Source | null {
  const [node, rest] = halves(ref);
  const scopes = enclosing(doc, scope);
  const inner = scopes.includes(node);
  const found = doc.nodes[node];
  if (!found || (!inner && !scopes.includes(found.zone))) return null;
  const spec = specs(found.type);
  const [head, name] = halves(rest);
  if (!spec) return { node, inner, port: head, name };
  const ports = sourcePorts(spec, inner);
  const only = ports[0];
  if (rest === "")
    return only && ports.length === 1 && !only.named ? { node, inner, port: only.name, name: "" } : null;
  if (name === "" && ports.some((port) => port.name === "" && port.named))
    return { node, inner, port: "", name: head };
  const port = ports.find((candidate) => candidate.name === head);
  return port && port.named === (name !== "") ? { node, inner, port: head, name } : null;
}

/** A source as its node's ports have it: where a port without a name has named wires, a handle tells only theirs. */
export const asNamed = (ports: readonly Port[], source: Source): Source =>
  !source.name &&
  ports.some((port) => port.name === "" && port.named) &&
  !ports.some((port) => port.name === source.port)
    ? { ...source, port: "", name: source.port }
    : source;

/** The shortest reference that names a source. */
export function refTo(spec: NodeSpec | undefined, source: Source): Ref {
  const ports = spec ? sourcePorts(spec, source.inner) : [];
  const { node, inner, port, name } = asNamed(ports, source);
  const only = !inner && ports.length === 1 && !name;
  return only ? node : joined(node, port, name);
}

export type SpecOf = (type: string) => NodeSpec | undefined;
