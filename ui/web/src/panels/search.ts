/** Finding nodes: by name first, then by what they are said to do, then by the types they carry. */
import type { Catalog, NodeSpec, Port } from "../server/types";
import { element, kindOf, takes, type WireKind } from "../document/types";

export interface Found {
  readonly spec: NodeSpec;
  readonly score: number;
}

const plain = (text: string): string => text.toLowerCase().replaceAll("_", " ");

/** How well one word fits a node; 0 where it does not. */
function scoreWord(spec: NodeSpec, word: string): number {
  const name = plain(spec.type);
  if (name === word) return 100;
  if (name.startsWith(word)) return 80;
  if (name.split(" ").some((part) => part.startsWith(word))) return 60;
  if (name.includes(word)) return 45;
  if (initials(name).startsWith(word) && word.length > 1) return 40;
  if (plain(spec.category).startsWith(word)) return 30;
  if (plain(spec.summary).includes(word)) return 20;
  if ([...spec.inputs, ...spec.outputs].some((port) => plain(port.type).startsWith(word))) return 12;
  return plain(spec.documentation).includes(word) ? 6 : 0;
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
    const scores = words.map((word) => scoreWord(spec, word));
    return scores.includes(0) ? [] : [{ spec, score: scores.reduce((sum, score) => sum + score, 0) }];
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
