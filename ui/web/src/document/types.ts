/**
 * The types of wires, as the engine has them (graph_runner/bind/typing_rules.py): nominal, with type variables solved at
 * each node. What the rules know of types comes with the catalogue; tests/wires.json asks both the same questions.
 */
import type { Catalog, NodeSpec, Port } from "../server/types";
import { halves, isList, isNamed, type Doc, type DocNode, type Id, type Wired } from "./document";
import { isLosslessNumber } from "lossless-json";
import { asNamed, resolve, sourcePorts, type Source, type SpecOf } from "./references";
import { specsOf } from "./specs";

export interface WireKind {
  readonly name: string;
  /** How many lists deep: 0 for one value. */
  readonly many: number;
}

/** What a port takes. */
export interface PortKind extends WireKind {
  /** Whether one value will do where the list is taken. */
  readonly either?: boolean;
  /** The class that its type variable is bound to. */
  readonly bound?: string;
}

export const ANYTHING: WireKind = { name: "any", many: 0 };

export const kindOf = (port: Port): PortKind =>
  port.variable
    ? { name: "any", many: port.list, either: port.either, bound: port.bound }
    : { name: port.type, many: port.list, either: port.either };

export const element = (kind: PortKind): PortKind => ({
  ...kind,
  many: Math.max(kind.many - 1, 0),
  either: false,
});
const listed = (kind: WireKind, times: number): WireKind => ({ name: kind.name, many: kind.many + times });
/** A class by its own name, of "torch.nn.modules.module.Module" the last part. */
const ownName = (bound: string): string => bound.slice(bound.lastIndexOf(".") + 1);

export const saying = (kind: PortKind): string => {
  const name = kind.bound ? ownName(kind.bound) : kind.name === "any" ? "anything" : kind.name;
  const lists = "list of ".repeat(kind.many) + name;
  return kind.either ? `${saying(element(kind))} or ${lists}` : lists;
};

/** Whether a value of kind `source` may enter a port of kind `port`. */
export function takes(catalog: Catalog, port: PortKind, source: WireKind): boolean {
  if (port.either && takes(catalog, element(port), source)) return true;
  const type = catalog.types[source.name];
  if (port.bound && source.name !== "any")
    return port.many === source.many && (type?.within.includes(port.bound) ?? false);
  if (port.name === "any") return source.many >= port.many || source.name === "any";
  if (source.name === "any") return port.many >= source.many;
  const accepts = catalog.types[port.name]?.accepts ?? [];
  if (port.many === source.many && (port.name === source.name || accepts.includes(source.name))) return true;
  const plain = catalog.types[port.name]?.nominal ? null : type?.plain;
  return plain ? takes(catalog, port, { name: plain.type, many: plain.list + source.many }) : false;
}

const NUMBERS = ["bool", "int", "float"];

/** How broad a kind is when it is calculated with: its axes, and those of them that are not 1; numbers come before all. */
function breadth(catalog: Catalog, kind: WireKind): readonly [number, number] {
  if (NUMBERS.includes(kind.name)) return [-1, NUMBERS.indexOf(kind.name)];
  const axes = catalog.types[kind.name]?.shape.split(" ").filter(Boolean) ?? [];
  return [axes.length, axes.filter((axis) => axis !== "1").length];
}

/** The kind that broadcasting gives: the broadest, among alike ones the first. */
function broadest(catalog: Catalog, kinds: readonly WireKind[]): WireKind | undefined {
  const wider = (a: WireKind, b: WireKind) => {
    const [[axes, wide], [others, otherWide]] = [breadth(catalog, a), breadth(catalog, b)];
    return others > axes || (others === axes && otherWide > wide) ? b : a;
  };
  return kinds.length > 0 ? kinds.reduce(wider) : undefined;
}

/** The text in which the names of a port's wires stand; null where the user makes them up, or only the run knows it. */
export function namingText(spec: NodeSpec | undefined, node: DocNode, port: Port): string | null {
  const parameter = port.names_in?.parameter;
  if (parameter === undefined || parameter in node.wires) return null;
  const text = node.params[parameter] ?? spec?.inputs.find((input) => input.name === parameter)?.default;
  return typeof text === "string" ? text : "";
}

/** The names that stand in a text, each once. */
export const namesIn = (port: Port, text: string): string[] => [
  ...new Set(port.names_in ? text.match(new RegExp(port.names_in.pattern, "g")) : []),
];

type Environment = ReadonlyMap<string, WireKind>;
const at = (variable: string, name: string) => `${variable}/${name}`;
/** The name of whatever a broken wire would have brought: it may be any. */
const SOME = "*";

/** A wire that does not fit. */
export interface Misfit {
  readonly node: Id;
  /** The port, with the user's name where it has names. */
  readonly port: string;
  readonly why: string;
}

/**
 * The kinds on the wires of documents, worked out when asked for.
 *
 * What is known follows from the catalogue and from the document that comes with each question. No document is held
 * here, so that nobody can take an old one out; what was worked out is forgotten with the nodes it is about.
 */
