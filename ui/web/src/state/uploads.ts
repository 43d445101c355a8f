/** Files on their way to the server: some at once, how far they are, and which of them were refused. */
import { create } from "zustand";
import { api } from "../server/api";

interface Sending {
  readonly done: number;
  readonly total: number;
}

/** What is being sent; null is nothing. */
export const useSending = create<{ readonly now: Sending | null }>()(() => ({ now: null }));

const AT_ONCE = 3;

export interface Sent {
  /** The path of each file that the server kept. */
  readonly paths: string[];
  readonly refused: { readonly name: string; readonly why: string }[];
}

/** Send pictures, each under a name; into a folder of the server's where one is named. */
export async function send(files: readonly { file: Blob; name: string }[], folder = ""): Promise<Sent> {
  const sent: Sent = { paths: [], refused: [] };
  const waiting = [...files];
  let done = 0;
  const tell = () => useSending.setState({ now: files.length > 1 ? { done, total: files.length } : null });
  const work = async () => {
    for (let next = waiting.shift(); next; next = waiting.shift()) {
      try {
        sent.paths.push((await api.keepPicture(next.file, next.name, { folder })).path);
      } catch (error) {
        sent.refused.push({ name: next.name, why: error instanceof Error ? error.message : String(error) });
      }
      done += 1;
      tell();
    }
  };
  tell();
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  } finally {
    useSending.setState({ now: null });
  }
  return sent;
}
