/** Finding a node of a large graph by its name, a parameter, a value, or what is said of it; a parameter is gone to. */
import { categoryHue } from "../drawing/colours";
import { focusField, goTo } from "../state/flow";
import { titleOf } from "../document/cards";
import { useEditor } from "../state/editor";
import { useUi } from "../state/ui";
import { t } from "../strings";
import { Chooser } from "./Chooser";
import { find } from "./finding";

export function Finder() {
  const open = useUi((state) => state.finder);
  const cards = useEditor((state) => state.cards);
  if (!open) return null;
  return (
    <Chooser
      label={t("Find a node")}
      placeholder={t("Nodes, parameters, values, documentation…")}
      find={(query) => find(Object.values(cards), query)}
      keyOf={({ card }) => card.id}
      pick={({ card, handle }) => {
        goTo(card.id);
        if (handle !== null) focusField(card.id, handle);
      }}
      close={() => useUi.setState({ finder: false })}
      empty={t("There is no node like")}
    >
      {({ card, by }) => ({
        hue: categoryHue(card.spec?.category ?? ""),
        body: (
          <>
            <b>{titleOf(card.id)}</b>
            <span>
              {titleOf(card.type)}
              {card.zone ? ` · in ${titleOf(card.zone)}` : ""}
            </span>
            {by ? <i className="by">{by}</i> : null}
          </>
        ),
      })}
    </Chooser>
  );
}