export class Kinds {
  private readonly solutions = new WeakMap<Doc["nodes"], Solution>();
  private readonly specsBy = new WeakMap<Doc["definitions"], Map<string, SpecOf>>();

  constructor(readonly catalog: Catalog) {}

  /** Specifications by type: the installed nodes, and the document's own definitions. */
  specs(doc: Doc): SpecOf {
    const known = this.specsBy.get(doc.definitions) ?? new Map<string, SpecOf>();
    this.specsBy.set(doc.definitions, known);
    const within = doc.within ?? "";
    let found = known.get(within);
    if (!found) known.set(within, (found = specsOf(this.catalog, doc)));
    return found;
  }

  /** What leaves a port; null where it is unknown, or does not exist. */
  of(doc: Doc, source: Source): WireKind | null {
    return this.solution(doc).of(source);
  }

  /** The names under which a port with named wires exists: those given where its variable enters. */
  names(doc: Doc, node: DocNode, port: Port, inner: boolean): string[] {
    const env = this.solution(doc).environment(node, inner);
    const prefix = `${port.type}/`;
    return [...env.keys()]
      .filter((key) => key.startsWith(prefix) && key !== prefix)
      .map((key) => key.slice(prefix.length))
      .filter((name) => name !== SOME);
  }

  /** The kind that goes into an input or result of a variable type, once another wire has said so. */
  standsFor(doc: Doc, node: DocNode, port: Port, name: string): WireKind | null {
    const known = this.solution(doc).environment(node, false).get(at(port.type, name));
    return known ? listed(known, port.list) : null;
  }

  /** The wires of a document that do not fit. */
  misfits(doc: Doc): readonly Misfit[] {
    return this.solution(doc).misfits();
  }

  private solution(doc: Doc): Solution {
    const specs = this.specs(doc);
    let found = this.solutions.get(doc.nodes);
    if (found?.specs !== specs)
      this.solutions.set(doc.nodes, (found = new Solution(doc, specs, this.catalog)));
    return found;
  }
}

/** The type variables of one document's nodes, solved as they are asked for. */
class Solution {
  private readonly entering = new Map<Id, Environment>();
  private readonly whole = new Map<Id, Environment>();
  private readonly busy = new Set<string>();
  private readonly found: Misfit[] = [];

  constructor(
    private readonly doc: Doc,
    readonly specs: SpecOf,
    private readonly catalog: Catalog,
  ) {}

  of(told: Source): WireKind | null {
    const node = this.doc.nodes[told.node];
    const spec = node && this.specs(node.type);
    if (!spec) return null;
    const ports = sourcePorts(spec, told.inner);
    const source = asNamed(ports, told);
    const port = ports.find((candidate) => candidate.name === source.port);
    if (!port) return null;
    if (!port.variable) return { name: port.type, many: port.list };
    const env = this.environment(node, source.inner);
    const found = env.get(at(port.type, source.name)) ?? env.get(at(port.type, SOME));
    return found ? listed(found, port.list) : null;
  }

  /** What a node's variables stand for: for its body, or, when the body's results have been heard, for its outputs. */
  environment(node: DocNode, inner: boolean): Environment {
    return inner ? this.entered(node) : this.solved(node);
  }

  misfits(): readonly Misfit[] {
    for (const node of Object.values(this.doc.nodes)) this.solved(node);
    return this.found;
  }

  private entered(node: DocNode): Environment {
    return this.remembered(this.entering, `in ${node.id}`, node, () => {
      const env = new Map<string, WireKind>();
      for (const port of this.specs(node.type)?.inputs ?? []) {
        const wired = node.wires[port.name];
        const typed = node.params[port.name];
        if (wired !== undefined) this.enter(env, port, wired, node, node.zone, port.name);
        if (!port.named) continue;
        if (typeof typed === "object" && typed !== null) {
          for (const [name, value] of Object.entries(typed as object))
            this.match(
              env,
              port,
              kindOf(port),
              literalKind(this.catalog, value),
              name,
              node.id,
              `${port.name}.${name}`,
            );
        } else if (wired === undefined && port.required) env.set(at(port.type, SOME), ANYTHING);
        if (port.names_in && port.broadcasts) env.set(at(port.type, ""), this.calculated(env, node, port));
      }
      return env;
    });
  }

  /** The kind of what is calculated of named wires, by the text that says how. */
  private calculated(env: Environment, node: DocNode, port: Port): WireKind {
    const text = namingText(this.specs(node.type), node, port);
    if (text === null) return ANYTHING;
    const whole: WireKind = { name: "int", many: 0 };
    const given = namesIn(port, text).flatMap((name) => env.get(at(port.type, name)) ?? []);
    const kind = broadest(this.catalog, given) ?? whole;
    if (!NUMBERS.includes(kind.name)) return kind;
    const fraction = port.names_in?.fraction;
    if (fraction && new RegExp(fraction).test(text)) return { name: "float", many: 0 };
    return kind.name === "bool" ? whole : kind;
  }

