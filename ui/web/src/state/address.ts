/** The address and the page agree: the part after # names the document that is shown, and Back and Forward go over them. */
import { activate, activeDocument, activeOf, useDocuments, type OpenDocument } from "./documents";

const DRAFT = "draft/";

/** A file by its path, unsaved changes by the name they are kept under in this browser. */
export const addressOf = ({ file, draft }: OpenDocument): string =>
  file.path === "" ? DRAFT + draft : file.path;

/** The draft that an address names; null where it names a file. */
export const draftIn = (address: string): string | null =>
  address.startsWith(DRAFT) ? address.slice(DRAFT.length) : null;

export function addressShown(): string {
  const hash = location.hash.slice(1);
  try {
    return decodeURI(hash);
  } catch {
    return hash; // a % that stands for itself
  }
}

function tell(address: string, replaces: boolean): void {
  if (addressShown() === address) return;
  const url = `#${encodeURI(address)}`;
  if (replaces) history.replaceState(null, "", url);
  else history.pushState(null, "", url);
}

/** Follow the active document, and where Back, Forward or a pasted link lead; `find` opens what is not open. */
export function startAddress(find: (address: string) => Promise<boolean>): void {
  const shown = activeDocument();
  tell(addressOf(shown), true);
  useDocuments.subscribe((state, before) => {
    const document = activeOf(state);
    // What is closed does not stay where the page is.
    const closed = !state.open.some(({ id }) => id === before.active);
    tell(addressOf(document), document.id === before.active || closed);
  });
  addEventListener("hashchange", () => {
    const address = addressShown();
    const there = useDocuments.getState().open.find((document) => addressOf(document) === address);
    if (addressOf(activeDocument()) === address) return;
    if (there) activate(there.id);
    else if (address !== "")
      void find(address).then((found) => {
        if (!found) tell(addressOf(activeDocument()), true);
      });
    else tell(addressOf(activeDocument()), true);
  });
}
