/** What the palette lists, and in which order: nodes, nodes inside a new zone, templates. */
import type { Catalog, NodeSpec, Port, Template, Usage } from "../server/types";
import { halves, type Doc, type Id } from "../document/document";
import { homesOf, isWithin } from "../document/homes";
import type { WireKind } from "../document/types";
import type { LooseEnd } from "../state/ui";
import { fitOf, holds, search, type Found } from "./search";

export type Offer =
  | ({ readonly what: "node"; readonly likely?: true; readonly head?: string } & Found)
  | ({ readonly what: "inside"; readonly zone: NodeSpec; readonly head?: string } & Found)
  | { readonly what: "template"; readonly template: Template; readonly head?: string };

/** For what something is looked for. */
export interface Wish {
  readonly doc: Doc;
  readonly zone: Id | null;
  readonly loose: LooseEnd | null;
  /** What flows through the loose wire, and the port that it hangs at. */
  readonly kind: WireKind | null;
  readonly slot: Port | undefined;
  /** The selected node, which what comes next may follow. */
  readonly selected: Id | null;
}

const OFTEN = 6;
const HOMES = 3; // finds that are offered with their zone

/** What tells a line from all others: what is likely is listed with its category once more. */
export function keyOf(offer: Offer): string {
  if (offer.what === "template") return `template ${offer.template.name}`;
  const { category, type } = offer.spec;
  if (offer.what === "inside") return `inside ${offer.zone.type} ${category} ${type}`;
  return `${offer.likely ? "likely" : "node"} ${category} ${type}`;
}

/** How often each node is wired to the loose end, or follows the selected node, in the workflows that are known. */
function usual(usage: Usage, { doc, loose, selected }: Wish): Readonly<Record<string, number>> {
  if (loose?.side === "target") {
    const [port] = halves(loose.handle);
    return usage.before[`${doc.nodes[loose.node]?.type ?? ""}.${port}`] ?? {};
  }
  if (loose) return usage.after[`${doc.nodes[loose.source.node]?.type ?? ""}.${loose.source.port}`] ?? {};
  const type = selected === null ? undefined : doc.nodes[selected]?.type;
  const sum: Record<string, number> = {};
  for (const [port, counts] of Object.entries(usage.after)) {
    if (type === undefined || !port.startsWith(`${type}.`)) continue;
    for (const [next, count] of Object.entries(counts)) sum[next] = (sum[next] ?? 0) + count;
  }
  return sum;
}

const often = (counts: Readonly<Record<string, number>>, spec: NodeSpec) => counts[spec.type] ?? 0;

/** What is listed for a text. heads: what groups are called. */
export function offers(
  catalog: Catalog,
  specs: readonly NodeSpec[],
  usage: Usage,
  templates: readonly Template[],
  wish: Wish,
  query: string,
  heads: { next: string; used: string; templates: string },
): Offer[] {
  const counts = usual(usage, wish);
  const found = search(specs, query);
  if (wish.loose)
    return withHomes(catalog, usage, wish, query, ofLoose(catalog, usage, counts, wish, found, query));
  if (query.trim() === "") return browsing(usage, counts, found, templates, heads);
  const rank = ({ spec, score }: Found) =>
    score + 4 * Math.log2(1 + often(counts, spec)) + Math.log2(1 + often(usage.used, spec));
  const nodes = [...found].sort((a, b) => rank(b) - rank(a) || a.spec.type.localeCompare(b.spec.type));
  const pieces = templates
    .filter(({ title, about }) => holds(`${title} ${about}`, query))
    .map((template) => ({ what: "template", template }) as const);
  return [...withHomes(catalog, usage, wish, query, nodes), ...pieces];
}

function ofLoose(
  catalog: Catalog,
  usage: Usage,
  counts: Readonly<Record<string, number>>,
  { kind, loose, slot }: Wish,
  found: readonly Found[],
  query: string,
): Found[] {
  const typed = query.trim() !== "";
  return found
    .map((item) => ({ item, fit: fitOf(catalog, item.spec, kind, loose?.side ?? "source", slot) }))
    .filter(({ fit }) => fit > 0)
    .sort(
      (a, b) =>
        (typed ? b.item.score - a.item.score : 0) ||
        often(counts, b.item.spec) - often(counts, a.item.spec) ||
        b.fit - a.fit ||
        often(usage.used, b.item.spec) - often(usage.used, a.item.spec),
    )
    .map(({ item }) => item);
}

/** Without a text: what is likely, templates, and then all by category. */
function browsing(
  usage: Usage,
  counts: Readonly<Record<string, number>>,
  found: readonly Found[],
  templates: readonly Template[],
  heads: { next: string; used: string; templates: string },
): Offer[] {
  const follows = Object.keys(counts).length > 0;
  const ranked = follows ? counts : usage.used;
  const likely = found
    .filter(({ spec }) => often(ranked, spec) > 0)
    .sort((a, b) => often(ranked, b.spec) - often(ranked, a.spec))
    .slice(0, OFTEN)
    .map(
      (item, i) =>
        ({
          what: "node",
          likely: true,
          ...item,
          ...(i === 0 ? { head: follows ? heads.next : heads.used } : {}),
        }) as const,
    );
  const pieces = templates.map(
    (template, i) => ({ what: "template", template, ...(i === 0 ? { head: heads.templates } : {}) }) as const,
  );
  const all = found.map((item, i) => {
    const { category } = item.spec;
    return {
      what: "node",
      ...item,
      ...(category !== found[i - 1]?.spec.category ? { head: category } : {}),
    } as const;
  });
  return [...likely, ...pieces, ...all];
}

/** Behind the first finds that want a zone which is not there: the same inside of a new one. */
function withHomes(
  catalog: Catalog,
  usage: Usage,
  wish: Wish,
  query: string,
  found: readonly Found[],
): Offer[] {
  return found.flatMap((item, i): Offer[] => {
    const node: Offer = { what: "node", ...item };
    if (wish.loose || query.trim() === "" || i >= HOMES || item.spec.body) return [node];
    const [home] = homesOf(catalog, item.spec, usage.used);
    if (!home || isWithin(wish.doc, wish.zone, home.type)) return [node];
    return [node, { what: "inside", zone: home, ...item }];
  });
}
