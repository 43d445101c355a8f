/** The picture that a mask is painted on: of which node, and what it looks like. */
import { create } from "zustand";
import type { Id } from "../document/document";
import { maskedPicture, maskLoader, picturePortOf } from "../document/pictures";
import { NOTHING, type Strokes } from "../drawing/brush";
import { useEditor } from "./editor";
import { useRuns } from "./runs";
import { say } from "./ui";

export interface Painting {
  readonly node: Id;
  readonly picture: string;
  /** The mask that is there already; null is none. */
  readonly mask: string | null;
  /** What was painted on it before it was left unsaved. */
  readonly strokes: Strokes;
}

export const usePainting = create<{ readonly now: Painting | null }>()(() => ({ now: null }));

/** The path that a node's picture port names, or the last picture that it showed; null where it has none. */
export function pictureOf(node: Id): string | null {
  const { doc, kinds } = useEditor.getState();
  const port = picturePortOf(doc, kinds, node);
  const chosen = port ? doc.nodes[node]?.params[port.name] : undefined;
  if (typeof chosen === "string" && chosen !== "") return chosen;
  const shown = useRuns.getState().view.nodes[node]?.files.filter(({ media }) => media.startsWith("image/"));
  return shown?.at(-1)?.path ?? null;
}

/** Paint a mask on a node's picture; on a node that loads a mask, paint that one over the picture that it belongs to. */
export function startPainting(node: Id, picture: string | null = null): void {
  const { doc, kinds } = useEditor.getState();
  const masked = maskedPicture(doc, kinds, node);
  const on = masked !== null && maskLoader(doc, kinds, masked)?.node === node ? masked : node;
  const found = (on === node ? picture : null) ?? pictureOf(on) ?? picture ?? pictureOf(node);
  if (found === null) {
    say("There is no picture on this node yet: choose one, or run to here");
    return;
  }
  const loader = maskLoader(doc, kinds, on);
  const mask = loader ? doc.nodes[loader.node]?.params[loader.port.name] : undefined;
  usePainting.setState({
    now: {
      node: on,
      picture: found,
      mask: typeof mask === "string" && mask !== "" ? mask : null,
      strokes: NOTHING,
    },
  });
}

export const stopPainting = () => usePainting.setState({ now: null });

/** Leave without saving; a message leads back to what was painted. */
export function leavePainting(strokes: Strokes): void {
  const { now } = usePainting.getState();
  if (!now) return;
  stopPainting();
  if (strokes.done.length > 0)
    say("The mask was not saved", "plain", {
      label: "Go on painting",
      run: () => usePainting.setState({ now: { ...now, strokes } }),
    });
}
