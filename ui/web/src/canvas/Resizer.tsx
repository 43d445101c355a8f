/** The corner by which a zone, a frame, a note or a node is made larger; its size is saved. */
import { NodeResizeControl } from "@xyflow/react";
import { resize } from "../commands";
import type { Id } from "../document/document";

interface Props {
  id: Id;
  least?: readonly [number, number];
  /** Told while a hand draws at it. */
  live?: (resizing: boolean) => void;
}

export const Resizer = ({ id, least = [100, 60], live }: Props) => (
  <NodeResizeControl
    className="resize"
    minWidth={least[0]}
    minHeight={least[1]}
    {...(live ? { onResizeStart: () => live(true) } : {})}
    onResizeEnd={(_event, { width, height }) => {
      live?.(false);
      resize(id, [width, height]);
    }}
  />
);
