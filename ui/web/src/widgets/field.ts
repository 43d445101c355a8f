/** What every field of a parameter is given. */
import type { Json } from "../document/json";

export interface FieldProps {
  label: string;
  /** What a screen reader calls it. */
  name: string;
  tip: string;
  value: Json | undefined;
  /** Whether the value is typed in; if not it is the default. */
  isSet: boolean;
  nullable: boolean;
  /** `gesture` joins the steps of one drag, or of one word, into one step to undo. */
  change: (value: Json | undefined, gesture?: string) => void;
}
