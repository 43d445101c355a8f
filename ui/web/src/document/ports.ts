/**
 * The ports of a definition: its inputs and results, and where its uses have a body of their own, the ports of that.
 * A change here is one of the whole workflow, for every use of the definition follows.
 */
import { CALL, definitionNamed, INPUTS, type Definition } from "./definitions";
import {
  freshId,
  halves,
  joined,
  rewired,
  type Doc,
  type DocNode,
  type Id,
  type Ref,
  type Wired,
} from "./document";
import { changeNode, without } from "./edits";
import { changeInside, enter, everywhere, GIVES, NEW, readers, scopesOf, takesOf, TAKES } from "./inside";
import type { Json } from "./json";
import { renamedKey, usesOf } from "./uses";

/** Which ports of a definition: `ports` and `given` are those of its uses' bodies, what goes in and what comes back. */
export type Side = "inputs" | "results" | "ports" | "given";

export function portsOf(definition: Definition, side: Side): readonly string[] {
  switch (side) {
    case "inputs":
      return definition.inputs ?? [];
    case "results":
      return Object.keys(definition.results ?? {});
    case "ports":
      return definition.body?.ports ?? [];
    case "given":
      return definition.body?.results ?? [];
  }
}

/** A document with the definition itself said otherwise; its nodes stay. */
function say<D extends Doc>(doc: D, name: string, change: (definition: Definition) => Definition): D {
  const definition = definitionNamed(doc, name);
  if (!definition) return doc;
  return { ...doc, definitions: { ...doc.definitions, [name]: change(definition) as unknown as Json } };
}

const listed = (definition: Definition, side: Side, names: readonly string[]): Definition => {
  switch (side) {
    case "inputs":
      return { ...definition, inputs: names };
    case "results": {
      const all = definition.results ?? {};
      return {
        ...definition,
        results: Object.fromEntries(names.flatMap((key) => (key in all ? [[key, all[key] ?? ""]] : []))),
      };
    }
    case "ports":
      return { ...definition, body: { ...definition.body, ports: names } };
    case "given":
      return { ...definition, body: { ...definition.body, results: names } };
  }
};

/** Add an input to the definition that a document is the inside of. */
export function addInput<D extends Doc>(inner: D, wanted: string): { doc: D; name: string } {
  const definition = definitionNamed(inner, inner.within ?? "");
  const known = definition?.inputs ?? [];
  const name = freshId((own) => known.includes(own), wanted);
  return { doc: say(inner, inner.within ?? "", (own) => listed(own, "inputs", [...known, name])), name };
}

/** A new port for a wire that is drawn from, or to, the last port of the rim: the wire's ends, and what is around now. */
export function opened<D extends Doc>(
  doc: D,
  from: { node: Id; port: string },
  to: { node: Id; handle: string },
  names: { source: string; target: string },
): { doc: D; port: string; handle: string } {
  let next = doc;
  let { port } = from;
  let { handle } = to;
  if (port === NEW && doc.nodes[from.node]?.type === GIVES)
    ({ doc: next, name: port } = addInput(next, names.target));
  if (handle === NEW && doc.nodes[to.node]?.type === TAKES) {
    const known = next.nodes[to.node]?.wires ?? {};
    handle = freshId((own) => own in known, names.source);
  }
  return { doc: next, port, handle };
}

/** Add a port that nothing is wired to yet. A result is what a wire brings: it is added by drawing one. */
export function addPort<D extends Doc>(
  whole: D,
  name: string,
  side: Exclude<Side, "results">,
  wanted: string,
): D {
  return say(whole, name, (definition) => {
    const known = portsOf(definition, side);
    return listed(definition, side, [...known, freshId((own) => known.includes(own), wanted)]);
  });
}

/** Put a port before the one above it (-1) or behind the one below (1). */
export function movePort<D extends Doc>(whole: D, name: string, side: Side, port: string, by: -1 | 1): D {
  const definition = definitionNamed(whole, name);
  const names = [...(definition ? portsOf(definition, side) : [])];
  const at = names.indexOf(port);
  const other = names[at + by];
  if (at < 0 || other === undefined) return whole;
  [names[at], names[at + by]] = [other, port];
  return say(whole, name, (own) => listed(own, side, names));
}

