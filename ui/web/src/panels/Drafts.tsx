/** Unsaved changes that the browser keeps: every one, open here or not. */
import { History, Trash2 } from "lucide-react";
import { useEffect, useState } from "react";
import { ago } from "../canvas/format";
import { useDocuments } from "../state/documents";
import { allDrafts, dropDraft, keepDraft, type Draft } from "../state/drafts";
import { openDraft } from "../state/files";
import { keepNow } from "../state/keeping";
import { say, sayError } from "../state/ui";

export function Drafts() {
  const open = useDocuments((state) => state.open);
  const [drafts, setDrafts] = useState<readonly Draft[]>([]);
  const load = () => keepNow().then(allDrafts).then(setDrafts, sayError);
  useEffect(() => {
    void load();
  }, []);
  if (drafts.length === 0) return null;
  const forget = async (draft: Draft) => {
    await dropDraft(draft.id, draft.revision);
    await load();
    const again = () => void keepDraft(draft, null).then(load, sayError);
    say(`Forgot "${draft.title}"`, "plain", { label: "Undo", run: again });
  };
  return (
    <section>
      <h3>Not saved</h3>
      <ul className="draft-list">
        {drafts.map((draft) => {
          const isOpen = open.some((document) => document.draft === draft.id);
          return (
            <li key={draft.id}>
              <button onClick={() => void openDraft(draft.id)}>
                <History size={13} aria-hidden />
                <b>{draft.title}</b>
                <small>
                  {draft.path && !draft.shipped ? `${draft.path} · ` : ""}
                  {isOpen ? "open here" : ago(draft.time / 1000)}
                </small>
              </button>
              {isOpen ? null : (
                <button
                  className="icon-button"
                  aria-label={`Forget the unsaved changes of ${draft.title}`}
                  onClick={() => void forget(draft).catch(sayError)}
                >
                  <Trash2 size={13} />
                </button>
              )}
            </li>
          );
        })}
      </ul>
    </section>
  );
}
