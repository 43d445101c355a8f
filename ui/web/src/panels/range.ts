/** What a JSON Schema allows, in words. */
import type { JsonSchema } from "../server/types";

const WORDS: Record<string, string> = {
  integer: "a whole number",
  number: "a number",
  string: "a text",
  boolean: "yes or no",
};
const MANY: Record<string, string> = { integer: "whole numbers", number: "numbers", string: "texts" };

export function rangeOf(schema: JsonSchema): string {
  const options = schema.anyOf as JsonSchema[] | undefined;
  if (options) return options.map((option) => rangeOf(option) || "none").join(", or ");
  if (Array.isArray(schema.enum)) return schema.enum.map(String).join(", ");
  const type = textAt(schema, "type");
  if (type === "array") {
    const items = MANY[textAt((schema.items ?? {}) as JsonSchema, "type")] ?? "values";
    const counts = [bound(schema, "minItems", "at least"), bound(schema, "maxItems", "at most")];
    return [`a list of ${items}`, ...counts].filter(Boolean).join(", ");
  }
  const bounds = [
    bound(schema, "minimum", "≥"),
    bound(schema, "exclusiveMinimum", ">"),
    bound(schema, "maximum", "≤"),
    bound(schema, "exclusiveMaximum", "<"),
  ];
  return [WORDS[type] ?? "", bounds.filter(Boolean).join(", ")].filter(Boolean).join(" ");
}

const textAt = (schema: JsonSchema, key: string): string =>
  typeof schema[key] === "string" ? schema[key] : "";

/** A bound in words; one that no double can hold exactly, a seed's, is no use to a reader. */
function bound(schema: JsonSchema, key: string, word: string): string {
  const value = schema[key];
  return typeof value === "number" && Math.abs(value) <= Number.MAX_SAFE_INTEGER ? `${word} ${value}` : "";
}
