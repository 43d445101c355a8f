/** One of several, and yes or no. */
import { ChevronDown } from "lucide-react";
import { digitsOf } from "../document/json";
import type { FieldProps } from "./field";

export function Choice({
  label,
  name,
  tip,
  value,
  isSet,
  nullable,
  change,
  choices,
}: FieldProps & { choices: readonly (string | number)[] }) {
  const known = choices.some((choice) => choice === value);
  const pick = (text: string) => {
    if (text === "") change(nullable ? null : undefined);
    else change(choices.find((choice) => String(choice) === text));
  };
  const shown = typeof value === "string" ? value : digitsOf(value);
  return (
    <label className={`field choice nodrag${isSet ? " set" : ""}`} data-tip={tip}>
      <span className="field-label">{label}</span>
      <select
        className="field-input"
        aria-label={name}
        value={shown}
        onChange={(event) => pick(event.target.value)}
      >
        {nullable || shown === "" ? <option value="">none</option> : null}
        {!known && shown !== "" ? <option value={shown}>{shown}</option> : null}
        {choices.map((choice) => (
          <option key={choice} value={String(choice)}>
            {choice}
          </option>
        ))}
      </select>
      <ChevronDown size={12} aria-hidden />
    </label>
  );
}

export function Toggle({ label, name, tip, value, isSet, change }: FieldProps) {
  return (
    <label className={`field toggle nodrag${isSet ? " set" : ""}`} data-tip={tip}>
      <span className="field-label">{label}</span>
      <input
        type="checkbox"
        role="switch"
        aria-label={name}
        checked={value === true}
        onChange={(event) => change(event.target.checked)}
      />
    </label>
  );
}
