/** Which widget a parameter gets: the server says so (graph_runner/catalog/widgets.py), for its forms draw the same. */
import type { Port } from "../server/types";

export type Widget = NonNullable<Port["widget"]>;

export interface WidgetOf {
  readonly widget: Widget;
  readonly nullable: boolean;
}

/** A port that nothing is known of (a definition's) takes any value. */
export const widgetOf = (port: Port): WidgetOf => ({
  widget: port.widget ?? { kind: "json" },
  nullable: port.nullable ?? false,
});
