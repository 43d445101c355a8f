/** A seed: digits, one more, or a new draw; and what becomes of it after a run. */
import { ArrowRightFromLine, Dice5, Lock, Plus, Shuffle } from "lucide-react";
import { chooseSeeding } from "../commands";
import type { Id, Seeding } from "../document/document";
import { useEditor } from "../state/editor";
import { nextSeed, randomSeed } from "../document/edits";
import { digitsOf } from "../document/json";
import { useState } from "react";
import { say } from "../state/ui";
import type { FieldProps } from "./field";
import { readTyped } from "./typed";

const NEXT: Record<"fixed" | Seeding, Seeding | undefined> = {
  fixed: "next",
  next: "random",
  random: undefined,
};
const SAYING = { fixed: "it stays", next: "the next one", random: "another is drawn" };
const ICONS = { fixed: Lock, next: ArrowRightFromLine, random: Shuffle };

function AfterRun({ name, node, handle }: { name: string; node: Id; handle: string }) {
  const seeding = useEditor((state) => state.doc.places[node]?.after?.[handle]) ?? "fixed";
  const Icon = ICONS[seeding];
  return (
    <button
      className={`field-button${seeding === "fixed" ? "" : " on"}`}
      aria-label={`After a run ${SAYING[seeding]}: ${name}`}
      data-tip={`text|After a run: ${SAYING[seeding]}. Press to change`}
      onClick={() => chooseSeeding(node, handle, NEXT[seeding])}
    >
      <Icon size={11} />
    </button>
  );
}

export function SeedField({
  label,
  name,
  tip,
  value,
  isSet,
  change,
  node,
  handle,
}: FieldProps & { node: Id; handle: string }) {
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
      <AfterRun name={name} node={node} handle={handle} />
    </div>
  );
}
