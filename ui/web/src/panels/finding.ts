/** Finding nodes of a graph: by their names and types, their parameters and values, and by what is said of them. */
import { titleOf, type Card } from "../document/cards";
import { isLosslessNumber } from "lossless-json";
import type { Json } from "../document/json";
import { plain } from "./search";

export interface Hit {
  readonly card: Card;
  readonly rank: number;
  /** What it was found by, where that is neither its name nor its type. */
  readonly by: string;
  /** The parameter that was meant. */
  readonly handle: string | null;
}

const MOST_VALUE = 60;

/** A value as people would look for it. */
export const valueText = (value: Json): string =>
  typeof value === "string" ? value : isLosslessNumber(value) ? value.toString() : JSON.stringify(value);

/** The nodes in which every word of a text is found, best first. */
export function find(cards: readonly Card[], query: string): Hit[] {
  const words = plain(query).split(/\s+/).filter(Boolean);
  return cards
    .flatMap((card) => {
      const hit = hitOf(card, words);
      return hit ? [hit] : [];
    })
    .sort((a, b) => a.rank - b.rank);
}

function hitOf(card: Card, words: readonly string[]): Hit | null {
  const holds = (text: string) => words.every((word) => text.includes(word));
  const name = plain(titleOf(card.id));
  const whole = words.join(" ");
  const called = plain(`${card.id} ${card.type} ${card.zone ?? ""}`);
  const hit = (rank: number, by = "", handle: string | null = null): Hit => ({ card, rank, by, handle });
  if (holds(called))
    return hit(name === whole ? 0 : name.startsWith(whole) ? 1 : name.includes(whole) ? 2 : 3);
  for (const slot of card.inputs) {
    if (slot.port.schema === undefined) continue;
    const set = slot.value !== undefined;
    const value = set
      ? valueText(slot.value)
      : slot.port.default === undefined
        ? ""
        : valueText(slot.port.default as Json);
    const told = `${slot.label}: ${value}`;
    if (holds(`${called} ${plain(told)}`))
      return hit(set ? 4 : 5, told.length > MOST_VALUE ? `${told.slice(0, MOST_VALUE)}…` : told, slot.handle);
  }
  const { spec } = card;
  if (!spec) return null;
  const synonym = spec.words.find((own) => holds(`${called} ${plain(own)}`));
  if (synonym !== undefined) return hit(6, synonym);
  const said = [
    spec.summary,
    spec.documentation,
    spec.category,
    ...spec.inputs.map((port) => port.help),
  ].join(" ");
  return holds(`${called} ${plain(said)}`) ? hit(7, spec.summary) : null;
}
