/**
 * The types of wires, as the engine has them: nominal, with type variables solved at each node.
 *
 * The server has the last word (it knows what a variable is bound to); this is the part that a wire being dragged needs
 * at once.
 */
import type { Catalog, Port } from "../server/types";
import { isNamed, refsOf, type Doc, type DocNode, type Id } from "./document";
import { isLosslessNumber } from "lossless-json";
import { resolve, sourcePorts, specsOf, type Source, type SpecOf } from "./references";

export interface WireKind {
  readonly name: string;
  readonly many: boolean;
}

export const kindOf = (port: Port): WireKind => ({ name: port.type, many: port.list });
export const element = (kind: WireKind): WireKind => ({ name: kind.name, many: false });
export const saying = (kind: WireKind): string => (kind.many ? `list of ${kind.name}` : kind.name);

/** Whether a value of kind `source` may enter a port of kind `port`. */
export function takes(catalog: Catalog, port: WireKind, source: WireKind): boolean {
  if (port.many !== source.many) return port.name === "any";
  if (port.name === source.name || port.name === "any" || source.name === "any") return true;
  return catalog.types[port.name]?.accepts.includes(source.name) ?? false;
}

type Environment = ReadonlyMap<string, WireKind>;
const at = (variable: string, name: string) => `${variable}/${name}`;

/**
 * The kinds on the wires of documents, worked out when asked for.
 *
 * What is known follows from the catalogue and from the document that comes with each question. No document is held
 * here, so that nobody can take an old one out; what was worked out is forgotten with the nodes it is about.
 */
export class Kinds {
  private readonly solutions = new WeakMap<Doc["nodes"], Solution>();
  private readonly specsBy = new WeakMap<Doc["definitions"], SpecOf>();

  constructor(readonly catalog: Catalog) {}

  /** Specifications by type: the installed nodes, and the document's own definitions. */
  specs(doc: Doc): SpecOf {
    let found = this.specsBy.get(doc.definitions);
    if (!found) this.specsBy.set(doc.definitions, (found = specsOf(this.catalog, doc)));
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
      .map((key) => key.slice(prefix.length));
  }

  /** The kind a variable stands for at an input or result, once another wire has said so. */
  standsFor(doc: Doc, node: DocNode, port: Port, name: string): WireKind | null {
    return this.solution(doc).environment(node, false).get(at(port.type, name)) ?? null;
  }

  private solution(doc: Doc): Solution {
    const specs = this.specs(doc);
    let found = this.solutions.get(doc.nodes);
    if (found?.specs !== specs) this.solutions.set(doc.nodes, (found = new Solution(doc, specs)));
    return found;
  }
}

/** The type variables of one document's nodes, solved as they are asked for. */
class Solution {
  private readonly entering = new Map<Id, Environment>();
  private readonly whole = new Map<Id, Environment>();
  private readonly busy = new Set<string>();

  constructor(
    private readonly doc: Doc,
    readonly specs: SpecOf,
  ) {}

  of(source: Source): WireKind | null {
    const node = this.doc.nodes[source.node];
    const spec = node && this.specs(node.type);
    if (!spec) return null;
    const port = sourcePorts(spec, source.inner).find((candidate) => candidate.name === source.port);
    if (!port) return null;
    if (!port.variable) return kindOf(port);
    const found = this.environment(node, source.inner).get(at(port.type, source.name));
    return found ? { name: found.name, many: port.list || found.many } : null;
  }

  /** What a node's variables stand for: for its body, or, when the body's results have been heard, for its outputs. */
  environment(node: DocNode, inner: boolean): Environment {
    return inner ? this.entered(node) : this.solved(node);
  }

  private entered(node: DocNode): Environment {
    return this.remembered(this.entering, `in ${node.id}`, node, () => {
      const env = new Map<string, WireKind>();
      for (const port of this.specs(node.type)?.inputs ?? []) {
        if (!port.variable) continue;
        const wired = node.wires[port.name];
        const typed = node.params[port.name];
        if (wired !== undefined) this.enter(env, port, wired, node.zone);
        else if (port.named && typeof typed === "object" && typed !== null) {
          for (const [name, value] of Object.entries(typed as object)) {
            const item: unknown = port.list && Array.isArray(value) ? value[0] : value;
            env.set(at(port.type, name), literalKind(item));
          }
        }
      }
      return env;
    });
  }

  private solved(node: DocNode): Environment {
    return this.remembered(this.whole, `all ${node.id}`, node, () => {
      const env = new Map(this.entered(node));
      for (const port of this.specs(node.type)?.body?.results ?? []) {
        if (!port.variable) continue;
        for (const [key, wired] of Object.entries(node.results ?? {})) {
          const [head = "", name = ""] = key.split(".");
          if (port.name !== "" && port.name !== head) continue;
          this.enter(
            env,
            port,
            port.named ? { [port.name === "" ? key : name]: refsOf(wired)[0] ?? "" } : wired,
            node.id,
          );
        }
      }
      return env;
    });
  }

  private enter(
    env: Map<string, WireKind>,
    port: Port,
    wired: DocNode["wires"][string],
    scope: Id | null,
  ): void {
    const named = isNamed(wired);
    const entries = named ? Object.entries(wired) : refsOf(wired).map((ref) => ["", ref] as const);
    for (const [name, ref] of entries) {
      const source = resolve(this.doc, this.specs, ref, scope);
      const kind = source && this.of(source);
      const key = at(port.type, name);
      if (kind && !env.has(key)) env.set(key, port.list ? element(kind) : kind);
      else if (named && !env.has(key)) env.set(key, { name: "any", many: false });
    }
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

function literalKind(value: unknown): WireKind {
  if (Array.isArray(value))
    return { name: value.length > 0 ? literalKind(value[0]).name : "any", many: true };
  if (isLosslessNumber(value)) return { name: /^-?\d+$/.test(value.value) ? "int" : "float", many: false };
  if (typeof value === "number") return { name: Number.isInteger(value) ? "int" : "float", many: false };
  return {
    name: typeof value === "boolean" ? "bool" : typeof value === "string" ? "str" : "any",
    many: false,
  };
}
