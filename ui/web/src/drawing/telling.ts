/** What a folded node says of itself in a line: the values that were set, else those that it has. */
import type { Card } from "../document/cards";
import type { Catalog } from "../server/types";
import { print } from "../document/json";
import { hasWidget } from "./geometry";

/** What a type variable of models is bound to (nodes/wires.py), and so what all wires of models are of. */
const MODEL = "torch.nn.modules.module.Module";

/**
 * How loud a node is drawn: what runs a body, what gives models, and what keeps or shows a result, louder than the rest; what
 * only sets something up, quieter.
 */
export function weightOf(card: Card, { types }: Catalog): "loud" | "plain" | "quiet" {
  if (card.isZone || card.spec?.effect) return "loud";
  if (card.outputs.some(({ kind }) => types[kind.name]?.within.includes(MODEL))) return "loud";
  const reads = card.inputs.some((slot) => slot.ref !== null);
  const opens = card.inputs.some((slot) => slot.port.path !== undefined);
  return reads || opens ? "plain" : "quiet";
}

const MOST = 40; // letters of one value

/** Its most telling values, "lr 0.002 · betas 0.5, 0.9"; empty for a node without parameters. */
export function telling(card: Card): string {
  const params = card.inputs.filter(hasWidget);
  const set = params.filter((slot) => slot.value !== undefined && slot.value !== slot.port.default);
  return (set.length > 0 ? set : params)
    .map((slot) => [slot.label, inWords(slot.value ?? slot.port.default)] as const)
    .filter(([, words]) => words !== "")
    .map(([label, words]) => `${label} ${words}`)
    .join(" · ");
}

export function inWords(value: unknown): string {
  if (value === undefined || value === null) return "";
  if (Array.isArray(value)) return cut(value.map(inWords).join(", "));
  if (typeof value === "string") return cut(value);
  return cut(print(value));
}

const cut = (text: string): string => (text.length > MOST ? `${text.slice(0, MOST - 1)}…` : text);
