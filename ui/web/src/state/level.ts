/** How near the sheet is looked at: it changes with the zoom now and then, and only then is all drawn anew. */
import { create } from "zustand";

/** From afar zones are cards; in the middle nodes are read and used in larger letters; near, letters are as they are. */
export type Level = "far" | "middle" | "near";

export const useLevel = create<{ readonly level: Level }>()(() => ({ level: "near" }));

export const isFar = (): boolean => useLevel.getState().level === "far";

const FAR = 0.45;
const NEAR = 0.9;

export function setLevel(zoom: number): void {
  const level = zoom < FAR ? "far" : zoom < NEAR ? "middle" : "near";
  if (level !== useLevel.getState().level) useLevel.setState({ level });
}