/** Call a port otherwise, in the definition and in every use of it. */
export function renamePortOf<D extends Doc>(
  whole: D,
  name: string,
  side: Side,
  port: string,
  wanted: string,
): D {
  const definition = definitionNamed(whole, name);
  if (!definition || wanted === port || !portsOf(definition, side).includes(port)) return whole;
  const names = portsOf(definition, side);
  const to = freshId((own) => own !== port && names.includes(own), wanted);
  const read = (own: string) => (own === port ? to : own);
  const uses = (change: (node: DocNode) => DocNode) => (all: D) =>
    everywhere(all, (node) => (node.type === name ? change(node) : node));
  const declared = (all: D) => say(all, name, (own) => listed(own, side, names.map(read)));
  switch (side) {
    case "inputs": {
      const renamed = changeInside(declared(whole), name, (inner) =>
        rewiredAll(inner, (ref) => (ref === `${INPUTS}.${port}` ? `${INPUTS}.${to}` : ref)),
      );
      return uses((node) => ({
        ...node,
        wires: renamedKey(node.wires, port, to),
        params: renamedKey(node.params, port, to),
      }))(exposedFollow(renamed, name, port, to));
    }
    case "results":
      return readers(
        say(whole, name, (own) => ({ ...own, results: renamedKey(own.results ?? {}, port, to) })),
        name,
        read,
      );
    case "ports": {
      const called = changeInside(declared(whole), name, (inner) =>
        eachNode(inner, (node) =>
          node.type === CALL ? { ...node, wires: renamedKey(node.wires, port, to) } : node,
        ),
      );
      return everywhere(called, (node, graph) =>
        rewired(node, (ref) => insideOf(graph, node, name, ref, read)),
      );
    }
    case "given": {
      const called = changeInside(declared(whole), name, (inner) =>
        rewiredAll(inner, (ref) => {
          const [head, rest] = halves(ref);
          return inner.nodes[head]?.type === CALL ? joined(head, read(rest)) : ref;
        }),
      );
      return uses((node) => ({ ...node, results: node.results && renamedKey(node.results, port, to) }))(
        called,
      );
    }
  }
}

/** A reference that names an inner port of a use around a node, with the port called otherwise. */
function insideOf(graph: Doc, node: DocNode, name: string, ref: Ref, read: (port: string) => string): Ref {
  const [head, rest] = halves(ref);
  const isInner = graph.nodes[head]?.type === name && scopesOf(graph, node).includes(head);
  return isInner ? joined(head, read(rest)) : ref;
}

const eachNode = (doc: Doc, change: (node: DocNode) => DocNode): Doc => ({
  ...doc,
  nodes: Object.fromEntries(Object.entries(doc.nodes).map(([id, node]) => [id, change(node)])),
});
const rewiredAll = (doc: Doc, change: (ref: Ref) => Wired | undefined): Doc =>
  eachNode(doc, (node) => rewired(node, change));

/** Exposed parameters of the uses at the sheet, by the input's other name; undefined takes them out. */
function exposedFollow<D extends Doc>(whole: D, name: string, port: string, to: string | undefined): D {
  const params = Object.entries(whole.exposed.params).flatMap(([key, ref]): [string, Ref][] => {
    const [head, rest] = halves(ref);
    if (whole.nodes[head]?.type !== name || rest !== port) return [[key, ref]];
    return to === undefined ? [] : [[key, joined(head, to)]];
  });
  return { ...whole, exposed: { ...whole.exposed, params: Object.fromEntries(params) } };
}

