/**
 * The inside of a definition, as a document of its own that is a view on the whole: `enter` looks in, `leave` gives the
 * whole with what was changed there. Two nodes stand for the rim: one gives what goes in (`inputs.NAME`, as the file
 * says it), one takes what comes out.
 */
import { toWorkflow } from "./codec";
import {
  CALL,
  definitionNamed,
  definitionOf,
  graphOf,
  INPUTS,
  remember,
  type Definition,
} from "./definitions";
import {
  EMPTY,
  enclosing,
  freshId,
  halves,
  joined,
  rewired,
  type Doc,
  type DocNode,
  type Id,
} from "./document";
import type { Json } from "./json";

/** The types of the two nodes of the rim: no node can be called so. */
export const GIVES = "definition inputs";
export const TAKES = "definition results";
/** The port of the rim that becomes a new one when a wire is drawn to it. */
export const NEW = "+";

/** A way in: through a use on the sheet that is around, or to a definition as such. */
export interface Step {
  readonly use?: Id;
  readonly definition: string;
}
export type Path = readonly Step[];

export const isRim = (doc: Doc, id: Id): boolean => isRimNode(doc.nodes[id]);
export const isRimNode = (node: DocNode | undefined): boolean => node?.type === GIVES || node?.type === TAKES;

/** The node of the rim that takes what comes out. */
export const takesOf = (inner: Doc): DocNode | undefined =>
  Object.values(inner.nodes).find((node) => node.type === TAKES);

const rim = (id: Id, type: string, wires: DocNode["wires"] = {}): DocNode => ({
  ...{ id, type, mode: "run", zone: null, params: {}, wires, results: null },
});

const insides = new WeakMap<Definition, Doc["nodes"]>();
const views = new WeakMap<Definition, Doc>();

/** The inside of a definition of this document; EMPTY where there is none of that name. */
export function enter(whole: Doc, name: string): Doc {
  const definition = definitionNamed(whole, name);
  if (!definition) return EMPTY;
  const graph = graphOf(definition);
  let nodes = insides.get(definition);
  if (!nodes) {
    const out = freshId((id) => id in graph.nodes, "results"); // a node of the definition may be called so
    const results = (definition.results ?? {}) as DocNode["wires"];
    nodes = { [INPUTS]: rim(INPUTS, GIVES), ...graph.nodes, [out]: rim(out, TAKES, results) };
    insides.set(definition, nodes);
  }
  const before = views.get(definition);
  if (before?.definitions === whole.definitions && before.title === whole.title) return before;
  const { title, definitions } = whole;
  const about = definition.about ?? "";
  const view: Doc = { ...EMPTY, title, about, definitions, nodes, places: graph.places, within: name };
  views.set(definition, view);
  return view;
}

/** The whole with the inside of a definition as it is now; the same one where nothing was changed. */
export function leave<D extends Doc>(whole: D, name: string, inner: Doc): D {
  const before = enter(whole, name);
  if (inner === before || before === EMPTY) return whole;
  const changed = { ...whole, title: inner.title, definitions: inner.definitions };
  const definition = definitionNamed(inner, name);
  const same = inner.nodes === before.nodes && inner.places === before.places && inner.about === before.about;
  if (same || !definition) return changed;
  const rest = { ...inner.nodes };
  for (const [id, node] of Object.entries(rest)) if (isRimNode(node)) Reflect.deleteProperty(rest, id);
  const { inputs, body } = definition;
  const results = (takesOf(inner)?.wires ?? {}) as NonNullable<Definition["results"]>;
  const made: Definition = {
    ...(inner.about ? { about: inner.about } : {}),
    ...(inputs?.length ? { inputs } : {}),
    ...(body ? { body } : {}),
    nodes: toWorkflow({ ...EMPTY, nodes: rest }).nodes as object,
    results,
    ...(Object.keys(inner.places).length > 0 ? { layout: inner.places } : {}),
  };
  remember(made, { ...EMPTY, nodes: rest, places: inner.places });
  insides.set(made, inner.nodes);
  const next = { ...changed, definitions: { ...inner.definitions, [name]: made as unknown as Json } };
  return qualified(next, name, Object.keys(definition.results ?? {}), Object.keys(results));
}

/** Change the inside of a definition. */
export const changeInside = <D extends Doc>(whole: D, name: string, change: (inner: Doc) => Doc): D =>
  leave(whole, name, change(enter(whole, name)));

