/** A seed: digits, one more, or a new draw. */
import { Dice5, Plus } from "lucide-react";
import { nextSeed, randomSeed } from "../document/edits";
import { digitsOf } from "../document/json";
import { useState } from "react";
import { say } from "../state/ui";
import type { FieldProps } from "./field";
import { readTyped } from "./typed";

export function SeedField({ label, name, tip, value, isSet, change }: FieldProps) {
  const [draft, setDraft] = useState<string | null>(null);
  const finish = () => {
    if (draft !== null && draft.trim() !== "") {
      try {
        change(readTyped(draft, true));
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        say(`${label}: ${error.message}`, "bad");
      }
    }
    setDraft(null);
  };
  return (
    <div className={`field seed nodrag${isSet ? " set" : ""}`} data-tip={tip}>
      <span className="field-label">{label}</span>
      <input
        className="field-input"
        aria-label={name}
        value={draft ?? digitsOf(value)}
        onChange={(event) => setDraft(event.target.value)}
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