  private solved(node: DocNode): Environment {
    return this.remembered(this.whole, `all ${node.id}`, node, () => {
      const env = new Map(this.entered(node));
      const ports = this.specs(node.type)?.body?.results ?? [];
      const anyName = ports.find((port) => port.name === "" && port.named);
      for (const [key, wired] of Object.entries(node.results ?? {})) {
        const [head, rest] = halves(key);
        const port = anyName ?? ports.find((candidate) => candidate.name === head);
        const name = anyName ? key : rest;
        if (port && (name === "" || port.named))
          this.enter(env, port, wired, node, node.id, `results.${key}`, name);
      }
      return env;
    });
  }

  /** Match everything wired into a port (into its `name`, where it has names). */
  private enter(
    env: Map<string, WireKind>,
    port: Port,
    wired: Wired,
    node: DocNode,
    scope: Id | null,
    where: string,
    name = "",
  ): void {
    const kind = kindOf(port);
    const enterOne = (ref: string, own: string, address: string, item: PortKind | null = kind) => {
      const source = resolve(this.doc, this.specs, ref, scope);
      const flowing = (source && this.of(source)) ?? ANYTHING;
      this.match(env, port, item ?? this.itemOf(port, flowing), flowing, own, node.id, address);
    };
    if (isNamed(wired)) {
      for (const [own, ref] of Object.entries(wired)) enterOne(ref, own, `${where}.${own}`);
    } else if (isList(wired)) {
      for (const ref of wired) enterOne(ref, name, where, null);
    } else enterOne(wired, port.named && name === "" ? SOME : name, where);
  }

  /** What a wire of a list must carry: an item, or, where it carries a list of them, the whole. */
  private itemOf(port: Port, flowing: WireKind): PortKind {
    const kind = kindOf(port);
    const item = element(kind);
    const isWhole =
      !port.variable &&
      port.type !== "any" &&
      !takes(this.catalog, item, flowing) &&
      takes(this.catalog, kind, flowing);
    return isWhole ? kind : item;
  }

  private match(
    env: Map<string, WireKind>,
    port: Port,
    kind: PortKind,
    flowing: WireKind,
    name: string,
    node: Id,
    where: string,
  ): void {
    const key = at(port.type, name);
    const remember = (known: WireKind): WireKind => {
      const before = env.get(key);
      if (!before) env.set(key, known);
      return before ?? known;
    };
    const refuse = (why: string) => this.found.push({ node, port: where, why });
    if (!port.variable) {
      if (name) remember({ name: port.type, many: 0 });
      if (!takes(this.catalog, kind, flowing))
        refuse(`takes ${saying(kind)}, and this is ${saying(flowing)}`);
      return;
    }
    if (name === SOME || (flowing.name === "any" && flowing.many === 0)) {
      remember(ANYTHING);
      return;
    }
    const single = kind.either === true && flowing.many === 0;
    if (flowing.many < kind.many && !single && flowing.name !== "any") {
      remember(flowing);
      refuse(`takes a list, and this is one ${saying(flowing)}`);
      return;
    }
    const standsFor = listed(flowing, single ? 0 : -Math.min(kind.many, flowing.many));
    const fits =
      !(port.broadcasts && standsFor.many > 0) &&
      takes(this.catalog, { ...kind, many: standsFor.many, either: false }, standsFor);
    if (standsFor.name !== "any" && !fits) {
      remember(ANYTHING);
      refuse(`takes ${saying(kind)}, and this is ${saying(flowing)}`);
      return;
    }
    const known = remember(standsFor);
    if (takes(this.catalog, known, standsFor)) return;
    if (port.broadcasts) env.set(key, broadest(this.catalog, [known, standsFor]) ?? known);
    else if (port.bound) env.set(key, { name: ownName(port.bound), many: standsFor.many });
    else
      refuse(
        `takes ${saying(listed(known, kind.many))} here (another wire says so), and this is ${saying(flowing)}`,
      );
  }

  private remembered(
    memory: Map<Id, Environment>,
    task: string,
    node: DocNode,
    work: () => Environment,
  ): Environment {
    const known = memory.get(node.id);
    if (known) return known;
    if (this.busy.has(task)) return new Map();
    this.busy.add(task);
    const env = work();
    this.busy.delete(task);
    memory.set(node.id, env);
    return env;
  }
}

/** The type of a literal; of a list, what its items share. */
function literalKind(catalog: Catalog, value: unknown): WireKind {
  if (Array.isArray(value)) {
    const kinds = value.map((item) => literalKind(catalog, item));
    const shared = kinds
      .toSorted((a, b) => (saying(a) < saying(b) ? -1 : 1))
      .find((kind) => kinds.every((other) => takes(catalog, kind, other)));
    return listed(shared ?? ANYTHING, 1);
  }
  return { name: literalName(value), many: 0 };
}

function literalName(value: unknown): string {
  if (isLosslessNumber(value)) return /^-?\d+$/.test(value.value) ? "int" : "float";
  if (typeof value === "number") return Number.isInteger(value) ? "int" : "float";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string") return "str";
  return value === null ? "NoneType" : "dict";
}
