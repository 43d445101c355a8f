/** What can be done with a picture of the workspace, wherever it is shown. */
import { addLoader, setParameter } from "../commands";
import { picturePortOf } from "../document/pictures";
import { api } from "../server/api";
import { selectedIds, useEditor } from "../state/editor";
import { here } from "../state/flow";
import { say, sayError } from "../state/ui";
import { compareWith, useViewer } from "../state/viewer";

/** Fill the selected node that takes a picture, or make one that loads it in the middle of the view. */
export function sendToNode(path: string): void {
  const { doc, kinds } = useEditor.getState();
  const fits = selectedIds().flatMap((node) => {
    const port = picturePortOf(doc, kinds, node);
    return port ? [{ node, port }] : [];
  });
  const [only] = fits;
  if (only && fits.length === 1) {
    setParameter(only.node, only.port.name, path);
    say(`The picture is in ${only.node.replaceAll("_", " ")}`, "good");
    return;
  }
  const { sheet, zone } = here();
  const made = addLoader("image", path, sheet, zone);
  if (made === null) say("No node here loads a picture", "bad");
  else say(`${made.replaceAll("_", " ")} loads the picture`, "good");
}

/** Compare the picture with the one that was chosen before, or choose it. */
export function compare(path: string): void {
  if (!compareWith(path) && useViewer.getState().pinned === path)
    say("Now choose the picture to compare it with");
}

/** Throw a picture away, and tell the way back. `changed`: whoever lists pictures asks anew, for an answer on its way may have it still. */
export function throwAway(path: string, changed: () => void): void {
  const back = () => void api.bringBack(path).then(changed, sayError);
  api
    .throwAway(path)
    .then(
      () => say("Thrown away; it can be brought back for thirty days", "plain", { label: "Undo", run: back }),
      sayError,
    )
    .finally(changed);
}
