/**
 * A zone as it is seen from afar: its number among the stages, its name, a sentence, what the workflow exposes of it as fields,
 * and the newest that it has to show. The letters are as large on the screen as those near by.
 */
import { ZoomIn } from "lucide-react";
import { memo, useMemo } from "react";
import { useShallow } from "zustand/react/shallow";
import { titleOf, type Card } from "../document/cards";
import { heldIn } from "../document/document";
import { exposedIn, stagesOf } from "../document/stages";
import { fileUrl } from "../server/api";
import { useEditor } from "../state/editor";
import { lookInside } from "../state/flow";
import { newestIn } from "../state/runView";
import { useRuns } from "../state/runs";
import { useUi } from "../state/ui";
import { absolute, sizesOf } from "../drawing/geometry";
import { Parameter } from "../widgets/Parameter";
import { Fare } from "./Header";
import { Sparks } from "./Sparks";

interface Props {
  readonly card: Card;
  /** How large the zone is drawn. */
  readonly width: number;
  readonly height: number;
}

export const StageCard = memo(function StageCard({ card, width, height }: Props) {
  const { id } = card;
  const run = useRuns((state) => state.view.nodes[id]);
  const note = useEditor((state) => state.doc.places[id]?.text);
  const number = useEditor((state) => numberOf(stagesOf(state.doc), id));
  return (
    <section className="zone-card" aria-label={`Stage ${titleOf(id)}`} onDoubleClick={() => lookInside(id)}>
      {width < ROOMY[0] || height < ROOMY[1] ? null : <Ghost id={id} />}
      <div className="zone-card-page">
        <div className="zone-card-words">
          <header className="zone-card-head">
            {number === null ? null : <b className="zone-card-number">{number}</b>}
            <span className="title">{titleOf(id)}</span>
            {run ? <Fare run={run} /> : null}
            <button
              className="field-button zone-card-in nodrag"
              aria-label={`Look inside ${id}`}
              data-tip="text|Look inside (double-click)"
              onClick={() => lookInside(id)}
            >
              <ZoomIn size={13} />
            </button>
          </header>
          <p className="zone-card-note">{note?.trim() ? note : card.spec?.summary}</p>
          <Fields card={card} />
        </div>
        <Newest card={card} />
      </div>
    </section>
  );
});

/** From this size on, in pixels of the sheet, there is room for what is inside beside the words. */
const ROOMY = [1300, 800] as const;

/** What is inside of a large zone, where it stands: too faint to be read, enough to be recognised. */
function Ghost({ id }: { id: string }) {
  const sheet = useEditor(
    useShallow(({ doc, cards, auto, measured, pushed }) => ({ doc, cards, auto, measured, pushed })),
  );
  const boxes = useMemo(() => {
    const sizes = sizesOf(sheet);
    const [left, top] = absolute(sheet, id);
    return heldIn(sheet.doc, id).map((node) => {
      const [x, y] = absolute(sheet, node);
      const [width, height] = sizes.get(node) ?? [0, 0];
      return { id: node, x: x - left, y: y - top, width, height };
    });
  }, [sheet, id]);
  return (
    <svg className="zone-card-ghost" aria-hidden>
      {boxes.map(({ id: key, ...box }) => (
        <rect key={key} {...box} rx={8} />
      ))}
    </svg>
  );
}

/** The place of a stage among several. */
const numberOf = (stages: readonly string[], id: string): number | null =>
  stages.length > 1 && stages.includes(id) ? stages.indexOf(id) + 1 : null;

function Fields({ card }: { card: Card }) {
  // As one flat list of texts, so that equal lists compare as equal: a value that is typed in draws its own field again.
  const fields = useEditor(
    useShallow(({ doc, cards }) =>
      exposedIn(doc, cards, card.id).map(({ node, slot, name }) => `${node} ${slot.handle} ${name}`),
    ),
  );
  if (fields.length === 0) return null;
  return (
    <ul className="zone-card-fields">
      {fields.map((field) => {
        const [node = "", handle = ""] = field.split(" ");
        return <Field key={field} node={node} handle={handle} />;
      })}
    </ul>
  );
}

function Field({ node, handle }: { node: string; handle: string }) {
  const slot = useEditor((state) => state.cards[node]?.inputs.find((own) => own.handle === handle));
  if (!slot) return null;
  return (
    <li data-handle={handle}>
      <Parameter node={node} slot={slot} />
    </li>
  );
}

/** The newest picture of what runs inside, and the curves. */
function Newest({ card }: { card: Card }) {
  const held = useEditor(useShallow((state) => heldIn(state.doc, card.id)));
  const { picture, curves } = useRuns(useShallow((state) => newestIn(state.view, [card.id, ...held])));
  if (!picture && !curves) return null;
  return (
    <div className="zone-card-shown">
      {picture ? (
        <button
          className="picture nodrag"
          aria-label={`Look at the newest picture of ${card.id}`}
          onClick={() => useUi.setState({ picture })}
        >
          <img src={fileUrl(picture, 256)} alt={`Newest of ${card.id}`} draggable={false} />
        </button>
      ) : null}
      {curves ? <Sparks curves={curves} /> : null}
    </div>
  );
}
