/** Pieces of graphs that a person keeps for the palette: workflow files in a folder of their own. */
import { read, write } from "../document/codec";
import { api, Refused } from "../server/api";
import { t } from "../strings";
import { say, sayError } from "./ui";
import { startUsage } from "./usage";

const MOST = 50; // of one name

/** Keep a copied piece under a name, with a number behind it where that is taken. */
export async function saveTemplate(piece: string, title: string): Promise<void> {
  const text = write({ ...read(piece).doc, title });
  const name = title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_");
  for (let n = 1; n <= MOST; n++) {
    const own = n === 1 ? name : `${name}_${n}`;
    try {
      await api.save(`workflows/templates/${own}.json`, text, "");
    } catch (error) {
      if (error instanceof Refused && error.status === 409) continue;
      sayError(error);
      return;
    }
    startUsage();
    say(t("Saved as the template {name}", { name: own }), "good");
    return;
  }
}
