/** A seed: digits, one more, or a new draw. */
import { Dice5, Plus } from "lucide-react";
import { nextSeed, randomSeed } from "../document/edits";
import { digitsOf, readNumber } from "../document/json";
import { useState } from "react";
import type { FieldProps } from "./field";

export function SeedField({ label, name, tip, value, isSet, change }: FieldProps) {
  const [draft, setDraft] = useState<string | null>(null);
  const finish = () => {
    if (draft !== null && /^\d+$/.test(draft)) change(readNumber(draft));
    setDraft(null);
  };
  return (
    <div className={`field seed nodrag${isSet ? " set" : ""}`} data-tip={tip}>
      <span className="field-label">{label}</span>
      <input
        className="field-input"
        aria-label={name}
        inputMode="numeric"
        value={draft ?? digitsOf(value)}
        onChange={(event) => setDraft(event.target.value.replace(/\D/g, "").slice(0, 20))}
        onBlur={finish}
        onKeyDown={(event) => {
          if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
          if (event.key === "Enter") finish();
          if (event.key === "Escape") setDraft(null);
        }}
      />
      <button
        className="field-button"
        aria-label={`One more: ${name}`}
        data-tip="text|Next seed"
        onClick={() => change(nextSeed(digitsOf(value)))}
      >
        <Plus size={12} />
      </button>
      <button
        className="field-button"
        aria-label={`Draw another: ${name}`}
        data-tip="text|Draw another seed"
        onClick={() => change(randomSeed())}
      >
        <Dice5 size={13} />
      </button>
    </div>
  );
}
