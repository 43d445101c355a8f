/**
 * What the page says, in the language that was chosen. The English text is the phrase itself, so that the source reads as
 * the page does; another language is one table (de.ts) whose type demands every phrase.
 */
import { de, type Phrase } from "./de";

export type Language = "en" | "de";
type Table = Readonly<Record<Phrase, string>>;

/** Languages by what they call themselves. */
export const LANGUAGES: Readonly<Record<Language, string>> = { en: "English", de: "Deutsch" };
const TABLES: Readonly<Record<Language, Table | null>> = { en: null, de };

/** Languages in which the whole page speaks: only these are taken from the browser without being asked for. */
const WHOLE: readonly Language[] = ["en"];

let table: Table | null = null;

/** Say what comes next in this language. What is drawn already has to be drawn anew. */
export function speak(language: Language): void {
  table = TABLES[language];
  document.documentElement.lang = language;
}

/** The first language of the browser's that is whole. */
export function preferred(wanted: readonly string[] = navigator.languages): Language {
  const known = wanted.map((tag) => tag.split("-")[0] ?? "");
  return known.find((tag): tag is Language => (WHOLE as readonly string[]).includes(tag)) ?? "en";
}

/** A phrase in the language that is spoken; {name} stands for a value. */
export function t(phrase: Phrase, values: Readonly<Record<string, string | number>> = {}): string {
  return fill(table?.[phrase] ?? phrase, values);
}

/** A text that may be a phrase: labels that come out of tables, and sentences of the server, which stay as they are. */
export const tr = (text: string): string =>
  table && Object.hasOwn(table, text) ? table[text as Phrase] : text;

const fill = (text: string, values: Readonly<Record<string, string | number>>): string =>
  text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
