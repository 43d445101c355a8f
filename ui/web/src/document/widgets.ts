/** Which widget a parameter gets: decided by its JSON Schema alone. */
import type { JsonSchema, Port } from "../server/types";

export type Widget =
  | {
      readonly kind: "number";
      readonly integer: boolean;
      readonly min: number;
      readonly max: number;
      readonly slider: boolean;
    }
  | { readonly kind: "seed" }
  | { readonly kind: "choice"; readonly choices: readonly (string | number)[] }
  | { readonly kind: "toggle" }
  | { readonly kind: "text" }
  | { readonly kind: "multiline" }
  | { readonly kind: "lines" }
  | { readonly kind: "path"; readonly path: NonNullable<Port["path"]> }
  | { readonly kind: "list"; readonly item: "integer" | "number" | "string"; readonly fixed: number | null }
  | { readonly kind: "json" };

export interface WidgetOf {
  readonly widget: Widget;
  readonly nullable: boolean;
}

const remembered = new WeakMap<Port, WidgetOf>();

export function widgetOf(port: Port): WidgetOf {
  const known = remembered.get(port);
  if (known) return known;
  const { schema, nullable } = unwrap(port.schema ?? {});
  const found = { widget: choose(port, schema), nullable };
  remembered.set(port, found);
  return found;
}

/** A schema without "or null", and whether that was there. */
function unwrap(schema: JsonSchema): { schema: JsonSchema; nullable: boolean } {
  const options = schema.anyOf as JsonSchema[] | undefined;
  const rest = options?.filter((option) => option.type !== "null");
  if (options && rest?.length === 1 && rest.length < options.length)
    return { schema: { ...schema, ...rest[0] }, nullable: true };
  return { schema, nullable: false };
}

function choose(port: Port, schema: JsonSchema): Widget {
  if (Array.isArray(schema.enum)) return { kind: "choice", choices: schema.enum as string[] };
  if (schema.const !== undefined) return { kind: "choice", choices: [schema.const as string] };
  if (port.path) return { kind: "path", path: port.path };
  switch (schema.type) {
    case "boolean":
      return { kind: "toggle" };
    case "integer":
    case "number":
      return number(port, schema);
    case "string":
      return isLong(port, schema) ? { kind: "multiline" } : { kind: "text" };
    case "array":
      return list(schema);
    default:
      return { kind: "json" };
  }
}

function number(port: Port, schema: JsonSchema): Widget {
  const integer = schema.type === "integer";
  if (integer && port.name === "seed") return { kind: "seed" };
  const step = integer ? 1 : 0;
  const min = (schema.minimum as number | undefined) ?? bound(schema.exclusiveMinimum, step) ?? -Infinity;
  const max = (schema.maximum as number | undefined) ?? bound(schema.exclusiveMaximum, -step) ?? Infinity;
  const range = max - min;
  const usual = typeof port.default === "number" ? port.default : min;
  const fine = !integer && usual > min && usual - min < range / 50;
  return { kind: "number", integer, min, max, slider: range <= 1000 && !fine };
}

const bound = (value: unknown, step: number): number | undefined =>
  typeof value === "number" ? value + step : undefined;

function isLong(port: Port, schema: JsonSchema): boolean {
  const hint = schema.format ?? schema.widget;
  if (hint === "multiline" || hint === "textarea") return true;
  return typeof port.default === "string" && port.default.includes("\n");
}

function list(schema: JsonSchema): Widget {
  const prefix = schema.prefixItems as JsonSchema[] | undefined;
  const item = (prefix?.[0] ?? (schema.items as JsonSchema | undefined) ?? {}).type;
  if (item !== "integer" && item !== "number" && item !== "string") return { kind: "json" };
  const isText = item === "string" && schema.items !== undefined;
  if (isText && (schema.items as JsonSchema).enum === undefined) return { kind: "lines" };
  const fixed =
    schema.minItems !== undefined && schema.minItems === schema.maxItems ? (schema.minItems as number) : null;
  return { kind: "list", item, fixed };
}
