/** What a person can do to the workflow as a whole. */
import { freshId, type Ref } from "../document/document";
import { edit } from "../state/editor";

export const setTitle = (title: string) => edit("Title", (doc) => ({ ...doc, title }), "title");

export const setAbout = (about: string) => edit("About", (doc) => ({ ...doc, about }), "about");

/** Show a parameter or an output in the app view, or no longer. */
export function toggleExposed(what: "params" | "outputs", ref: Ref, wanted: string): void {
  edit("Change the app view", (doc) => {
    const all = doc.exposed[what];
    const kept = Object.entries(all).filter(([, own]) => own !== ref);
    const shown = kept.length < Object.keys(all).length;
    const name = freshId((taken) => taken in all, wanted);
    const next = Object.fromEntries(shown ? kept : [...kept, [name, ref]]);
    return { ...doc, exposed: { ...doc.exposed, [what]: next } };
  });
}
