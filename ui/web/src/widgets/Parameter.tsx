/** A parameter's widget, chosen by its schema, with its label in it. */
import { memo, useState } from "react";
import { setParameter } from "../commands";
import type { Id } from "../document/document";
import type { Json } from "../document/json";
import type { InSlot } from "../document/slots";
import { widgetOf } from "../document/widgets";
import { shownSheet } from "../state/editor";
import { Choice, Toggle } from "./Choice";
import { JsonField, LinesField, ListField, Multiline, TextField } from "./Text";
import type { FieldProps } from "./field";
import { NumberField } from "./NumberField";
import { PathField } from "./PathField";
import { SeedField } from "./SeedField";

interface Props {
  readonly node: Id;
  readonly slot: InSlot;
  /** What it is called where its node is not seen. */
  readonly called?: string;
}

export const Parameter = memo(function Parameter({ node, slot, called }: Props) {
  const { widget, nullable } = widgetOf(slot.port);
  const { handle } = slot;
  const [sheet] = useState(() => shownSheet());
  const isSet = slot.value !== undefined;
  const field: FieldProps = {
    label: called ?? slot.label,
    name: called ?? `${slot.label} of ${node}`,
    tip: `slot|${node}|${handle}`,
    value: isSet ? slot.value : (slot.port.default as Json | undefined),
    isSet,
    nullable,
    change: (value, gesture) => setParameter(node, handle, value, gesture, sheet),
  };
  switch (widget.kind) {
    case "number":
      return (
        <NumberField {...field} {...widget} min={widget.min ?? -Infinity} max={widget.max ?? Infinity} />
      );
    case "seed":
      return <SeedField {...field} node={node} handle={handle} />;
    case "choice":
      return <Choice {...field} choices={widget.choices as (string | number)[]} />;
    case "toggle":
      return <Toggle {...field} />;
    case "text":
      return <TextField {...field} />;
    case "multiline":
      return <Multiline {...field} />;
    case "lines":
      return <LinesField {...field} />;
    case "path":
      return <PathField {...field} kind={widget.path} />;
    case "list":
      return <ListField {...field} item={widget.item} fixed={widget.fixed} />;
    case "json":
      return <JsonField {...field} />;
  }
});
