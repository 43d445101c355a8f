/** A parameter's field, and below it what the parameter means and which values it takes. */
import type { Id } from "../document/document";
import type { InSlot } from "../document/slots";
import { Parameter } from "../widgets/Parameter";
import { rangeOf } from "./range";

interface Props {
  readonly node: Id;
  readonly slot: InSlot;
  /** What it is called where its node is not seen. */
  readonly called?: string;
}

export function ParameterHelp({ node, slot, ...called }: Props) {
  const range = slot.port.schema ? rangeOf(slot.port.schema) : "";
  return (
    <div className="parameter-help">
      <Parameter node={node} slot={slot} {...called} />
      <p>
        {slot.port.help}
        {range ? <small> {range}</small> : null}
      </p>
    </div>
  );
}