/** The whole with every node of every graph in it changed, those in definitions too. */
export function everywhere<D extends Doc>(whole: D, change: (node: DocNode, graph: Doc) => DocNode): D {
  const each = (graph: Doc): Doc["nodes"] => {
    const entries = Object.entries(graph.nodes).map(([id, node]) => [id, change(node, graph)] as const);
    return entries.every(([id, node]) => node === graph.nodes[id])
      ? graph.nodes
      : Object.fromEntries(entries);
  };
  const inDefinitions = (all: Doc, name: string): Doc => {
    const inner = enter(all, name);
    const nodes = each(inner);
    return nodes === inner.nodes ? all : leave(all, name, { ...inner, nodes });
  };
  const nodes = each(whole);
  const { definitions } = Object.keys(whole.definitions).reduce<Doc>(inDefinitions, whole);
  return nodes === whole.nodes && definitions === whole.definitions
    ? whole
    : { ...whole, nodes, definitions };
}

/** Where the only result becomes one of several, who read it by the use's name alone now says which one. */
function qualified<D extends Doc>(whole: D, name: string, was: readonly string[], is: readonly string[]): D {
  const [only] = was;
  if (was.length !== 1 || only === undefined || is.length <= 1 || !is.includes(only)) return whole;
  return readers(whole, name, (port) => (port === "" ? only : port));
}

/** The whole with the ports that readers name of a definition's uses called otherwise. */
export function readers<D extends Doc>(whole: D, name: string, port: (named: string) => string): D {
  const follow = (graph: Doc) => (ref: string) => {
    const [head, rest] = halves(ref);
    return graph.nodes[head]?.type === name ? joined(head, port(rest)) : ref;
  };
  const next = everywhere(whole, (node, graph) => {
    const own = scopesOf(graph, node); // inside of a use's body its name stands for its inner ports
    return rewired(node, (ref) => (own.includes(halves(ref)[0]) ? ref : follow(graph)(ref)));
  });
  const outputs = Object.entries(whole.exposed.outputs).map(
    ([key, ref]) => [key, follow(whole)(ref)] as const,
  );
  return { ...next, exposed: { ...next.exposed, outputs: Object.fromEntries(outputs) } };
}

/** The zones that a node lies in, and itself where it is one; null, the top, ends them. */
export const scopesOf = (graph: Doc, node: DocNode): (Id | null)[] =>
  enclosing(graph, node.results === null ? node.zone : node.id);

/** A way as far as it still leads: uses may be gone, or of another definition now. */
export function still(whole: Doc, path: Path): Path {
  const found: Step[] = [];
  let graph = whole;
  for (const step of path) {
    const definition = step.use === undefined ? step.definition : (graph.nodes[step.use]?.type ?? "");
    if (!definitionNamed(whole, definition)) break;
    found.push(definition === step.definition ? step : { ...step, definition });
    graph = enter(whole, definition);
  }
  return found.length === path.length && found.every((step, i) => step === path[i]) ? path : found;
}

/** What a way leads to: the whole, or the inside of its last definition. */
export const shownAt = (whole: Doc, path: Path): Doc => {
  const last = path.at(-1);
  return last ? enter(whole, last.definition) : whole;
};

/** Where a node of the run is drawn, which is named USE/NODE inside of a definition and USE/CALL/NODE in a use's body. */
export function locate(whole: Doc, id: string): { path: Path; node: Id } {
  let parts = id.split("/");
  let graph = whole;
  const path: Step[] = [];
  for (;;) {
    const [head = "", next = "", third] = parts;
    const definition = parts.length > 1 ? definitionOf(graph, head) : undefined;
    if (!definition) return { path, node: head };
    const { type = "" } = graph.nodes[head] ?? {};
    const isCall = definition.body && third !== undefined && graphOf(definition).nodes[next]?.type === CALL;
    if (isCall) parts = parts.slice(2);
    else {
      path.push({ use: head, definition: type });
      graph = enter(whole, type);
      parts = parts.slice(1);
    }
  }
}

/**
 * The node that stands for one of the run where this way leads; null where none does. `anyUse`: what is told of one use
 * holds for the definition, whichever way it was entered.
 */
export function shownIn(whole: Doc, path: Path, id: string, anyUse = false): Id | null {
  const found = locate(whole, id);
  const last = path.at(-1);
  if (!last) return found.path[0]?.use ?? found.node;
  const loose = anyUse || path.some((step) => step.use === undefined);
  const at = loose
    ? found.path.findLastIndex((step) => step.definition === last.definition)
    : path.every((step, i) => found.path[i]?.use === step.use)
      ? path.length - 1
      : -1;
  if (at < 0) return null;
  return found.path[at + 1]?.use ?? found.node;
}
