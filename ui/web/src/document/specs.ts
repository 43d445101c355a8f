/** Specifications by type: the installed nodes, and the document's definitions, which are nodes too. */
import type { Catalog, NodeSpec, Port } from "../server/types";
import { CALL, definitionNamed, graphOf, INPUTS, type Definition } from "./definitions";
import { GIVES, NEW, TAKES } from "./inside";
import { halves, joined, type Doc, type Ref } from "./document";
import { ANY, resolve, sourcePorts, type SpecOf } from "./references";

export function specsOf(catalog: Catalog, doc: Doc): SpecOf {
  const former = new Map(
    Object.values(catalog.nodes).flatMap((spec) => spec.formerly.map((name) => [name, spec])),
  );
  const own = new Map<string, NodeSpec | undefined>();
  const inside = doc.within === undefined ? undefined : definitionNamed(doc, doc.within);
  const specs: SpecOf = (type) => {
    if (inside && doc.within !== undefined && isOfInside(type, inside)) {
      const face = specs(doc.within);
      return face && rimSpec(type, face, inside);
    }
    if (!Object.hasOwn(doc.definitions, type))
      return Object.hasOwn(catalog.nodes, type) ? catalog.nodes[type] : former.get(type);
    if (!own.has(type)) {
      own.set(type, undefined); // of one that uses itself nothing is known inside of it
      own.set(type, definitionSpec(type, doc.definitions[type] as unknown as Definition, specs));
    }
    return own.get(type);
  };
  return specs;
}

const isOfInside = (type: string, { body }: Definition): boolean =>
  type === GIVES || type === TAKES || (type === CALL && body !== undefined);

/** What there is only inside of a definition: the two nodes of its rim, and the calls of its uses' bodies. */
function rimSpec(type: string, face: NodeSpec, definition: Definition): NodeSpec {
  const gives = (port: Port): Port => ({
    ...ANY,
    name: port.name,
    type: port.type,
    list: port.list,
    shape: port.shape,
  });
  // What a result is follows from its wire: each is a variable of its own.
  const takes = (name: string): Port => ({
    ...ANY,
    name,
    type: `result ${name}`,
    variable: true,
    required: true,
  });
  const inputs = (): Port[] => face.inputs.map(gives);
  const results = (): Port[] => Object.keys(definition.results ?? {}).map(takes);
  const blank = { ...face, type, category: "definition", version: 1, body: null };
  switch (type) {
    case GIVES:
      return { ...blank, ...told(GIVES_ABOUT), inputs: [], outputs: [...inputs(), { ...ANY, name: NEW }] };
    case TAKES:
      return { ...blank, ...told(TAKES_ABOUT), inputs: [...results(), { ...ANY, name: NEW }], outputs: [] };
    default: {
      const { ports = [], results: given = [] } = face.body ?? {};
      return {
        ...{ ...blank, ...told(CALL_ABOUT) },
        inputs: ports.map((port) => ({ ...gives(port), ...{ type: "any", list: 0 } })),
        outputs: given.map(gives),
      };
    }
  }
}

const told = (text: string) => ({ summary: text, documentation: text });
const GIVES_ABOUT =
  "What goes into the definition. A wire drawn from the last port to a node inside makes a new input; each use has it from then on.";
const TAKES_ABOUT =
  "What comes out of the definition. A wire drawn to the last port makes a new result; each use gives it from then on.";
const CALL_ABOUT = "The body of each use, which is drawn there. What goes in here are its inner ports.";

/** A definition as a node: its ports have the types of those that they lead to, where these are no type variables. */
function definitionSpec(type: string, definition: Definition, specs: SpecOf): NodeSpec {
  const { about = "", body, results = {} } = definition;
  const graph = graphOf(definition);
  const nodes = Object.values(graph.nodes).filter((node) => node.mode !== "mute");
  const calls = body ? nodes.filter((node) => node.type === CALL) : [];

  /** The port that reads one of these references; one that only a wire fills comes before a parameter. */
  const reader = (refs: readonly Ref[]): Port => {
    const found = nodes.flatMap((node) =>
      (specs(node.type)?.inputs ?? []).filter((port) => {
        const wired = node.wires[port.name];
        return !port.variable && typeof wired === "string" && refs.includes(wired);
      }),
    );
    return found.find((port) => port.schema === undefined) ?? found[0] ?? ANY;
  };
  const inputs = (definition.inputs ?? []).map((name): Port => ({
    ...reader([joined(INPUTS, name)]),
    name,
    formerly: [],
  }));
  /** The port that a wire of the definition comes from. */
  const origin = (wired: unknown): Port => {
    if (typeof wired !== "string") return ANY;
    const [head, rest] = halves(wired);
    if (head === INPUTS) return inputs.find((port) => port.name === rest) ?? ANY;
    const source = resolve(graph, specs, wired, null);
    const spec = source && specs(graph.nodes[source.node]?.type ?? "");
    const port = spec && sourcePorts(spec, source.inner).find((own) => own.name === source.port);
    return port && !port.variable ? port : ANY;
  };
  const gives = (name: string, { type, list, shape, help }: Port): Port => ({
    ...ANY,
    ...{ name, type, list, shape, help },
  });
  const heard = (name: string): Port => {
    const only = body?.results?.length === 1;
    return reader(calls.flatMap(({ id }) => [joined(id, name), ...(only ? [id] : [])]));
  };
  return {
    type,
    category: "this workflow",
    version: 1,
    summary: about,
    documentation: about,
    inputs,
    outputs: Object.entries(results).map(([name, wired]) => gives(name, origin(wired))),
    body: body
      ? {
          ports: (body.ports ?? []).map((name) => gives(name, origin(calls[0]?.wires[name]))),
          results: (body.results ?? []).map((name) => ({ ...gives(name, heard(name)), required: true })),
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
    words: [],
  };
}
