/** Where wires meet a card whose ports are not drawn: React Flow measures these instead. */
import { memo } from "react";
import type { Card } from "../document/cards";
import { handleSpots } from "../drawing/geometry";

export const Spots = memo(function Spots({ card, width }: { card: Card; width: number }) {
  return handleSpots(card, width).map(({ handle, type, x, y }) => (
    <i
      key={type + handle}
      className={`spot ${type}`}
      data-handleid={handle}
      data-handlepos={type === "target" ? "left" : "right"}
      style={{ left: x - 1, top: y - 1 }}
    />
  ));
});