/** Take a port away. An input's value, where a use has one, is typed in inside: `kept` names the use whose it is. */
export function removePort<D extends Doc>(whole: D, name: string, side: Side, port: string, kept?: Id): D {
  const definition = definitionNamed(whole, name);
  if (!definition || !portsOf(definition, side).includes(port)) return whole;
  const left = portsOf(definition, side).filter((own) => own !== port);
  const declared = (all: D) => say(all, name, (own) => listed(own, side, left));
  const uses = (all: D, change: (node: DocNode) => DocNode) =>
    everywhere(all, (node) => (node.type === name ? change(node) : node));
  switch (side) {
    case "inputs": {
      const value = valueOf(whole, name, port, kept);
      const ref = `${INPUTS}.${port}`;
      const inner = changeInside(whole, name, (doc) =>
        eachNode(doc, (node) => {
          const read = Object.entries(node.wires).filter(([, wired]) => wired === ref);
          const cut = rewired(node, (own) => (own === ref ? undefined : own));
          if (value === undefined || read.length === 0 || node.type === TAKES) return cut;
          return {
            ...cut,
            params: { ...cut.params, ...Object.fromEntries(read.map(([input]) => [input, value])) },
          };
        }),
      );
      const cut = uses(declared(inner), (node) => ({
        ...node,
        wires: without(node.wires, port),
        params: without(node.params, port),
      }));
      return exposedFollow(cut, name, port, undefined);
    }
    case "results": {
      const gone = readersCut(whole, name, port);
      return changeInside(gone, name, (inner) => {
        const out = takesOf(inner);
        return out ? changeNode(inner, out.id, { wires: without(out.wires, port) }) : inner;
      });
    }
    case "ports": {
      const called = changeInside(declared(whole), name, (inner) =>
        eachNode(inner, (node) =>
          node.type === CALL ? { ...node, wires: without(node.wires, port) } : node,
        ),
      );
      return everywhere(called, (node, graph) =>
        rewired(node, (ref) => {
          const marked = insideOf(graph, node, name, ref, (own) => (own === port ? NEW : own));
          return marked.endsWith(`.${NEW}`) ? undefined : ref;
        }),
      );
    }
    case "given": {
      const called = changeInside(declared(whole), name, (inner) =>
        rewiredAll(inner, (ref) => {
          const [head, rest] = halves(ref);
          return inner.nodes[head]?.type === CALL && rest === port ? undefined : ref;
        }),
      );
      return uses(called, (node) => ({ ...node, results: node.results && without(node.results, port) }));
    }
  }
}

/** The value that a use has typed in at an input: that of `kept`, or of the first that has one. */
function valueOf(whole: Doc, name: string, port: string, kept?: Id): Json | undefined {
  const all = usesOf(whole, name);
  const chosen = all.find(({ node }) => node.id === kept) ?? all.find(({ node }) => port in node.params);
  return chosen?.node.params[port];
}

function readersCut<D extends Doc>(whole: D, name: string, port: string): D {
  const only = portsOf(definitionNamed(whole, name) ?? {}, "results").length === 1;
  const reads = (graph: Doc, ref: Ref): boolean => {
    const [head, rest] = halves(ref);
    return graph.nodes[head]?.type === name && (rest === port || (only && rest === ""));
  };
  const cut = everywhere(whole, (node, graph) =>
    rewired(node, (ref) => {
      const isInner = insideOf(graph, node, name, ref, () => NEW) !== ref;
      return !isInner && reads(graph, ref) ? undefined : ref;
    }),
  );
  const outputs = Object.entries(whole.exposed.outputs).filter(([, ref]) => !reads(whole, ref));
  return { ...cut, exposed: { ...cut.exposed, outputs: Object.fromEntries(outputs) } };
}

/**
 * Show a parameter of a node inside on the definition: it becomes an input, and each use has the value that it had.
 */
export function promote<D extends Doc>(whole: D, name: string, id: Id, param: string, wanted = param): D {
  const inner = enter(whole, name);
  const node = inner.nodes[id];
  if (!node || param in node.wires) return whole;
  const value = node.params[param];
  const added = addInput(inner, wanted);
  const wired = changeNode(added.doc, id, {
    wires: { ...node.wires, [param]: `${INPUTS}.${added.name}` },
    params: without(node.params, param),
  });
  const next = changeInside(whole, name, () => wired);
  if (value === undefined) return next;
  return everywhere(next, (use) =>
    use.type === name ? { ...use, params: { ...use.params, [added.name]: value } } : use,
  );
}

/** The name of the input that a port inside reads; null where it reads none. */
export function inputRead(wired: Wired | undefined): string | null {
  const ref = typeof wired === "string" ? wired : undefined;
  const [head, port] = halves(ref ?? "");
  return head === INPUTS && port !== "" ? port : null;
}
