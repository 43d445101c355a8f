/** Unsaved changes that the browser keeps: every one, open here or not. */
import { History, Trash2, Undo2 } from "lucide-react";
import { useEffect, useState } from "react";
import { ago } from "../drawing/format";
import { useDocuments } from "../state/documents";
import { allDrafts, dropDraft, keepDraft, type Draft } from "../state/drafts";
import { openDraft } from "../state/files";
import { keepNow } from "../state/keeping";
import { sayError } from "../state/ui";
import { t } from "../strings";
import { IconButton } from "../widgets/IconButton";

export function Drafts() {
  const [drafts, setDrafts] = useState<readonly Draft[]>([]);
  /** What was forgotten while the list is open can be had back from it. */
  const [forgotten, setForgotten] = useState<ReadonlySet<string>>(new Set());
  useEffect(() => {
    keepNow().then(allDrafts).then(setDrafts, sayError);
  }, []);
  if (drafts.length === 0) return null;
  const forget = async (draft: Draft) => {
    await dropDraft(draft.id, draft.revision);
    setForgotten(new Set([...forgotten, draft.id]));
  };
  const takeBack = async (draft: Draft) => {
    const kept = await keepDraft(draft, null);
    setDrafts(drafts.map((own) => (own.id === draft.id ? kept : own)));
    setForgotten(new Set([...forgotten].filter((id) => id !== draft.id)));
  };
  return (
    <section>
      <h3>{t("Not saved")}</h3>
      <ul className="draft-list">
        {drafts.map((draft) =>
          forgotten.has(draft.id) ? (
            <li key={draft.id} className="forgotten">
              <s>{draft.title}</s>
              <button className="small-button" onClick={() => void takeBack(draft).catch(sayError)}>
                <Undo2 size={12} aria-hidden /> {t("Undo")}
              </button>
            </li>
          ) : (
            <Row key={draft.id} draft={draft} forget={() => void forget(draft).catch(sayError)} />
          ),
        )}
      </ul>
    </section>
  );
}

function Row({ draft, forget }: { draft: Draft; forget: () => void }) {
  const isOpen = useDocuments(({ open }) => open.some((document) => document.draft === draft.id));
  const where = draft.shipped ? t("changes to an example") : draft.path;
  return (
    <li>
      <button onClick={() => void openDraft(draft.id)}>
        <History size={13} aria-hidden />
        <b>{draft.title}</b>
        <small>{[where, isOpen ? t("open here") : ago(draft.time / 1000)].filter(Boolean).join(" · ")}</small>
      </button>
      {isOpen ? null : (
        <IconButton
          label={t("Forget the unsaved changes of {title}", { title: draft.title })}
          tip={t("Forget")}
          run={forget}
        >
          <Trash2 size={13} />
        </IconButton>
      )}
    </li>
  );
}
