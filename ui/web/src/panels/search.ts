/** Finding nodes: by name, by the words and choices they have, by what they are said to do, by the types they carry. */
import type { Catalog, NodeSpec, Port } from "../server/types";
import type { Json } from "../document/json";
import { element, kindOf, takes, type WireKind } from "../document/types";

export interface Found {
  readonly spec: NodeSpec;
  readonly score: number;
  /** What it was found by, where that is not its name: "ksampler", "solver: euler". */
  readonly by: string;
  /** The choices that were asked for, as parameters of the node. */
  readonly params: Readonly<Record<string, Json>>;
}

/** How well one word fits a node, and by what. */
interface Fit {
  readonly score: number;
  readonly by?: string;
  readonly choice?: readonly [name: string, value: Json];
}

export const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, " ");

/** Whether every word of what was typed is somewhere in a text. */
export const holds = (text: string, query: string): boolean => {
  const whole = plain(text);
  return plain(query)
    .split(/\s+/)
    .every((word) => whole.includes(word));
};

const begins = (text: string, word: string) =>
  text.startsWith(word) || text.split(" ").some((part) => part.startsWith(word));

/** How well one word fits a node; null where it does not. */
function fitOfWord(spec: NodeSpec, word: string): Fit | null {
  const name = plain(spec.type);
  if (name === word) return { score: 100 };
  if (name.startsWith(word)) return { score: 80 };
  if (begins(name, word)) return { score: 60 };
  const called = spec.words.find((own) => begins(plain(own), word));
  if (called !== undefined) return { score: plain(called) === word ? 58 : 50, by: called };
  if (name.includes(word)) return { score: 45 };
  const former = spec.formerly.find((own) => begins(plain(own), word));
  if (former !== undefined) return { score: 44, by: former };
  const choice = choiceOf(spec, word);
  if (choice) return choice;
  if (initials(name).startsWith(word) && word.length > 1) return { score: 40 };
  if (plain(spec.category).startsWith(word)) return { score: 30 };
  const within = spec.words.find((own) => plain(own).replaceAll(" ", "").includes(word));
  if (within !== undefined && word.length > 2) return { score: 25, by: within };
  if (plain(spec.summary).includes(word)) return { score: 20 };
  const port = spec.inputs.find((own) => begins(plain(own.name), word));
  if (port) return { score: 16, by: port.name };
  if ([...spec.inputs, ...spec.outputs].some((own) => plain(own.type).startsWith(word))) return { score: 12 };
  const help = spec.inputs.map((own) => own.help);
  return [spec.documentation, ...help].some((text) => plain(text).includes(word)) ? { score: 6 } : null;
}

/** A choice of a parameter that is called so: exactly, or at its beginning. */
function choiceOf(spec: NodeSpec, word: string): Fit | null {
  if (word.length < 2) return null;
  const choices = spec.inputs.flatMap(({ name, widget }) =>
    widget?.kind === "choice"
      ? widget.choices.flatMap((value) => (typeof value === "string" ? [[name, value] as const] : []))
      : [],
  );
  const of = (fits: (text: string) => boolean) => choices.find(([, value]) => fits(plain(value)));
  const same = of((text) => text === word);
  const found = same ?? of((text) => begins(text, word));
  return found ? { score: same ? 42 : 35, by: `${found[0]}: ${found[1]}`, choice: found } : null;
}

const initials = (name: string): string =>
  name
    .split(" ")
    .map((part) => part[0] ?? "")
    .join("");

/** Every word must be found somewhere. */
export function search(specs: readonly NodeSpec[], query: string): Found[] {
  const words = plain(query).split(/\s+/).filter(Boolean);
  const found = specs.flatMap((spec) => {
    const fits = words.map((word) => fitOfWord(spec, word));
    if (!fits.every((fit) => fit !== null)) return [];
    const score = fits.reduce((sum, fit) => sum + fit.score, 0);
    const params = Object.fromEntries(fits.flatMap(({ choice }) => (choice ? [choice] : [])));
    return [{ spec, score, by: fits.find((fit) => fit.by)?.by ?? "", params }];
  });
  if (words.length === 0) return found;
  return found.sort((a, b) => b.score - a.score || a.spec.type.localeCompare(b.spec.type));
}

/** How well a node fits a loose wire: 2 by type, 1 because it takes anything, 0 not at all. */
export function fitOf(
  catalog: Catalog,
  spec: NodeSpec,
  kind: WireKind | null,
  side: "source" | "target",
  slot?: Port,
): number {
  const fit = (port: WireKind, value: WireKind) =>
    takes(catalog, port, value) || (port.many > 0 && takes(catalog, element(port), value));
  const grade = (own: boolean, exact: boolean) => (own ? (exact ? 2 : 1) : 0);
  if (side === "source") {
    return Math.max(
      0,
      ...spec.inputs.map((port) => {
        if (kind === null || port.variable) return 1;
        return grade(fit(kindOf(port), kind), port.type !== "any" && port.schema === undefined);
      }),
    );
  }
  return Math.max(
    0,
    ...spec.outputs.map((port) => {
      if (kind === null || slot?.variable || port.variable) return 1;
      return grade(fit(kind, kindOf(port)), port.type === kind.name);
    }),
  );
}
