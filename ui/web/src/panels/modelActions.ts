/** What can be done with a model that lies on the server's machine. */
import { add, setParameter } from "../commands";
import type { ModelFile } from "../server/types";
import { selectedIds, useEditor } from "../state/editor";
import { here } from "../state/flow";
import { say } from "../state/ui";
import { t } from "../strings";

/** Give the model to the selected node that loads its kind, or make one in the middle of the view. */
export function load({ path, loads }: Pick<ModelFile, "path" | "loads">): void {
  const [type = "", parameter = ""] = loads.split(".");
  const { doc } = useEditor.getState();
  const fits = selectedIds().filter((id) => doc.nodes[id]?.type === type);
  const [only] = fits;
  if (only && fits.length === 1) {
    setParameter(only, parameter, path);
    say(t("The model is in {node}", { node: only.replaceAll("_", " ") }), "good");
    return;
  }
  const { sheet, zone } = here();
  const made = add(type, sheet, zone, null, undefined, { [parameter]: path });
  if (made === null) say(t("No node here loads this model"), "bad");
  else say(t("{node} loads the model", { node: made.replaceAll("_", " ") }), "good");
}
