/**
 * References: how a wire in the file names the port it comes from, `node`, `node.port` or `node.port.name`, and the
 * same port as the canvas names it, a node and a handle (`out:port.name` outside, `in:port.name` on a zone's rail).
 */
import type { Catalog, NodeSpec, Port } from "../server/types";
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

/** The shortest reference that names a source. */
export function refTo(spec: NodeSpec | undefined, source: Source): Ref {
  const ports = spec ? sourcePorts(spec, source.inner) : [];
  const only = !source.inner && ports.length === 1 && !source.name;
  return only ? source.node : joined(source.node, source.port, source.name);
}

export type SpecOf = (type: string) => NodeSpec | undefined;

/** Specifications by type: the installed nodes, and the document's definitions, which are nodes too. */
export function specsOf(catalog: Catalog, doc: Doc): SpecOf {
  const own = new Map(
    Object.entries(doc.definitions).map(([name, value]) => [name, definitionSpec(name, value)]),
  );
  const former = new Map(
    Object.values(catalog.nodes).flatMap((spec) => spec.formerly.map((name) => [name, spec])),
  );
  return (type) =>
    own.get(type) ?? (Object.hasOwn(catalog.nodes, type) ? catalog.nodes[type] : former.get(type));
}

function definitionSpec(name: string, value: unknown): NodeSpec {
  const definition = value as {
    about?: string;
    inputs?: string[];
    body?: { ports?: string[]; results?: string[] };
    results?: Record<string, unknown>;
  };
  const port = (portName: string): Port => ({ ...ANY, name: portName });
  return {
    type: name,
    category: "this workflow",
    version: 1,
    summary: definition.about ?? "",
    documentation: definition.about ?? "",
    inputs: (definition.inputs ?? []).map(port),
    outputs: Object.keys(definition.results ?? {}).map(port),
    body: definition.body
      ? {
          ports: (definition.body.ports ?? []).map(port),
          results: (definition.body.results ?? []).map((result) => ({ ...port(result), required: true })),
        }
      : null,
    effect: false,
    loops: false,
    aside: false,
    draws: false,
    keep: false,
    trains: false,
    mutates: [],
    grad: [],
    formerly: [],
  };
}
