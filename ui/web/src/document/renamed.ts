/** A document that names nodes and ports as they were called formerly, under the names of today, as the server does with files. */
import type { Port } from "../server/types";
import {
  bending,
  enclosing,
  halves,
  joined,
  mapRefs,
  mapValues,
  wiresOf,
  type Doc,
  type DocNode,
  type Id,
  type Ref,
  type Wired,
} from "./document";
import { sourcePorts, type SpecOf } from "./references";

const RESULTS = "results.";

/** The document by present names; what lies in its definitions stays as it is, and the engine renames it. */
export function underCurrentNames(doc: Doc, specs: SpecOf): Doc {
  const specOf = (id: Id) => specs(doc.nodes[id]?.type ?? "");

  // What a wire names: an output, or inside of a zone one of its inner ports.
  const reference = (ref: Ref, scope: Id | null): Ref => {
    const [id, port] = halves(ref);
    const spec = specOf(id);
    if (!spec || port === "") return ref;
    const ports = sourcePorts(spec, enclosing(doc, scope).includes(id));
    return joined(id, present(ports, port));
  };
  const wired = <W extends Wired>(value: W, scope: Id | null): W =>
    (mapRefs(value, (ref) => reference(ref, scope)) ?? value) as W; // what holds no wires stays so

  // `node.input`, `node.input.name` or `node.results.result`.
  const parameter = (address: string): string => {
    const [id, rest] = halves(address);
    const spec = specOf(id);
    if (!spec || rest === "") return address;
    return rest.startsWith(RESULTS)
      ? `${id}.${RESULTS}${present(spec.body?.results ?? [], rest.slice(RESULTS.length))}`
      : `${id}.${present(spec.inputs, rest)}`;
  };

  const renamed = (node: DocNode): DocNode => {
    const spec = specOf(node.id);
    const input = (name: string) => present(spec?.inputs ?? [], name);
    const result = (name: string) => present(spec?.body?.results ?? [], name);
    return {
      ...node,
      type: spec?.type ?? node.type,
      params: mapped(node.params, input, (value) => value),
      wires: mapped(node.wires, input, (value) => wired(value, node.zone)),
      results: node.results && mapped(node.results, result, (value) => wired(value, node.id)),
    };
  };
  return {
    ...doc,
    nodes: mapValues(doc.nodes, renamed),
    exposed: {
      params: mapValues(doc.exposed.params, parameter),
      outputs: mapValues(doc.exposed.outputs, (ref) => reference(ref, null)),
    },
    places: mapValues(doc.places, (place) => bending(place, wiresOf(place).map(parameter)) ?? place),
  };
}

/** An address among these ports, `port` or `port.name`, by the port's present name. */
function present(ports: readonly Port[], address: string): string {
  const [head, name] = halves(address);
  const port = ports.find((candidate) => candidate.formerly.includes(head));
  return joined(port?.name ?? head, name);
}

function mapped<V>(
  record: Readonly<Record<string, V>>,
  key: (name: string) => string,
  value: (value: V) => V,
): Record<string, V> {
  return Object.fromEntries(Object.entries(record).map(([name, each]) => [key(name), value(each)]));
}
