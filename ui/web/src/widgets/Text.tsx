/** Texts, lists written with commas, and any other value as JSON. */
import { useState } from "react";
import { equal, parse, print, type Json } from "../document/json";
import type { FieldProps } from "./field";
import { readTyped } from "./typed";

/** Keys typed in a field are the field's; Escape and Enter leave it. */
const own = (event: React.KeyboardEvent<HTMLElement>) => {
  if (event.ctrlKey || event.metaKey) {
    if (event.key === "Enter" || event.key === "s") return;
  }
  event.stopPropagation();
  if (event.key === "Escape") event.currentTarget.blur();
};

const asText = (value: Json | undefined): string =>
  typeof value === "string" ? value : value === undefined || value === null ? "" : print(value);

export function TextField({ label, name, tip, value, isSet, nullable, change }: FieldProps) {
  return (
    <label className={`field text nodrag${isSet ? " set" : ""}`} data-tip={tip}>
      <span className="field-label">{label}</span>
      <input
        className="field-input"
        aria-label={name}
        spellCheck={false}
        placeholder={nullable ? "none" : "empty"}
        value={asText(value)}
        onChange={(event) =>
          change(event.target.value === "" && nullable ? null : event.target.value, "typing")
        }
        onKeyDown={(event) => {
          own(event);
          if (event.key === "Enter") event.currentTarget.blur();
        }}
      />
    </label>
  );
}

export function Multiline({ label, name, tip, value, isSet, change }: FieldProps) {
  return (
    <label className={`field multiline nodrag nowheel${isSet ? " set" : ""}`} data-tip={tip}>
      <textarea
        className="field-input"
        aria-label={name}
        placeholder={label}
        value={asText(value)}
        onChange={(event) => change(event.target.value, "typing")}
        onKeyDown={own}
      />
    </label>
  );
}

/** Texts, one on each line. */
export function LinesField({ label, name, tip, value, isSet, change }: FieldProps) {
  const lines = Array.isArray(value) ? (value as readonly Json[]).map(asText) : [];
  return (
    <label className={`field multiline nodrag nowheel${isSet ? " set" : ""}`} data-tip={tip}>
      <textarea
        className="field-input"
        aria-label={`${name}, one on each line`}
        placeholder={`${label}, one on each line`}
        value={lines.join("\n")}
        onChange={(event) =>
          change(event.target.value === "" ? [] : event.target.value.split("\n"), "typing")
        }
        onKeyDown={own}
      />
    </label>
  );
}

type Item = "integer" | "number" | "string";

export function readList(text: string, item: Item): Json[] | null {
  const inner = text
    .trim()
    .replace(/^\[|\]$/g, "")
    .trim();
  if (inner === "") return [];
  if (item === "string") {
    try {
      const quoted = parse(`[${inner}]`);
      if (Array.isArray(quoted) && quoted.every((part) => typeof part === "string")) return quoted;
    } catch {
      // not JSON: words between commas
    }
    return inner.split(",").map((part) => part.trim());
  }
  try {
    return parse(`[${inner.replace(/[\s,]+/g, ",").replace(/,$/, "")}]`) as Json[];
  } catch {
    // not plain numbers: calculations between commas
  }
  try {
    return inner.split(",").map((part) => readTyped(part, item === "integer"));
  } catch {
    return null;
  }
}

export const printList = (value: Json | undefined): string =>
  Array.isArray(value)
    ? (value as readonly Json[])
        .map((part) => (typeof part === "string" && !/[",]/.test(part) ? part : print(part)))
        .join(", ")
    : asText(value);

export function ListField({
  label,
  name,
  tip,
  value,
  isSet,
  change,
  item,
  fixed,
}: FieldProps & { item: Item; fixed: number | null }) {
  return (
    <Draft
      className={`field list nodrag${isSet ? " set" : ""}`}
      label={label}
      name={name}
      tip={tip}
      text={printList(value)}
      placeholder={fixed ? `${fixed} values` : "empty"}
      finish={(text) => {
        const list = readList(text, item);
        if (list === null) return false;
        if (!equal(list, value)) change(list);
        return true;
      }}
    />
  );
}

export function JsonField({ label, name, tip, value, isSet, nullable, change }: FieldProps) {
  return (
    <Draft
      className={`field json nodrag${isSet ? " set" : ""}`}
      label={label}
      name={name}
      tip={tip}
      text={value === undefined || value === null ? "" : print(value)}
      placeholder={nullable ? "none" : "JSON"}
      finish={(text) => {
        if (text.trim() === "") {
          change(nullable ? null : undefined);
          return true;
        }
        try {
          const parsed = parse(text);
          if (!equal(parsed, value)) change(parsed);
          return true;
        } catch {
          return false;
        }
      }}
    />
  );
}

interface DraftProps {
  className: string;
  label: string;
  name: string;
  tip: string;
  text: string;
  placeholder: string;
  /** Take the text; false where it cannot be understood. */
  finish: (text: string) => boolean;
}

/** A field whose text means something only when it is whole. */
function Draft({ className, label, name, tip, text, placeholder, finish }: DraftProps) {
  const [draft, setDraft] = useState<string | null>(null);
  const [bad, setBad] = useState(false);
  const done = () => {
    if (draft === null) return;
    if (finish(draft)) setDraft(null);
    else setBad(true);
  };
  return (
    <label className={`${className}${bad ? " bad" : ""}`} data-tip={tip}>
      <span className="field-label">{label}</span>
      <input
        className="field-input"
        aria-label={name}
        aria-invalid={bad}
        spellCheck={false}
        placeholder={placeholder}
        value={draft ?? text}
        onChange={(event) => {
          setBad(false);
          setDraft(event.target.value);
        }}
        onBlur={done}
        onKeyDown={(event) => {
          own(event);
          if (event.key === "Enter") done();
          if (event.key === "Escape") {
            setDraft(null);
            setBad(false);
          }
        }}
      />
    </label>
  );
}
